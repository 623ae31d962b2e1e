"""The record of `diagnosis.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic

from tfrobust.classifier import AppliedDefense
from tfrobust.errors import StoreError, one_line
from tfrobust.files.reading import UnreadableError, read_record
from tfrobust.files.record_types import AttackParams, Count, NotNegative, Positive, Seed, Text
from tfrobust.results.findings import Finding, Verdict, gravest
from tfrobust.results.proportions import Proportion
from tfrobust.types import Norm

DIAGNOSIS = "diagnosis.json"


class Diagnosis(pydantic.BaseModel):
    """Whether an accuracy under attack can be believed; what `diagnosis.json` holds.

    Attributes:
        format: of the file.
        version: of the format.
        classifier: its name.
        defenses: what it carries, a detector that rejects included.
        scenario: the name of the data.
        shift: of the scenario, if it has one.
        split: of the scenario.
        images: how many were looked at, the first ones of the split.
        seed: decides everything random.
        norm: of the ball.
        eps: its radius.
        attack: the name of the attack that was diagnosed.
        params: its options.
        chosen: whether somebody named that attack; else it is the one for all.
        thorough: whether all checks were made.
        clean: accuracy on the images as they are.
        attacked: accuracy under the attack.
        lowest: accuracy under that attack, those of the checks and the remedies together.
        findings: one a check, in the order in which they were made.
        gradients_per_image: backward passes of everything, over `images`.
        queries_per_image: forward passes of everything, over `images`.
        seconds: wall-clock time, tracing included.
    """

    format: Literal["tfrobust/diagnosis"] = "tfrobust/diagnosis"
    version: Literal[1] = 1
    classifier: Text
    defenses: list[AppliedDefense] = []
    scenario: Text
    shift: Text | None = None
    split: Text
    images: Count
    seed: Seed
    norm: Norm
    eps: Positive
    attack: Text
    params: AttackParams
    chosen: bool = False
    thorough: bool
    clean: Proportion
    attacked: Proportion
    lowest: Proportion
    findings: list[Finding]
    gradients_per_image: NotNegative
    queries_per_image: NotNegative
    seconds: NotNegative

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict of all checks."""
        return gravest(self.findings)

    @property
    def causes(self) -> list[str]:
        """What is masked or suspect, the masked first, each once."""
        order = (Verdict.MASKED, Verdict.SUSPECT)
        found = [f.cause for verdict in order for f in self.findings if f.verdict is verdict]
        return [cause for cause in dict.fromkeys(found) if cause]

    def of(self, check: str) -> Finding:
        """Return the finding of a check.

        Raises:
            KeyError: it was not made.
        """
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(check)

    def to_json(self) -> str:
        """Return the text of `diagnosis.json`."""
        return self.model_dump_json(indent=1) + "\n"


def read_diagnosis(folder: Path) -> Diagnosis:
    """Read `diagnosis.json` of a folder.

    Raises:
        StoreError: it is missing, of another format, or holds what no diagnosis writes.
    """
    path = folder / DIAGNOSIS
    try:
        return read_record(Diagnosis, path)
    except OSError as error:
        raise StoreError(f"{path}: {one_line(error)}; run `tfrobust diagnose` first") from error
    except UnreadableError as error:
        raise StoreError(f"{path}: not a diagnosis of this version ({error})") from error
