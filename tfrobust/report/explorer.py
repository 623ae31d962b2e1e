"""Image by image: what an image was taken for, what falls to everything, what to nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfrobust.report.tables import HeatRow, Row, Table
from tfrobust.results.kinds import counted
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation, Results

_TOP = 2  # classes before, and as many after, whose probabilities are shown
_MOST_NUMBERED = 12  # images that are named by their numbers
_MOST_CLASSES = 12  # of a matrix


@dataclasses.dataclass(frozen=True)
class Answer:
    """The probability of a class before and after an attack, in [0, 1]."""

    name: str
    before: float
    after: float


@dataclasses.dataclass(frozen=True)
class Confusion:
    """What the classes of a classifier are taken for.

    Attributes:
        title: whose, and when.
        columns: the classes that it answers with.
        rows: each true class, with the shares of its images.
    """

    title: str
    columns: list[str]
    rows: list[HeatRow]


def answers(number: int, k: int, i: int, outcomes: Outcomes, names: Sequence[str]) -> list[Answer]:
    """Return the likeliest classes of an example, before and after an attack; none: not known.

    Args:
        number: of the evaluation in its run, from 0.
        k: of the attack, from 0.
        i: of the example, from 0.
        outcomes: of the run.
        names: of the classes.
    """
    keys = f"e{number}_example_clean_probabilities", f"e{number}_example_a{k}_probabilities"
    if any(key not in outcomes.examples for key in keys):
        return []
    before, after = (outcomes.examples[key][i].astype(np.float64) for key in keys)
    if np.isnan(before).any() or np.isnan(after).any():
        return []
    likeliest = [*np.argsort(-before)[:_TOP], *np.argsort(-after)[:_TOP]]
    return [
        Answer(class_name(int(c), names), float(before[c]), float(after[c]))
        for c in dict.fromkeys(likeliest)
    ]


def fate_table(results: Results, outcomes: Outcomes) -> Table | None:
    """Return how many images fall to none, some and all of the attacks; `None`: none was run.

    Example:
        >>> fate_table(results, outcomes).sections[0][0]
        ('d1', 'no attack', '163', '45.3%', '0, 4, 7, 12, …')
    """
    sections = [
        section
        for number, evaluation in enumerate(results.evaluations)
        if (section := _fates(number, evaluation, outcomes))
    ]
    if not sections:
        return None
    return Table(
        title="What falls to everything, and what to nothing",
        columns=("classifier", "falls to", "images", "share", "their numbers"),
        sections=sections,
        caption="of all attacks of the run, at all their budgets; numbers are positions in the "
        "split, from 0, as in outcomes.parquet",
    )


def _fates(number: int, evaluation: Evaluation, outcomes: Outcomes) -> list[Row]:
    label = outcomes.column("label")
    clean = outcomes.column(f"e{number}_clean") == label
    left = [held for _, held in counted(outcomes, number, evaluation)]
    if not left:
        return []
    fallen = np.sum([~held for held in left], axis=0)
    several = len(left) > 1
    kinds = [
        ("no attack", clean & (fallen == 0)),
        (f"some of {len(left)}", clean & (fallen > 0) & (fallen < len(left))),
        (f"every one of {len(left)}" if several else "the attack", clean & (fallen == len(left))),
        ("nothing: wrong before", ~clean),
    ]
    return [
        (
            evaluation.classifier.name,
            title,
            str(int(flags.sum())),
            f"{flags.mean():.1%}",
            _numbered(np.flatnonzero(flags)),
        )
        for title, flags in kinds
        if several or not title.startswith("some")
    ]


def _numbered(positions: np.ndarray) -> str:
    first = ", ".join(str(int(position)) for position in positions[:_MOST_NUMBERED])
    return f"{first}, …" if len(positions) > _MOST_NUMBERED else first or "–"


def confusions(results: Results, outcomes: Outcomes) -> list[Confusion]:
    """Return what each class is taken for, before and under all attacks; none of many classes.

    After: over the images of all attacks together, so that each attack counts alike.
    """
    found = []
    for number, evaluation in enumerate(results.unshifted):
        classes, name = evaluation.classifier.num_classes, evaluation.classifier.name
        attacked = [
            outcomes.column(f"e{number}_{letter}{k}_prediction")
            for letter, attacks in (("a", evaluation.attacks), ("x", evaluation.adaptive))
            for k in range(len(attacks))
        ]
        if attacked and classes <= _MOST_CLASSES:
            clean = outcomes.column(f"e{number}_clean")
            found += [
                _confusion(f"{name}, clean images", evaluation, outcomes, [clean]),
                _confusion(f"{name}, under the attacks", evaluation, outcomes, attacked),
            ]
    return found


def _confusion(
    title: str, evaluation: Evaluation, outcomes: Outcomes, predicted: Sequence[np.ndarray]
) -> Confusion:
    classes, label = evaluation.classifier.num_classes, outcomes.column("label")
    counts = np.zeros((int(max(classes, label.max() + 1)), classes), np.int64)
    for answered in predicted:
        np.add.at(counts, (label, answered), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [class_name(k, evaluation.classifier.class_names) for k in range(len(counts))]
    rows = [
        (names[k], [(float(share), f"{100 * share:.0f}" if share else "") for share in shares[k]])
        for k in np.unique(label)
    ]
    return Confusion(title, names[:classes], rows)


def class_name(number: int, names: Sequence[str]) -> str:
    """Return a class by its name; by its number where older results know no names."""
    return names[number] if number < len(names) else str(number)
