"""The claims of a paper, checked: on our figures, and on its own where its tables have them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

from tfrobust.study.cells import Finished, in_paper
from tfrobust.study.declared import Check, Masked, Measured, Study

Lookup = Callable[[str, Measured], float | None]


@dataclasses.dataclass(frozen=True)
class Checked:
    """One comparison.

    Attributes:
        what: in words.
        holds: `None` where a figure is missing.
        numbers: network → what was compared, in the order of the check.
    """

    what: str
    holds: bool | None
    numbers: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Claimed:
    """A claim with its checks.

    Attributes:
        text: the claim.
        holds: on our figures; `None`: not yet known.
        checks: on our figures.
        in_paper: whether the paper's own figures bear it out, by the same checks; `None` where its
            tables lack them.
    """

    text: str
    holds: bool | None
    checks: list[Checked]
    in_paper: bool | None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a network's robustness is real.

    Attributes:
        network: its title.
        naive: accuracy under the attack that knows nothing.
        strongest: accuracy under the strongest attack that knows the defence.
        by: the title of that attack.
        masked: looked robust, and fell.
    """

    network: str
    naive: float
    strongest: float
    by: str
    masked: bool


def check_claims(study: Study, finished: Finished) -> list[Claimed]:
    """Return every claim of a study, checked."""
    papers = in_paper(study)

    def of_paper(network: str, measured: Measured) -> float | None:
        value = papers.get((network, measured.condition, measured.figure))
        if value is None or measured.less is None:
            return value
        less = of_paper(network, measured.less)
        return None if less is None else value - less

    found = []
    for claim in study.claims:
        ours = [_checked(study, check, finished.value) for check in claim.checks]
        theirs = [_checked(study, check, of_paper) for check in claim.checks]
        found.append(Claimed(claim.text, _all_hold(ours), ours, _all_hold(theirs)))
    return found


def _all_hold(checks: Sequence[Checked]) -> bool | None:
    """Return false where one fails, `None` where one is unknown, else true."""
    outcomes = [check.holds for check in checks]
    return False if False in outcomes else None if None in outcomes else True


def _checked(study: Study, check: Check, lookup: Lookup) -> Checked:
    values = {network: lookup(network, check.value) for network in check.networks}
    known = {network: value for network, value in values.items() if value is not None}
    holds = _holds(check, known) if len(known) == len(values) else None
    return Checked(
        what=_in_words(study, check),
        holds=holds,
        numbers={
            study.networks[network].title: "–" if value is None else shown(value, check.unit)
            for network, value in values.items()
        },
    )


def _holds(check: Check, values: dict[str, float]) -> bool:
    numbers = list(values.values())
    bound = check.bound if check.bound is not None else 0.0
    if check.kind in ("rising", "falling"):
        sign = 1 if check.kind == "rising" else -1
        pairs = itertools.pairwise(numbers)
        steps = all(sign * (b - a) >= -check.tolerance for a, b in pairs)
        return steps and sign * (numbers[-1] - numbers[0]) > 0
    if check.kind == "below":
        return max(numbers) <= bound
    if check.kind == "above":
        return min(numbers) >= bound
    return max(values, key=lambda network: values[network]) in check.winners


def _in_words(study: Study, check: Check) -> str:
    value = _measured_in_words(study, check.value)
    if check.kind in ("rising", "falling"):
        slack = f", by no neighbour against by more than {shown(check.tolerance, check.unit)}"
        return f"{value}; {check.kind} from first to last{slack if check.tolerance else ''}"
    if check.kind == "greatest":
        winners = ", ".join(study.networks[each].title for each in check.winners)
        return f"{value}; greatest for one of {winners}"
    sign = "≤" if check.kind == "below" else "≥"
    return f"{value}; {sign} {shown(check.bound or 0.0, check.unit)} for all"


def _measured_in_words(study: Study, measured: Measured) -> str:
    view, _, figure = measured.figure.partition(".")
    named = figure.replace("_", " ").replace(".", ", ")
    condition, seen = study.conditions[measured.condition], study.views[view]
    words = f"{condition.title} {seen.title}: {named}"
    if measured.less is None:
        return words
    return f"{words}, less {_measured_in_words(study, measured.less)}"


def shown(value: float, unit: str) -> str:
    """Return a figure as tables show it: a share in per cent, a number with three digits."""
    return f"{value:.1%}" if unit == "percent" else f"{value:.2e}"


def verdicts(study: Study, finished: Finished) -> list[tuple[Masked, list[Verdict]]]:
    """Return each rule with the networks' verdicts; those not yet known are left out."""
    found = []
    for rule in study.masked:
        judged = (_verdict(study, rule, network, finished) for network in study.networks)
        found.append((rule, [each for each in judged if each is not None]))
    return found


def _verdict(study: Study, rule: Masked, network: str, finished: Finished) -> Verdict | None:
    naive = finished.value(network, rule.naive)
    tried = [
        (value, study.conditions[each.condition].title)
        for each in rule.adaptive
        if (value := finished.value(network, each)) is not None
    ]
    if naive is None or not tried:
        return None
    strongest, by = min(tried)
    masked = naive >= rule.looks_robust and strongest <= rule.falls
    return Verdict(study.networks[network].title, naive, strongest, by, masked)
