"""The claims of a paper, checked: on our figures, and on its own where its tables have them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tfrobust.study.results.lookup import Lookup, in_paper
from tfrobust.study.results.wording import check_in_words, formatted
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.outputs import Check
from tfrobust.study.schema.study import Study

FigureOf = Callable[[str, Measured], float | None]  # network, figure → value


@dataclasses.dataclass(frozen=True)
class Checked:
    """One comparison, checked.

    Attributes:
        what: the comparison in words.
        holds: whether it holds; `None` where a figure is missing.
        numbers: network → the figure that was compared, in the order of the check.
        asked: whether the scale has all cells that it needs.
    """

    what: str
    holds: bool | None
    numbers: dict[str, str]
    asked: bool = True


@dataclasses.dataclass(frozen=True)
class Claimed:
    """A claim with its checks.

    Attributes:
        text: the claim.
        holds: whether it holds on our figures; `None`: not yet known.
        checks: its checks on our figures.
        in_paper: whether it holds on the paper's own figures, by the same checks; `None` where the
            paper's tables lack them.
    """

    text: str
    holds: bool | None
    checks: list[Checked]
    in_paper: bool | None

    @property
    def asked(self) -> bool:
        """Whether the scale has all cells that it needs."""
        return all(check.asked for check in self.checks)


def check_claims(study: Study, lookup: Lookup) -> list[Claimed]:
    """Return every claim of a study, checked.

    Args:
        study: the study.
        lookup: its results at one scale.
    """
    papers = in_paper(study)

    def of_paper(network: str, measured: Measured) -> float | None:
        value = papers.get((network, measured.condition, measured.figure))
        if value is None or measured.other is None:
            return value
        return measured.combined(value, of_paper(network, measured.other))

    claims = []
    for claim in study.claims:
        ours = [
            dataclasses.replace(_checked(study, check, lookup.value), asked=_asked(lookup, check))
            for check in claim.checks
        ]
        theirs = [_checked(study, check, of_paper) for check in claim.checks]
        claims.append(Claimed(claim.text, _all_hold(ours), ours, _all_hold(theirs)))
    return claims


def verdict(outcome: Claimed | Checked) -> str:
    """Return in words whether a claim or a check holds.

    Example:
        >>> verdict(Checked("accuracy ≥ 50 %", None, {}, asked=False))
        'not asked at this scale'
    """
    if outcome.holds is None:
        return "not yet known" if outcome.asked else "not asked at this scale"
    return "holds" if outcome.holds else "does not hold"


def _asked(lookup: Lookup, check: Check) -> bool:
    return all(
        lookup.expects(network, part.condition)
        for network in check.networks
        for part in check.value.parts
    )


def _all_hold(checks: Sequence[Checked]) -> bool | None:
    """Return false where one fails, `None` where one is unknown, else true."""
    outcomes = [check.holds for check in checks]
    return False if False in outcomes else None if None in outcomes else True


def _checked(study: Study, check: Check, figure_of: FigureOf) -> Checked:
    values = {network: figure_of(network, check.value) for network in check.networks}
    known = {network: value for network, value in values.items() if value is not None}
    holds = _holds(check, known) if len(known) == len(values) else None
    return Checked(
        what=check_in_words(study, check),
        holds=holds,
        numbers={
            study.networks[network].title: "–" if value is None else formatted(value, check.unit)
            for network, value in values.items()
        },
    )


def _holds(check: Check, values: dict[str, float]) -> bool:
    numbers = np.array(list(values.values()))
    bound = check.bound or 0.0
    if check.kind in ("rising", "falling"):
        return _in_order(check, numbers if check.kind == "rising" else -numbers)
    if check.kind == "below":
        return bool((numbers <= bound).all())
    if check.kind == "above":
        return bool((numbers >= bound).all())
    if check.kind == "within":
        return bool((abs(numbers) <= bound).all())
    names = list(values)
    if check.kind == "leap":
        rises = np.diff(numbers)
        return names[1 + int(rises.argmax())] in check.winners and bool(rises.max() > 0)
    order = np.argsort(numbers if check.kind == "least" else -numbers, kind="stable")
    return names[order[check.place - 1]] in check.winners


def _in_order(check: Check, rising: np.ndarray) -> bool:
    """Tell whether numbers rise: none far behind the best before it, the ends far enough apart."""
    apart = rising[-1] - rising[0]
    behind = np.maximum.accumulate(rising) - rising
    enough = apart > 0 and apart >= check.by
    return bool(
        (behind <= check.tolerance).all()
        and enough
        and (check.at_most is None or apart <= check.at_most)
    )
