"""The figures of a cell, declared once.

Cells measure these records, one a view, and the names that tables and claims may ask for are their
fields. A new figure is a new field: mypy then shows where it must be measured.
"""

from __future__ import annotations

import dataclasses

from tfrobust.study.schema.grid import Condition
from tfrobust.study.schema.study import Study
from tfrobust.study.schema.sweeps import MEAN


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """A group of figures that are measured together; `None` where there is nothing to measure."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all figures of the group."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @property
    def known(self) -> dict[str, float]:
        """Name → value of the figures that there are."""
        return {
            name: value for name, value in dataclasses.asdict(self).items() if value is not None
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class CleanFigures(Figures):
    """How a view does on clean images.

    Attributes:
        clean: the share that is right.
        clean_low: the lower end of its 95 % interval.
        clean_high: the upper end.
        error: 1 − `clean`.
        gain: `clean`, less that of the first view.
    """

    clean: float
    clean_low: float
    clean_high: float
    error: float
    gain: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackFigures(Figures):
    """How a view does under an attack; shares are of all images, from 0 to 1.

    Attributes:
        accuracy: right before and after the attack.
        accuracy_low: the lower end of its 95 % interval.
        accuracy_high: the upper end.
        fooling_ratio: given another class than the clean image.
        gradients: asked for, an image.
        queries: forward passes, an image.
        violations: images that break the attack's budget.
        median_l0: the median distance of the images that fooled, in pixels.
        median_l1: the same in L1.
        median_l2: the same in L2.
        median_linf: the same in L∞.
        success_rate: fooled, of the images that were right before.
        adversarial_accuracy: right after the attack, whatever they were before.
    """

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    fooling_ratio: float
    gradients: float
    queries: float
    violations: float
    median_l0: float | None
    median_l1: float | None
    median_l2: float | None
    median_linf: float | None
    success_rate: float | None
    adversarial_accuracy: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithinFigures(Figures):
    """How a view does under attacked images that keep to a distance.

    Attributes:
        accuracy_within: right before, and not fooled by an image `within` the distance.
    """

    accuracy_within: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class TogetherFigures(Figures):
    """How a view does under several attacks together; shares of all images, from 0 to 1.

    Attributes:
        white_box_accuracy: right under all that see gradients.
        black_box_accuracy: right under all that see scores or decisions.
        adaptive_accuracy: right under all that know its defences.
        worst_accuracy: right under everything.
        worst_low: the lower end of its 95 % interval.
        worst_high: the upper end.
    """

    white_box_accuracy: float | None
    black_box_accuracy: float | None
    adaptive_accuracy: float | None
    worst_accuracy: float
    worst_low: float
    worst_high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class CertificateFigures(Figures):
    """What certifiers prove of a view at the least budget of its attacks.

    Attributes:
        certified_accuracy: right whatever the attack, by the certifier that proves most.
    """

    certified_accuracy: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiagnosisFigures(Figures):
    """What a diagnosis of a view finds.

    Attributes:
        masked: how many checks say that the attack fails for a reason that is not robustness.
        suspect: how many say that it may.
        lowest_accuracy: right under everything that the checks ran, of the images diagnosed.
    """

    masked: float
    suspect: float
    lowest_accuracy: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorFigures(Figures):
    """How well a detector tells attacked images from clean ones.

    Attributes:
        auroc: area under the curve of true against false positives.
        accuracy: the share it gets right.
        tpr_at_5_fpr: true positives where 5 % of clean images are refused.
        threshold: of its score.
        fooling_images: how many attacked images fooled the classifier.
        fooling_auroc: `auroc` over these alone.
        fooling_accuracy: `accuracy` over these alone.
        fooling_tpr_at_5_fpr: `tpr_at_5_fpr` over these alone.
        clean_mean: of the scores of clean images.
        clean_variance: of the same.
        adversarial_mean: of the scores of attacked images.
        adversarial_variance: of the same.
    """

    auroc: float
    accuracy: float
    tpr_at_5_fpr: float
    threshold: float
    fooling_images: float | None
    fooling_auroc: float | None
    fooling_accuracy: float | None
    fooling_tpr_at_5_fpr: float | None
    clean_mean: float
    clean_variance: float
    adversarial_mean: float
    adversarial_variance: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class FootprintFigures(Figures):
    """What a view costs in the field.

    Attributes:
        megabytes: of its parameters.
        milliseconds: an image, one at a time.
    """

    megabytes: float
    milliseconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class DonatedFigures(Figures):
    """What a donor's defence costs that goes before a network, and what it costs in 8 bits.

    Attributes:
        part_megabytes: of the defence alone.
        int8_megabytes: the same in 8 bits.
        int8_accuracy: on clean images, through the defence in 8 bits.
        int8_milliseconds: an image, through the defence in 8 bits and the network.
    """

    part_megabytes: float
    int8_megabytes: float
    int8_accuracy: float
    int8_milliseconds: float


def weight_figure(stream: str) -> str:
    """Return the name of the figure that tells how much a stream weighs in a decision."""
    return f"weight_{stream}"


def at_value(figure: str, value: str) -> str:
    """Return the name of a figure at a value of a sweep, or at `MEAN`.

    Example:
        >>> at_value("accuracy", "40")
        'accuracy@40'
    """
    return f"{figure}@{value}"


def figures_of(study: Study, condition: Condition) -> set[str]:
    """Return the names of all figures that tables and claims may ask of a condition's cells.

    A cell also keeps what defences measured and no network declares as `found`: no study file is
    needed to know it later.

    Returns:
        `view.figure`, `view.figure@value` in a sweep, and `view.detector.figure`.
    """
    names = [*CleanFigures.names(), *_attack_names(condition)]
    for network in study.networks.values():
        names += [*map(weight_figure, network.streams), *network.found]
    if condition.footprint:
        names += FootprintFigures.names()
    if condition.attacks:
        names += [*TogetherFigures.names(), *(f"{a.name}.accuracy" for a in condition.attacks)]
    if condition.certifiers:
        names += CertificateFigures.names()
    if condition.diagnosed:
        names += DiagnosisFigures.names()
    figures = {f"{view}.{name}" for view in condition.judged for name in names}
    if condition.footprint:
        donated = [view for view in condition.judged if study.views[view].learned_from]
        figures |= {f"{view}.{name}" for view in donated for name in DonatedFigures.names()}
    return figures | {
        f"{condition.detected}.{detector.name}.{name}"
        for detector in condition.detectors
        for name in DetectorFigures.names()
    }


def _attack_names(condition: Condition) -> list[str]:
    if condition.attack is None:
        return []
    names = [*AttackFigures.names(), *(WithinFigures.names() if condition.within else ())]
    if condition.sweep is None:
        return names
    values = (*condition.sweep.names.values(), MEAN)
    return [at_value(name, value) for name in names for value in values]
