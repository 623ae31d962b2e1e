"""The result format: `results.json` and `outcomes.npz`."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from tfrobust.classifier import AppliedDefense
from tfrobust.errors import StoreError, one_line
from tfrobust.files import write_arrays, write_beside
from tfrobust.types import PerImage

Interval = tuple[float, float]


class Proportion(pydantic.BaseModel):
    """An accuracy with its 95 % Wilson interval."""

    accuracy: float
    interval: Interval


class BudgetedWorstCase(Proportion):
    """The worst case over the attacks of one norm within one budget."""

    norm: str
    eps: float


class Spread(pydantic.BaseModel):
    """Mean and median, `None` over no images."""

    mean: float | None
    median: float | None


class ThreatRecord(pydantic.BaseModel):
    """The threat model of one attack."""

    knowledge: str
    norm: str | None
    targeted: bool


class AttackResult(Proportion):
    """What one attack did to one classifier; DESIGN's definitions of every figure."""

    name: str
    params: dict[str, Any]
    threat: ThreatRecord
    minimum_norm: bool = False
    crafted_on: str | None
    success_rate: float | None
    fooling_ratio: float
    distance: dict[str, Spread]
    gradients_per_image: float
    queries_per_image: float
    violations: int
    rejected: float | None = None  # put into a class of nothing known, where there is one
    seconds: float


class Moments(pydantic.BaseModel):
    """Mean and variance of the scores of one kind of images."""

    mean: float
    variance: float

    @classmethod
    def of(cls, values: PerImage) -> Moments:
        """Return those of `(n,)` values."""
        exact = np.asarray(values, np.float64)
        return cls(mean=float(exact.mean()), variance=float(exact.var()))


class OverFooling(pydantic.BaseModel):
    """How well a detector tells the images that fooled the classifier from clean ones.

    An attacked image that fools nobody is hardly adversarial. `None` where the attack fooled with
    no image; `accuracy` weighs clean and fooling images alike.
    """

    images: int = pydantic.Field(ge=0)
    auroc: float | None = None
    tpr_at_5_fpr: float | None = None
    accuracy: float | None = None
    adversarial: Moments | None = None


class FittedOn(pydantic.BaseModel):
    """How many training images a detector learned from, and which attacked ones.

    `fooling` of them fooled the classifier; where those are enough it learned from them alone.
    """

    clean: int = pydantic.Field(ge=0)
    adversarial: int = pydantic.Field(ge=0)
    fooling: int = pydantic.Field(ge=0)
    only_fooling: bool


class DetectorResult(pydantic.BaseModel):
    """How well one detector tells one attack's images from clean ones.

    The figures are over all attacked images, those of `fooled` over the ones that fooled the
    classifier. Older results tell neither those nor their numbers.
    """

    name: str
    params: dict[str, Any]
    attack: str
    auroc: float
    tpr_at_5_fpr: float
    accuracy: float
    threshold: float
    clean: Moments
    adversarial: Moments
    attacked: int | None = pydantic.Field(None, ge=0)
    fooled: OverFooling | None = None
    fitted_on: FittedOn | None = None


class CorruptionErrors(pydantic.BaseModel):
    """One classifier's errors under the fifteen corruptions; see `tfrobust.corruptions`.

    The ratios are `None` without a baseline, and where there is nothing to divide by.
    """

    classifier: str
    clean: float
    errors: dict[str, list[float]]  # corruption → error at each severity
    mean: dict[str, float]  # corruption → mean of these
    mce: float
    baseline: str | None = None
    ratio: dict[str, float | None] = {}  # corruption → error as a share of the baseline's
    mce_ratio: float | None = None
    relative_mce_ratio: float | None = None


class ClassifierRecord(pydantic.BaseModel):
    """Whose robustness was measured.

    `class_names` are known where it was attacked: the scenario's, and the classifier's own beyond.
    """

    name: str
    path: str
    num_classes: int
    image_shape: tuple[int, int, int]
    defenses: list[AppliedDefense]
    class_names: tuple[str, ...] = ()


class ScenarioRecord(pydantic.BaseModel):
    """On which images."""

    name: str
    shift: str | None
    split: str
    images: int
    seed: int


class Evaluation(pydantic.BaseModel):
    """One classifier on one scenario under a list of attacks."""

    classifier: ClassifierRecord
    scenario: ScenarioRecord
    clean: Proportion
    attacks: list[AttackResult]
    worst_case: Proportion
    worst_case_by_budget: list[BudgetedWorstCase] = []
    baselines: list[AttackResult] = []
    detectors: list[DetectorResult] = []


class Results(pydantic.BaseModel):
    """All of `results.json`."""

    format: Literal["tfrobust/evaluation"] = "tfrobust/evaluation"
    version: Literal[1] = 1
    evaluations: list[Evaluation] = pydantic.Field(min_length=1)
    environment: dict[str, str]
    corruptions: list[CorruptionErrors] = []

    @property
    def unshifted(self) -> list[Evaluation]:
        """One evaluation a classifier: where there are corruptions, that of the clean scenario."""
        if not self.corruptions:
            return self.evaluations
        return [each for each in self.evaluations if each.scenario.shift is None]

    def to_json(self) -> str:
        """Return the text of `results.json`."""
        return self.model_dump_json(indent=1) + "\n"


def environment() -> dict[str, str]:
    """Return the versions that figures may depend on."""
    packages = ("tfrobust", "tensorflow", "keras", "tf_keras", "numpy", "cleverhans", "larq")
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_results(folder: Path, results: Results, outcomes: dict[str, np.ndarray]) -> None:
    """Write `results.json` and `outcomes.npz` into an existing folder.

    Raises:
        StoreError: the disk refuses.
    """
    write_arrays(folder / "outcomes.npz", outcomes)
    write_beside(folder / "results.json", lambda path: path.write_text(results.to_json()))


def read_results(folder: Path) -> Results:
    """Read `results.json` of a run folder.

    Raises:
        StoreError: it is missing or of another format.
    """
    path = folder / "results.json"
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: {one_line(error)}; run `tfrobust evaluate` first") from error
    except pydantic.ValidationError as error:
        raise StoreError(f"{path}: not a result of this version ({one_line(error)})") from error
