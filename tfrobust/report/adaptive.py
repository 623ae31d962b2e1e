"""What is left under attacks that know the defence."""

from __future__ import annotations

from tfrobust.report.tables import Row, Table, attack_title, percent
from tfrobust.results.attack_records import AdaptiveRecord
from tfrobust.results.records import Evaluation, Results

_FOLLOWED = {"surrogate": "the surrogate", "own": "its own gradients", "none": "no gradients"}


def adaptive_table(results: Results) -> Table | None:
    """Return a row a classifier and adaptive attack; `None` where there was none.

    Example:
        >>> adaptive_table(read_results(run)).columns[-1]
        'accuracy'
    """
    sections = [_rows(evaluation) for evaluation in results.evaluations if evaluation.adaptive]
    if not sections:
        return None
    return Table(
        title="Attacks that know the defence",
        columns=("classifier", "attack", "knows", "follows", "source", "accuracy"),
        sections=sections,
        caption="adaptive attacks, as the defences declare them; judged on the classifier itself, "
        "and part of its worst case",
    )


def _rows(evaluation: Evaluation) -> list[Row]:
    name = evaluation.classifier.name
    rows: list[Row] = [
        (
            name,
            attack_title(attack),
            ", ".join(attack.adaptive.defenses),
            followed(attack.adaptive),
            attack.adaptive.source,
            percent(attack),
        )
        for attack in evaluation.adaptive
    ]
    return [*rows, (name, "worst case of all attacks", "", "", "", percent(evaluation.worst_case))]


def followed(record: AdaptiveRecord) -> str:
    """Return what an adaptive attack followed: `the surrogate, mean of 20 draws`."""
    mean = f", mean of {record.draws} draws" if record.draws > 1 else ""
    return _FOLLOWED[record.follows] + mean
