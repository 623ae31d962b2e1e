"""The records of `leaderboard.json`."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from tfrobust.files.record_types import Count, NotNegative, Place, Positive, Seed, Text
from tfrobust.results.certificates import Confidence
from tfrobust.results.findings import Verdict
from tfrobust.results.kinds import Kind
from tfrobust.results.records import Proportion
from tfrobust.types import Norm


class Attacked(Proportion):
    """Accuracy under one attack.

    Attributes:
        title: the attack with its budget.
        kind: what it knows.
        gradients_per_image: backward passes.
        queries_per_image: forward passes.
    """

    title: Text
    kind: Kind
    gradients_per_image: NotNegative
    queries_per_image: NotNegative


class Diagnosed(pydantic.BaseModel):
    """What `diagnose` said of the same ball.

    Attributes:
        verdict: the gravest of all checks.
        causes: of what is masked or suspect.
        lowest: accuracy under everything that the checks ran.
        images: of the diagnosis.
    """

    verdict: Verdict
    causes: list[Text]
    lowest: Proportion
    images: Count


class Certified(Proportion):
    """Accuracy that a certificate leaves to no attack within the budget.

    Attributes:
        certifier: its name.
        confidence: with which probability the radius of an image holds; `None`: it is proven.
    """

    certifier: Text
    confidence: Confidence | None = None


class Entry(pydantic.BaseModel):
    """A classifier at one budget.

    Attributes:
        classifier: its name.
        run: the folder of its results, as it was named.
        number: of its evaluation in the run, from 0.
        defenses: their names, innermost first.
        megabytes: that it takes; `None` in results that do not tell.
        passes: of the network that an answer takes.
        clean: accuracy on the images as they are.
        worst: accuracy under all attacks of a kind together, of the kinds that were run.
        robust: accuracy under everything that was run at this budget.
        certified: the best certificate at this budget; `None`: none was asked for.
        knows: whether attacks that know its defences were run; `None`: these declare none.
        attacks: each by itself.
        diagnosed: `None`: no diagnosis of this ball was given.
        model_info: the fields of RobustBench's record of a model that are known here.
    """

    classifier: Text
    run: Place
    number: Count
    defenses: list[Text]
    megabytes: NotNegative | None = None
    passes: Count = 1
    clean: Proportion
    worst: dict[Kind, Proportion]
    robust: Proportion
    certified: Certified | None = None
    knows: bool | None = None
    attacks: list[Attacked]
    diagnosed: Diagnosed | None = None
    model_info: dict[Text, Any] = {}

    @property
    def is_masked(self) -> bool:
        """Whether a diagnosis finds it masked, and leaves less than what is ranked here."""
        said = self.diagnosed
        if said is None or said.verdict is not Verdict.MASKED:
            return False
        return said.lowest.accuracy < self.robust.interval[0]

    @property
    def standing(self) -> tuple[bool, float]:
        """What it is ranked by: what is masked stands below everything else."""
        return not self.is_masked, self.robust.accuracy


class Board(pydantic.BaseModel):
    """Classifiers that were evaluated alike: the same images, budget and attacks.

    Attributes:
        scenario: with its shift.
        split: of it.
        images: how many, the same first ones.
        seed: of the attacks.
        norm: of the ball.
        eps: its radius.
        attacks: those that all classifiers were under, by title.
        entries: the most robust first, those that a diagnosis finds masked last.
    """

    scenario: Text
    split: Text
    images: Count
    seed: Seed
    norm: Norm
    eps: Positive
    attacks: list[Text]
    entries: list[Entry] = pydantic.Field(min_length=1)

    def rank(self, entry: Entry) -> int:
        """Return the place of an entry, from 1; equal accuracies share one."""
        return 1 + sum(other.standing > entry.standing for other in self.entries)


class Leaderboard(pydantic.BaseModel):
    """All of `leaderboard.json`: a board for each scenario, norm and budget."""

    format: Literal["tfrobust/leaderboard"] = "tfrobust/leaderboard"
    version: Literal[1] = 1
    boards: list[Board] = pydantic.Field(min_length=1)

    def to_json(self) -> str:
        """Return the text of `leaderboard.json`."""
        return self.model_dump_json(indent=1) + "\n"
