"""The claims of a paper, checked: on our figures, and on its own where its tables have them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tfrobust.study.results.judging import Verdict, judged, on_points
from tfrobust.study.results.lookup import Lookup, in_paper
from tfrobust.study.results.sentences import sentence
from tfrobust.study.results.wording import check_in_words, formatted
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.outputs import Check, Claim
from tfrobust.study.schema.study import Study

_HOLDS = {Verdict.HOLDS: True, Verdict.FAILS: False}
# What of several checks tells of the claim: one that fails settles it, whatever the others are.
_ORDER = (Verdict.FAILS, Verdict.NOT_ASKED, Verdict.UNKNOWN, Verdict.UNJUDGED, Verdict.HOLDS)


@dataclasses.dataclass(frozen=True)
class Checked:
    """One comparison, checked.

    Attributes:
        what: the comparison in words, as the study declares it.
        verdict: what came of it.
        sentence: what was compared, with the figures and their intervals.
        reason: why it cannot be judged, or empty.
        numbers: network → the figure that was compared, in the order of the check.
    """

    what: str
    verdict: Verdict
    sentence: str = ""
    reason: str = ""
    numbers: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        """Whether it holds; `None` where that is not known, or cannot be judged."""
        return _HOLDS.get(self.verdict)


@dataclasses.dataclass(frozen=True)
class Claimed:
    """A claim with its checks.

    Attributes:
        text: the claim.
        verdict: what came of it.
        checks: its checks on our figures.
        in_paper: whether it holds on the paper's own figures, by the same checks without intervals;
            `None` where the paper's tables lack them.
    """

    text: str
    verdict: Verdict
    checks: list[Checked]
    in_paper: bool | None

    @property
    def holds(self) -> bool | None:
        """Whether it holds; `None` where that is not known, or cannot be judged."""
        return _HOLDS.get(self.verdict)

    @property
    def reasons(self) -> list[str]:
        """The kinds of reasons why it cannot be judged, each once; empty if it can."""
        if self.verdict is not Verdict.UNJUDGED:
            return []
        kinds = (check.reason.partition(":")[0] for check in self.checks if check.reason)
        return list(dict.fromkeys(kinds))


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

    def holds_in_paper(check: Check) -> bool | None:
        values = {network: of_paper(network, check.value) for network in check.networks}
        known = {network: value for network, value in values.items() if value is not None}
        return on_points(check, known) if len(known) == len(values) else None

    claims = []
    for claim in study.claims:
        ours = [_checked(study, claim, check, lookup) for check in claim.checks]
        theirs = [holds_in_paper(check) for check in claim.checks]
        in_papers = False if False in theirs else None if None in theirs else True
        claims.append(Claimed(claim.text, _together(ours), ours, in_papers))
    return claims


def verdict(outcome: Claimed | Checked) -> str:
    """Return in words whether a claim or a check holds.

    Example:
        >>> verdict(Checked("accuracy ≥ 50 %", Verdict.NOT_ASKED))
        'not asked at this scale'
    """
    return outcome.verdict.value


def _together(checks: Sequence[Checked]) -> Verdict:
    return min((check.verdict for check in checks), key=_ORDER.index)


def _checked(study: Study, claim: Claim, check: Check, lookup: Lookup) -> Checked:
    judgement = judged(study, check, lookup, claim.needs)
    values = {network: lookup.value(network, check.value) for network in check.networks}
    asked = judgement.verdict is not Verdict.NOT_ASKED
    return Checked(
        what=check_in_words(study, check),
        verdict=judgement.verdict,
        sentence=sentence(study, check, lookup, judgement) if asked else "",
        reason=judgement.reason,
        numbers={
            study.networks[network].title: "–" if value is None else formatted(value, check.unit)
            for network, value in values.items()
        },
    )
