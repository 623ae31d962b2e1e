"""The records of `results.json`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pydantic

from tfrobust.classifier import AppliedDefense
from tfrobust.files.record_types import Count, NotNegative, Place, Seed, Shape, Text
from tfrobust.results.attack_records import AdaptiveResult, AttackResult, BudgetedWorstCase
from tfrobust.results.certificates import CertificateBesideAttacks
from tfrobust.results.corruption_errors import CorruptionErrors
from tfrobust.results.detectors import DetectorResult
from tfrobust.results.findings import Signs
from tfrobust.results.proportions import Proportion
from tfrobust.results.spending import Spending

if TYPE_CHECKING:
    import pandas as pd

    from tfrobust.report.charts.plots import Plots


class ClassifierRecord(pydantic.BaseModel):
    """Whose robustness was measured.

    `class_names` are known where it was attacked: the scenario's, and the classifier's own beyond.
    `megabytes` are those of its weights; `passes` are the draws that an answer averages. A
    surrogate `imitates` another classifier, by its address or name.
    """

    name: Text
    path: Place
    num_classes: Count
    image_shape: Shape
    defenses: list[AppliedDefense]
    class_names: tuple[Text, ...] = ()
    megabytes: NotNegative | None = None
    passes: Count = 1
    imitates: Text | None = None


class ScenarioRecord(pydantic.BaseModel):
    """On which images."""

    name: Text
    shift: Text | None
    split: Text
    images: Count
    seed: Seed


class Evaluation(pydantic.BaseModel):
    """One classifier on one scenario under a list of attacks."""

    classifier: ClassifierRecord
    scenario: ScenarioRecord
    clean: Proportion
    attacks: list[AttackResult]
    adaptive: list[AdaptiveResult] = []  # those that know its defences; of no other classifier
    worst_case: Proportion  # over `attacks` and `adaptive`
    worst_case_by_budget: list[BudgetedWorstCase] = []
    baselines: list[AttackResult] = []
    detectors: list[DetectorResult] = []
    certificates: list[CertificateBesideAttacks] = []
    spending: Spending | None = None  # of an endpoint
    signs: Signs | None = None  # of masked gradients; none were looked for
    warnings: list[Text] = []  # why a figure may say less than it seems to

    @property
    def signs_of(self) -> str:
        """Whose gradients the signs are of: the classifier that the attacks saw."""
        seen = [attack.crafted_on for attack in self.attacks if attack.crafted_on]
        return seen[0] if seen else self.classifier.name


class Incomplete(pydantic.BaseModel):
    """Images [start, stop) of the split that no figure counts, since they could not be computed."""

    start: Count
    stop: Count
    cause: Text


class Results(pydantic.BaseModel):
    """All of `results.json`; `run` is the same in every file of one run, see `identified`."""

    format: Literal["tfrobust/evaluation"] = "tfrobust/evaluation"
    version: Literal[1] = 1
    evaluations: list[Evaluation] = pydantic.Field(min_length=1)
    environment: dict[Text, Text]
    corruptions: list[CorruptionErrors] = []
    incomplete: list[Incomplete] = []  # images that could not be computed; the same run goes on
    run: Text | None = None  # before there was one

    @pydantic.model_validator(mode="after")
    def _is_a_grid(self) -> Results:
        sizes = {
            (len(e.attacks), len(e.baselines), len(e.worst_case_by_budget), len(e.certificates))
            for e in self.evaluations
        }
        if len(sizes) > 1:
            raise ValueError("evaluations: expected the same attacks on every classifier")
        if len({tuple(map(tuple, _corrupted(errors))) for errors in self.corruptions}) > 1:
            raise ValueError("corruptions: expected the same ones for every classifier")
        if not self.unshifted:
            raise ValueError("evaluations: expected one on clean images")
        return self

    @property
    def unshifted(self) -> list[Evaluation]:
        """One evaluation a classifier: where there are corruptions, that of the clean scenario."""
        if not self.corruptions:
            return self.evaluations
        return [e for e in self.evaluations if e.scenario.shift is None]

    def to_json(self) -> str:
        """Return the text of `results.json`."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def load(cls, run: Path | str) -> Results:
        """Return the results of a run folder.

        Raises:
            StoreError: there are none, or they are damaged.

        Example:
            >>> Results.load("runs/d1").to_pandas().query("eps == 0.1")[["attack", "accuracy"]]
        """
        from tfrobust.results.run_files import read_results

        return read_results(Path(run))

    def to_pandas(self) -> pd.DataFrame:
        """Return a tidy frame, a row a classifier, attack and budget; columns: `tidy.rows_of`."""
        from tfrobust.results.tidy import frame_of

        return frame_of(self)

    def queries_to_pandas(self) -> pd.DataFrame:
        """Return what black-box attacks reached by how many queries, a row for each number.

        Columns: `tidy.query_rows_of`.

        Example:
            >>> frame = Results.load("runs/d1").queries_to_pandas()
            >>> frame.pivot(index="queries", columns="attack", values="accuracy")
        """
        import pandas as pd

        from tfrobust.results.tidy import query_rows_of

        return pd.DataFrame(list(query_rows_of(self)))

    @property
    def plot(self) -> Plots:
        """Figures of these results: `results.plot.curves()`."""
        # Reports stand on results; this is a way to them for whoever holds results in a notebook.
        plots: Plots = importlib.import_module("tfrobust.report.charts.plots").Plots(self)
        return plots

    def __repr__(self) -> str:
        """Return three lines."""
        from tfrobust.results.tidy import lines_of

        return "\n".join(lines_of(self))

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from tfrobust.results.tidy import html_of

        return html_of(self)


def _corrupted(errors: CorruptionErrors) -> list[tuple[str, int]]:
    return [(name, len(severities)) for name, severities in errors.errors.items()]
