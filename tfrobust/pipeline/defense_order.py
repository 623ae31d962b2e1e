"""Which defence may follow which: no later one may undo an earlier one, or be blocked by it."""

from __future__ import annotations

from collections.abc import Sequence

from tfrobust.classifier import AppliedDefense
from tfrobust.defense import Defense, Stage
from tfrobust.errors import RobustError, UsageError
from tfrobust.registry import create, signature

_DOES = {"weights": "changes the weights", "start": "begins with new weights"}


def check_order(defenses: Sequence[Defense], carried: Sequence[AppliedDefense] = ()) -> None:
    """Refuse defences in an order in which one undoes an earlier one, or cannot be applied.

    Nothing is applied or trained.

    Args:
        defenses: in the order they are to be applied.
        carried: the defences that the classifier has already.

    Raises:
        UsageError: naming the two, why, and the right order if there is one.

    Example:
        >>> check_order([create("defenses", "mc_dropout"), create("defenses", "pgd_training")])
        UsageError: defenses: pgd_training cannot follow mc_dropout, which wraps the network ...
    """
    for later in defenses:
        _check_beside(later, carried)
    for place, later in enumerate(defenses):
        for first in defenses[:place]:
            if why := conflict(first, later):
                raise UsageError(_refusal(first, later, why, defenses))


def conflict(first: Defense, later: Defense) -> str | None:
    """Return why one defence cannot follow another, as a clause; `None` where it can."""
    name = _name(later)
    if "network" in later.needs and first.wraps:
        return f"which wraps the network that {name} needs unwrapped"
    if "classes" in later.needs and "head" in first.changes:
        return f"which gives the network other classes than {name} needs"
    undone = [
        change for change in _DOES if change in later.changes and change in (first.undone_by or ())
    ]
    return f"which {name} undoes: it {_DOES[undone[-1]]}" if undone else None


def right_order(defenses: Sequence[Defense]) -> list[Defense] | None:
    """Return the defences in an order that `check_order` accepts, changed as little as possible.

    Returns:
        `None`: there is no such order.
    """
    remaining, ordered = list(defenses), []
    while remaining:
        for place, defense in enumerate(remaining):
            others = remaining[:place] + remaining[place + 1 :]  # the same object may come twice
            if not any(conflict(defense, other) for other in others):
                break
        else:
            return None
        ordered.append(remaining.pop(place))
    return ordered


def outlived(
    carried: Sequence[AppliedDefense], known: Sequence[Defense], later: Defense
) -> tuple[AppliedDefense, ...]:
    """Return the records of earlier defences, without measurements that may not hold any more.

    A defence that does not declare what undoes it may be followed by one that changes the weights;
    but then nobody knows whether its measurements still hold.

    Args:
        carried: the records.
        known: the defences of the last records.
        later: is applied now.
    """
    if "weights" not in later.changes and "start" not in later.changes:
        return tuple(carried)
    before = len(carried) - len(known)
    defenses = [*map(defense_of, carried[:before]), *known]
    return tuple(
        record
        if defense and defense.undone_by is not None
        else AppliedDefense(record.name, record.params)
        for record, defense in zip(carried, defenses, strict=True)
    )


def _check_beside(later: Defense, carried: Sequence[AppliedDefense]) -> None:
    """Refuse a defence that undoes one that a finished classifier has.

    `apply` sees what is put around that classifier, and can refuse it itself.
    """
    for applied in carried:
        first = defense_of(applied)
        if first is None:
            continue
        if _name(first) == _name(later) and first.wraps and "network" in later.needs:
            raise UsageError(
                f"defenses: expected a defence that the classifier has not yet; received: "
                f"{applied.name}, which already wraps it; leave it out"
            )
        undone = set(later.changes) & set(first.undone_by or ()) & set(_DOES)
        if undone:
            does = "start" if "start" in undone else "weights"
            raise UsageError(
                f"defenses: expected one that leaves {applied.name} as it is, which the classifier "
                f"carries; received: {_name(later)}, which {_DOES[does]}; "
                + _carried_advice(first, later)
            )


def _carried_advice(first: Defense, later: Defense) -> str:
    """Return how to get both defences, where the classifier has the one that goes last."""
    one, two = _name(later), _name(first)
    if first.stage is Stage.TRAINING:  # a finished network cannot be given it
        return f"train a new model, with --defense {one} --defense {two}"
    if conflict(later, first):
        return f"apply {one} to the network as it was before {two}"
    return f"apply {one} to the network as it was before {two}, and {two} to what comes out"


def defense_of(applied: AppliedDefense) -> Defense | None:
    """Return the plugin of a record; `None` for a detector, or one that is not installed."""
    try:
        defense: Defense = create("defenses", applied.name, **applied.params)
        return defense
    except RobustError:
        return None


def _refusal(first: Defense, later: Defense, why: str, defenses: Sequence[Defense]) -> str:
    given = ", ".join(map(_name, defenses))
    known = f"defenses: {_name(later)} cannot follow {_name(first)}, {why}; received: {given}; "
    ordered = right_order(defenses)
    if ordered is None:
        return known + "leave one of them out"
    return known + "give " + " ".join(f"--defense {_name(defense)}" for defense in ordered)


def _name(defense: Defense) -> str:
    name: str = signature(defense)["name"]
    return name
