"""The records of `results.json`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pydantic

from tfrobust.classifier import AppliedDefense
from tfrobust.files.record_types import (
    AttackParams,
    Count,
    Finite,
    NotNegative,
    Place,
    Seed,
    Shape,
    Share,
    Text,
)
from tfrobust.results.certificates import CertificateBesideAttacks
from tfrobust.results.findings import Signs
from tfrobust.results.proportions import Proportion, Spread
from tfrobust.results.query_curve import QueryCurve
from tfrobust.results.spending import Spending
from tfrobust.types import Norm, PerImage

if TYPE_CHECKING:
    import pandas as pd

    from tfrobust.report.charts.plots import Plots

NORMS: tuple[Norm, ...] = ("l0", "l1", "l2", "linf")  # in the order of every record


class BudgetedWorstCase(Proportion):
    """The worst case over the attacks of one norm within one budget."""

    norm: Norm
    eps: Finite


class ThreatRecord(pydantic.BaseModel):
    """The threat model of one attack."""

    knowledge: Text
    norm: Norm | None
    targeted: bool


class GradientShares(pydantic.BaseModel):
    """Shares of the images whose first gradient was zero everywhere, or NaN or infinite somewhere.

    An attack that finds no gradient fails for that, and its figure says nothing of robustness.
    """

    zero: Share
    non_finite: Share


class AttackResult(Proportion):
    """What one attack did to one classifier; DESIGN's definitions of every figure."""

    name: Text
    params: AttackParams
    threat: ThreatRecord
    minimum_norm: bool = False
    continued_from: NotNegative | None = None  # the smaller budget that a warm start went on from
    corrective: bool = False  # it corrects images: its accuracy is that of the images it made
    crafted_on: Text | None
    success_rate: Share | None
    fooling_ratio: Share
    distance: dict[Norm, Spread]
    gradients: GradientShares | None = None  # where it asked for any
    gradients_per_image: NotNegative
    queries_per_image: NotNegative
    violations: Count
    cut_off: Count | None = None  # images whose attack a budget of queries ended, where there are
    by_queries: QueryCurve | None = None  # of a black-box attack on the classifier itself
    rejected: Share | None = None  # put into a class of nothing known, where there is one
    seconds: NotNegative

    @pydantic.model_validator(mode="after")
    def _measures_every_norm(self) -> AttackResult:
        if set(self.distance) != set(NORMS):
            raise ValueError(f"distance: expected {', '.join(NORMS)}")
        return self


class AdaptiveRecord(pydantic.BaseModel):
    """Why an attack is adaptive, and what it followed.

    Attributes:
        defenses: that declare it, innermost first.
        why: what makes it strong against them.
        source: the paper that broke or examined them.
        follows: whose gradients it used: the declared `surrogate`'s, the classifier's `own`, or
            `none` of them.
        draws: calls of a random classifier that each step averages; 1 of one that is not random.
    """

    defenses: list[Text]
    why: Text = ""
    source: Text = ""
    follows: Literal["surrogate", "own", "none"]
    draws: Count = 1


class AdaptiveResult(AttackResult):
    """What an attack did to a classifier whose defences it knows."""

    adaptive: AdaptiveRecord


class Moments(pydantic.BaseModel):
    """Mean and variance of the scores of one kind of images."""

    mean: Finite
    variance: NotNegative

    @classmethod
    def of(cls, values: PerImage) -> Moments:
        """Return those of `(n,)` values."""
        exact = np.asarray(values, np.float64)
        return cls(mean=float(exact.mean()), variance=float(exact.var()))


class OverFooling(pydantic.BaseModel):
    """How well a detector tells the images that fooled the classifier from clean ones.

    An attacked image that fools nobody is hardly adversarial. `None` where the attack fooled with
    no image; `accuracy` weights clean and fooling images equally.
    """

    images: Count
    auroc: Share | None = None
    tpr_at_5_fpr: Share | None = None
    accuracy: Share | None = None
    adversarial: Moments | None = None


class FittedOn(pydantic.BaseModel):
    """How many training images a detector learned from, and which attacked ones.

    `fooling` of them fooled the classifier; where those are enough it learned from them alone.
    """

    clean: Count
    adversarial: Count
    fooling: Count
    only_fooling: bool


class DetectorResult(pydantic.BaseModel):
    """How well one detector tells one attack's images from clean ones.

    The figures are over all attacked images, those of `fooled` over the ones that fooled the
    classifier. Older results tell neither those nor their numbers, nor the attack's budget.
    """

    name: Text
    params: dict[str, Any]
    attack: Text
    norm: Norm | None = None
    eps: Finite | None = None
    auroc: Share
    tpr_at_5_fpr: Share
    accuracy: Share
    threshold: Finite
    clean: Moments
    adversarial: Moments
    attacked: Count | None = None
    fooled: OverFooling | None = None
    fitted_on: FittedOn | None = None


class CorruptionErrors(pydantic.BaseModel):
    """One classifier's errors under the fifteen corruptions; see `tfrobust.evaluation.corruptions`.

    The ratios are `None` without a baseline, and where there is nothing to divide by.
    """

    classifier: Text
    clean: Share
    errors: dict[Text, list[Share]] = pydantic.Field(min_length=1)  # corruption → at each severity
    mean: dict[Text, Share]  # corruption → mean of these
    mce: Share
    baseline: Text | None = None
    ratio: dict[Text, NotNegative | None] = {}  # corruption → error as a share of the baseline's
    mce_ratio: NotNegative | None = None
    relative_mce_ratio: Finite | None = None

    @pydantic.model_validator(mode="after")
    def _is_rectangular(self) -> CorruptionErrors:
        if len({len(severities) for severities in self.errors.values()}) != 1 or not all(
            self.errors.values()
        ):
            raise ValueError("errors: expected as many severities of each corruption")
        if set(self.mean) != set(self.errors):
            raise ValueError("mean: expected one of each corruption")
        return self


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
