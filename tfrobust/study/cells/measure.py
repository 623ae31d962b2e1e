"""The figures of a cell, as an evaluation and its classifiers give them; see `schema.figures`."""

from __future__ import annotations

import numpy as np

from tfrobust.classifier import Classifier
from tfrobust.evaluation.streams.features import Streamed
from tfrobust.results.attack_records import AttackResult
from tfrobust.results.detectors import DetectorResult
from tfrobust.results.kinds import Kind
from tfrobust.results.metrics import wilson
from tfrobust.results.records import Evaluation
from tfrobust.results.run_files import Evaluated
from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.right import right_under
from tfrobust.study.schema.figures import (
    AttackFigures,
    CertificateFigures,
    CleanFigures,
    DetectorFigures,
    TogetherFigures,
    WithinFigures,
    at_value,
    weight_figure,
)
from tfrobust.study.schema.sweeps import MEAN, Sweep


def weight_figures(judged: dict[str, Classifier]) -> dict[str, float]:
    """Return how much each stream weighs in the views that decide by several."""
    return {
        f"{view}.{weight_figure(stream)}": weight
        for view, classifier in judged.items()
        if isinstance(classifier, Streamed)
        for stream, weight in classifier.mean_weights().items()
    }


def found_figures(judged: dict[str, Classifier]) -> dict[str, float]:
    """Return the numbers that the views' defences measured when applied, such as label accuracy."""
    return {
        f"{view}.{name}": float(value)
        for view, classifier in judged.items()
        for defense in classifier.defenses
        for name, value in defense.found.items()
        if isinstance(value, int | float)
    }


def evaluation_figures(cell: Cell, evaluated: Evaluated) -> dict[str, float]:
    """Return what every view does on clean images, under the attack and before detectors."""
    evaluations = evaluated.results.evaluations
    first = evaluations[0].clean.accuracy
    return {
        f"{evaluation.classifier.name}.{name}": value
        for number, evaluation in enumerate(evaluations)
        for name, value in {
            **_clean(evaluation, first).known,
            **_attack(cell, number, evaluated),
            **_together(cell, number, evaluated),
            **_certificates(evaluation),
            **_detectors(evaluation),
        }.items()
    }


def histograms(cell: Cell, evaluated: Evaluated) -> dict[str, list[int]]:
    """Return `clean` and `adversarial` → how many of a detector's scores lie in each bin."""
    bins = cell.condition.histogram
    if bins is None:
        return {}
    detectors = [plugin.name for plugin in cell.condition.detectors]
    view = cell.condition.judged.index(str(cell.condition.detected))
    prefix = f"e{view}_d{detectors.index(bins.detector)}"
    edges = np.linspace(bins.low, bins.high, bins.count + 1)
    counts = {}
    for kind in ("clean", "adversarial"):
        scores = np.clip(evaluated.outcomes.column(f"{prefix}_{kind}"), bins.low, bins.high)
        counts[kind] = np.histogram(scores, edges)[0].tolist()
    return counts


def _clean(evaluation: Evaluation, first: float) -> CleanFigures:
    accuracy, (low, high) = evaluation.clean.accuracy, evaluation.clean.interval
    return CleanFigures(
        clean=accuracy, clean_low=low, clean_high=high, error=1 - accuracy, gain=accuracy - first
    )


def _detectors(evaluation: Evaluation) -> dict[str, float]:
    return {
        f"{detector.name}.{name}": value
        for detector in evaluation.detectors
        for name, value in _detector(detector).known.items()
    }


def _attack(cell: Cell, number: int, evaluated: Evaluated) -> dict[str, float]:
    """Return one view's figures under the attack; in a sweep one for each value, and the mean."""
    if cell.condition.attacks:
        return {}
    by_attack = _by_attack(cell, number, evaluated)
    if (sweep := cell.condition.sweep) is not None:
        return _swept(sweep, by_attack)
    return by_attack[0] if by_attack else {}


