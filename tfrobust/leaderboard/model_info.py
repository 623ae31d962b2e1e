"""RobustBench's record of a model, as far as results know it.

Croce et al., "RobustBench: a standardized adversarial robustness benchmark" (2021). Accuracies are
texts of percent there, and ε is one too. Who made a model, where it was published and what it was
trained on beside its data are for its maker to fill in.
"""

from __future__ import annotations

from typing import Any

from tfrobust.leaderboard.records import Entry
from tfrobust.results.proportions import Proportion


def model_info(
    entry: Entry, dataset: str, eps: float, autoattack: Proportion | None = None
) -> dict[str, Any]:
    """Return the fields of RobustBench's `model_info`.

    Args:
        entry: of the leaderboard.
        dataset: the scenario's name.
        eps: the budget.
        autoattack: accuracy under it, if it was run.

    Example:
        >>> model_info(entry, "cifar10", 8 / 255)["eps"]
        '8/255'
    """
    return {
        "link": None,
        "name": entry.classifier,
        "authors": None,
        "additional_data": None,
        "number_forward_passes": entry.passes,
        "dataset": dataset,
        "venue": None,
        "architecture": None,
        "eps": budget(eps),
        "clean_acc": _percent(entry.clean.accuracy),
        "reported": _percent(entry.robust.accuracy),
        "autoattack_acc": _percent(autoattack.accuracy) if autoattack else None,
        "unreliable": entry.is_masked,
        "footnote": "; ".join(entry.defenses) or None,
    }


def budget(eps: float) -> str:
    """Return ε as its readers write it: in 255ths where it is a whole number of them.

    Example:
        >>> budget(8 / 255), budget(0.3), budget(1.0)
        ('8/255', '0.3', '1')
    """
    grey = eps * 255
    if eps < 1 and abs(grey - round(grey)) < 1e-6 and not _is_short(eps):
        return f"{round(grey)}/255"
    return f"{eps:g}"


def _is_short(eps: float) -> bool:
    return abs(round(eps, 3) - eps) < 1e-12


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
