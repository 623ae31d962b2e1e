"""The fate of images: what falls to everything, what to nothing, and of which classes."""

from __future__ import annotations

import numpy as np

from tfrobust.report.explorer import class_name
from tfrobust.report.tables import Table
from tfrobust.results.kinds import counted
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation, Results

_MOST_CLASSES = 20
_MOST_CONFUSED = 3  # classes that a class is taken for


def class_tables(results: Results, outcomes: Outcomes) -> list[Table]:
    """Return a table a classifier: each class before and after all attacks together.

    Args:
        results: of an evaluation.
        outcomes: of the same run.

    Returns:
        Nothing for a classifier under no attack. Of more than twenty classes, the ten that lose
        most and the ten that lose least.
    """
    return [
        _table(number, evaluation, outcomes)
        for number, evaluation in enumerate(results.unshifted)
        if evaluation.attacks or evaluation.adaptive
    ]


def _table(number: int, evaluation: Evaluation, outcomes: Outcomes) -> Table:
    label = outcomes.column("label")
    clean = outcomes.column(f"e{number}_clean") == label
    after = [left for _, left in counted(outcomes, number, evaluation)]
    if not after:
        after = [clean]
    held = np.logical_and.reduce([clean, *after])
    some = np.logical_or.reduce(after)
    rows = []
    for k in np.unique(label):
        own = label == k
        rows.append((float(held[own].sum() - clean[own].sum()) / int(own.sum()), k, own))
    rows.sort(key=lambda row: (row[0], row[1]))
    left_out = ""
    if len(rows) > _MOST_CLASSES:
        left_out = f" ({_MOST_CLASSES} of {len(rows)}: the ends)"
        half = _MOST_CLASSES // 2
        rows = [*rows[:half], *rows[-half:]]
    name = evaluation.classifier.name
    fallen = int((clean & ~some).sum())
    return Table(
        title=f"{name}, class by class",
        columns=("class", "images", "clean", "after all attacks", "then taken for"),
        sections=[
            [
                (
                    class_name(int(k), evaluation.classifier.class_names),
                    str(int(own.sum())),
                    f"{clean[own].mean():.1%}",
                    f"{held[own].mean():.1%}",
                    _confused(number, evaluation, outcomes, own & clean, int(k)),
                )
                for _, k, own in rows
            ]
        ],
        caption=f"the classes that lose most first{left_out}; of {int(clean.sum())} images that "
        f"are right, {int(held.sum())} fall to no attack and {fallen} to every one of {len(after)}",
    )


def _confused(
    number: int, evaluation: Evaluation, outcomes: Outcomes, rows: np.ndarray, label: int
) -> str:
    """Return which classes the attacks turn a class into most often."""
    counts: dict[int, int] = {}
    for letter, attacks in (("a", evaluation.attacks), ("x", evaluation.adaptive)):
        for k in range(len(attacks)):
            predicted = outcomes.column(f"e{number}_{letter}{k}_prediction")[rows]
            for other, count in zip(*np.unique(predicted, return_counts=True), strict=True):
                counts[int(other)] = counts.get(int(other), 0) + int(count)
    counts.pop(label, None)
    total = sum(counts.values())
    most = sorted(counts, key=lambda other: (-counts[other], other))[:_MOST_CONFUSED]
    names = evaluation.classifier.class_names
    return ", ".join(f"{class_name(k, names)} ({counts[k] / total:.0%})" for k in most) or "–"