def _together(cell: Cell, number: int, evaluated: Evaluated) -> dict[str, float]:
    """Return one view's figures under several attacks together, and under each of them."""
    if not cell.condition.attacks:
        return {}
    evaluation = evaluated.results.evaluations[number]
    right = right_under(evaluated.outcomes, number, evaluation)
    low, high = wilson(int(right["worst"].sum()), len(right["worst"]))

    def share(kind: Kind) -> float | None:
        return float(right[kind].mean()) if kind in right else None

    figures = TogetherFigures(
        white_box_accuracy=share("white box"),
        black_box_accuracy=share("black box"),
        adaptive_accuracy=share("adaptive"),
        worst_accuracy=float(right["worst"].mean()),
        worst_low=low,
        worst_high=high,
    )
    each = {f"{attack.name}.accuracy": attack.accuracy for attack in evaluation.attacks}
    return figures.known | each


def _certificates(evaluation: Evaluation) -> dict[str, float]:
    """Return what is proven of one view at the least budget, by the certifier that proves most.

    A certificate that an attack contradicts proves nothing.
    """
    proven = [
        certificate.within[0].accuracy
        for certificate in evaluation.certificates
        if certificate.within and not certificate.contradictions
    ]
    return CertificateFigures(certified_accuracy=max(proven)).known if proven else {}


def _by_attack(cell: Cell, number: int, evaluated: Evaluated) -> list[dict[str, float]]:
    """Return one view's figures under each attack: one, or several in a sweep."""
    outcomes, within = evaluated.outcomes, cell.condition.within
    label = outcomes.column("label")
    right = outcomes.rows(number, "prediction") == label
    by_attack = [
        _under_attack(attack, float(right[k].mean())).known
        for k, attack in enumerate(evaluated.results.evaluations[number].attacks)
    ]
    if within is None:
        return by_attack
    clean = outcomes.column(f"e{number}_clean") == label
    near = outcomes.rows(number, within.norm) <= within.distance
    unbroken = clean & ~(outcomes.rows(number, "reached") & near)
    return [
        figures | WithinFigures(accuracy_within=float(unbroken[k].mean())).known
        for k, figures in enumerate(by_attack)
    ]


def _swept(sweep: Sweep, by_attack: list[dict[str, float]]) -> dict[str, float]:
    by_value = dict(zip(sweep.names.values(), by_attack, strict=True))
    figures = {
        at_value(name, value): figure
        for value, measured in by_value.items()
        for name, figure in measured.items()
    }
    for name in {name for measured in by_attack for name in measured}:
        mean = sweep.mean(
            {v: measured[name] for v, measured in by_value.items() if name in measured}
        )
        if mean is not None:
            figures[at_value(name, MEAN)] = mean
    return dict(sorted(figures.items()))


def _under_attack(attack: AttackResult, adversarial_accuracy: float) -> AttackFigures:
    low, high = attack.interval
    return AttackFigures(
        accuracy=attack.accuracy,
        accuracy_low=low,
        accuracy_high=high,
        fooling_ratio=attack.fooling_ratio,
        gradients=attack.gradients_per_image,
        queries=attack.queries_per_image,
        violations=attack.violations,
        median_l0=attack.distance["l0"].median,
        median_l1=attack.distance["l1"].median,
        median_l2=attack.distance["l2"].median,
        median_linf=attack.distance["linf"].median,
        success_rate=attack.success_rate,
        adversarial_accuracy=adversarial_accuracy,
    )


def _detector(detector: DetectorResult) -> DetectorFigures:
    fooled = detector.fooled
    return DetectorFigures(
        auroc=detector.auroc,
        accuracy=detector.accuracy,
        tpr_at_5_fpr=detector.tpr_at_5_fpr,
        threshold=detector.threshold,
        fooling_images=fooled.images if fooled else None,
        fooling_auroc=fooled.auroc if fooled else None,
        fooling_accuracy=fooled.accuracy if fooled else None,
        fooling_tpr_at_5_fpr=fooled.tpr_at_5_fpr if fooled else None,
        clean_mean=detector.clean.mean,
        clean_variance=detector.clean.variance,
        adversarial_mean=detector.adversarial.mean,
        adversarial_variance=detector.adversarial.variance,
    )
