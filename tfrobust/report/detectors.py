"""Detectors in the report: how their scores are spread over clean and attacked images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfrobust.report.charts.colours import COLOURS
from tfrobust.report.charts.figures import as_svg
from tfrobust.report.tables import attacked_by
from tfrobust.results.detectors import DetectorResult
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation, Results

_BINS = 50
_CLEAN, _ADVERSARIAL = COLOURS[0], COLOURS[1]


def histograms(results: Results, outcomes: Outcomes) -> list[dict[str, Any]]:
    """Return `{"title", "boundary", "svg"}` for each detector and attack: how scores are spread.

    `boundary` says how the detector's boundary is drawn, or where beyond the scores it lies.
    """
    drawings = []
    for number, evaluation in enumerate(results.evaluations):
        for k, detector in enumerate(evaluation.detectors):
            clean, adversarial = (
                outcomes.column(f"e{number}_d{k}_{kind}") for kind in ("clean", "adversarial")
            )
            title = f"{evaluation.classifier.name}: {detector.name} against {attacked_by(detector)}"
            fooling = adversarial[_fooled(number, k, evaluation, outcomes)]
            drawn = _histogram(detector, clean, adversarial, fooling, title)
            boundary = _boundary(detector.threshold, _edges(clean, adversarial))
            drawings.append({"title": title, "boundary": boundary, "svg": drawn})
    return drawings


def _fooled(number: int, k: int, evaluation: Evaluation, outcomes: Outcomes) -> np.ndarray:
    """Return which images fooled the classifier under the attack of line `k`, bool `(images,)`.

    None does under an attack that corrects images, or where an older result does not count them.
    """
    right = outcomes.column(f"e{number}_clean") == outcomes.column("label")
    lines_of_an_attack = len(evaluation.detectors) // len(evaluation.attacks)
    row = k // lines_of_an_attack
    if evaluation.detectors[k].fooled is None or evaluation.attacks[row].corrective:
        return np.zeros_like(right)
    fooled: np.ndarray = outcomes.row(number, row, "success") & right
    return fooled


def _edges(clean: np.ndarray, adversarial: np.ndarray) -> list[float]:
    """Return the edges of the bins that scores are counted in."""
    both = np.concatenate([clean, adversarial])
    low, high = np.quantile(both, [0.0, 0.995])  # one wild score would squeeze all others
    return list(np.linspace(low, high if high > low else low + 1.0, _BINS + 1))


def _is_shown(threshold: float, edges: Sequence[float]) -> bool:
    return bool(edges[0] <= threshold <= edges[-1])


def _boundary(threshold: float, edges: Sequence[float]) -> str:
    """Return what the caption says of the boundary."""
    if _is_shown(threshold, edges):
        return "dotted: its boundary"
    side = "above" if threshold > edges[-1] else "below"
    return f"its boundary, {threshold:.4g}, lies {side} what is shown"


def _histogram(
    detector: DetectorResult,
    clean: np.ndarray,
    adversarial: np.ndarray,
    fooling: np.ndarray,
    salt: str,
) -> str:
    figure = Figure(figsize=(4.2, 2.5), layout="constrained")
    axes = figure.add_subplot()
    edges = _edges(clean, adversarial)
    for scores, colour, label in (
        (clean, _CLEAN, "clean"),
        (adversarial, _ADVERSARIAL, "attacked"),
    ):
        kept = np.clip(scores, edges[0], edges[-1])
        axes.hist(kept, edges, color=colour, alpha=0.6, label=label)
    if 0 < len(fooling) < len(adversarial):
        kept = np.clip(fooling, edges[0], edges[-1])
        axes.hist(kept, edges, color=_ADVERSARIAL, histtype="step", label="fooling among them")
    if _is_shown(detector.threshold, edges):
        axes.axvline(detector.threshold, color="black", linewidth=1, linestyle=":")
    axes.set_xlabel("score")
    axes.set_ylabel("images")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return as_svg(figure, salt)
