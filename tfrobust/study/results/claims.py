"""The claims of a paper, checked: on our figures, and on its own where its tables have them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tfrobust.study.results.lookup import Finished, in_paper
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.outputs import Check, Masked, Unit
from tfrobust.study.schema.study import Study

Lookup = Callable[[str, Measured], float | None]


@dataclasses.dataclass(frozen=True)
class Checked:
    """One comparison.

    Attributes:
        what: in words.
        holds: `None` where a figure is missing.
        numbers: network → what was compared, in the order of the check.
        asked: whether the scale has all cells that it takes.
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
        holds: on our figures; `None`: not yet known.
        checks: on our figures.
        in_paper: whether the paper's own figures bear it out, by the same checks; `None` where its
            tables lack them.
    """

    text: str
    holds: bool | None
    checks: list[Checked]
    in_paper: bool | None

    @property
    def asked(self) -> bool:
        """Whether the scale has all cells that it takes."""
        return all(check.asked for check in self.checks)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a network's robustness is real.

    Attributes:
        network: its title.
        naive: accuracy under the attack that knows nothing.
        naive_range: its 95 % interval, as text.
        strongest: accuracy under the strongest attack that knows the defence.
        strongest_range: likewise.
        by: the title of that attack.
        masked: looked robust, and fell.
    """

    network: str
    naive: float
    naive_range: str
    strongest: float
    strongest_range: str
    by: str
    masked: bool


def check_claims(study: Study, finished: Finished) -> list[Claimed]:
    """Return every claim of a study, checked."""
    papers = in_paper(study)

    def of_paper(network: str, measured: Measured) -> float | None:
        value = papers.get((network, measured.condition, measured.figure))
        if value is None or measured.other is None:
            return value
        return measured.combined(value, of_paper(network, measured.other))

    found = []
    for claim in study.claims:
        ours = [
            dataclasses.replace(
                _checked(study, check, finished.value), asked=_asks(finished, check)
            )
            for check in claim.checks
        ]
        theirs = [_checked(study, check, of_paper) for check in claim.checks]
        found.append(Claimed(claim.text, _all_hold(ours), ours, _all_hold(theirs)))
    return found


def verdict(outcome: Claimed | Checked) -> str:
    """Return in words whether a claim or a check holds.

    Example:
        >>> verdict(Checked("accuracy ≥ 50 %", None, {}, asked=False))
        'not asked at this scale'
    """
    if outcome.holds is None:
        return "not yet known" if outcome.asked else "not asked at this scale"
    return "holds" if outcome.holds else "does not hold"


def _asks(finished: Finished, check: Check) -> bool:
    return all(
        finished.expects(network, each.condition)
        for network in check.networks
        for each in check.value.parts
    )


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


def _in_words(study: Study, check: Check) -> str:
    value = _measured_in_words(study, check.value)
    if check.kind in ("rising", "falling"):
        return f"{value}; {check.kind} from first to last{_how_far(check)}"
    if check.winners:
        winners = ", ".join(study.networks[each].title for each in check.winners)
        if check.kind == "leap":
            return f"{value}; the greatest rise leads to {winners}"
        place = {1: "", 2: "second "}.get(check.place, f"{check.place}th ")
        return f"{value}; {place}{check.kind} for {'one of ' * (',' in winners)}{winners}"
    sign = {"below": "≤", "above": "≥", "within": "within ±"}[check.kind]
    return f"{value}; {sign} {shown(check.bound or 0.0, check.unit)} for all"


def _how_far(check: Check) -> str:
    by, most = shown(check.by, check.unit), shown(check.at_most or 0.0, check.unit)
    apart = f" by {by} or more" if check.by else ""
    if check.at_most is not None:
        apart = f" by {by} to {most}"
    slack = f", none behind another by more than {shown(check.tolerance, check.unit)}"
    return apart + (slack if check.tolerance else "")


def _measured_in_words(study: Study, measured: Measured) -> str:
    view, _, figure = measured.figure.partition(".")
    name, _, value = figure.partition("@")
    named = name.replace("_", " ").replace(".", ", ") + (f" at {value}" if value else "")
    named = named.replace(" at mean", ", mean")
    condition, seen = study.conditions[measured.condition], study.views[view]
    words = f"{condition.title} {seen.title}: {named}"
    if measured.other is None:
        return words
    joined, other = "less" if measured.less else "÷", _measured_in_words(study, measured.other)
    return f"{words}, {joined} ({other})" if measured.other.other else f"{words}, {joined} {other}"


def shown(value: float, unit: Unit) -> str:
    """Return a figure as tables show it: a share in per cent, a number with three digits or so."""
    if unit == "percent":
        return f"{value:.1%}"
    if value == 0:
        return "0"
    if abs(value) < 1:
        return f"{value:.3g}" if abs(value) >= 0.05 else f"{value:.2e}"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def verdicts(study: Study, finished: Finished) -> list[tuple[Masked, list[Verdict]]]:
    """Return each rule with the networks' verdicts; those not yet known are left out."""
    found = []
    for rule in study.masked:
        judged = (_verdict(study, rule, network, finished) for network in study.networks)
        found.append((rule, [each for each in judged if each is not None]))
    return found


def _verdict(study: Study, rule: Masked, network: str, finished: Finished) -> Verdict | None:
    """Return a network's verdict; `None` until every attack that is declared for it is known."""
    declared = [each for each in rule.adaptive if finished.expects(network, each.condition)]
    tried = [(finished.value(network, each), each) for each in declared]
    known = [(value, each) for value, each in tried if value is not None]
    naive = finished.value(network, rule.naive)
    if naive is None or not known or len(known) < len(tried):
        return None
    strongest, by = min(known, key=lambda pair: pair[0])
    return Verdict(
        network=study.networks[network].title,
        naive=naive,
        naive_range=_range(finished, network, rule.naive),
        strongest=strongest,
        strongest_range=_range(finished, network, by),
        by=study.conditions[by.condition].title,
        masked=naive >= rule.looks_robust and strongest <= rule.falls,
    )


def _range(finished: Finished, network: str, measured: Measured) -> str:
    """Return a share's 95 % interval as text; with several seeds, none."""
    ends = [
        finished.values(network, Measured(condition=measured.condition, figure=measured.figure + e))
        for e in ("_low", "_high")
    ]
    if any(len(values) != 1 for values in ends):
        return ""
    return f" [{', '.join(f'{100 * values[0]:.1f}' for values in ends)}]"
