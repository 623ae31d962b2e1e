"""What a gate asks of a run, as one types it: `accuracy@linf=0.1 >= 0.4`."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import get_args

import numpy as np

from tfrobust.errors import UsageError, did_you_mean
from tfrobust.results.kinds import right_after
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.proportions import Proportion
from tfrobust.results.records import Evaluation
from tfrobust.types import Norm

NORMS: tuple[Norm, ...] = get_args(Norm)
_FORM = re.compile(
    r"\s*(?P<what>[A-Za-z_]\w*)\s*(?:@\s*(?P<norm>\w+)\s*=\s*(?P<eps>[^\s<>=]+))?"
    r"\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>\S+)\s*"
)
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Condition:
    """What is asked of a figure.

    Attributes:
        text: as it was typed.
        what: `clean`; `accuracy`: the worst case; `certified`; or the name of an attack.
        norm: of the budget; `None`: any.
        eps: the budget; `None`: any.
        sign: `>=`, `>`, `<=` or `<`.
        bound: a share from 0 to 1.
    """

    text: str
    what: str
    norm: Norm | None
    eps: float | None
    sign: str
    bound: float

    def holds(self, share: float) -> bool:
        """Tell whether a share is on the right side of the bound."""
        slack = _ROUNDING if self.sign == "<=" else -_ROUNDING if self.sign == ">=" else 0.0
        return _SIGNS[self.sign](share, self.bound + slack)

    def end(self, figure: Proportion) -> float:
        """Return the end of a figure's interval that is nearer to the wrong side."""
        return figure.interval[0 if self.sign.startswith(">") else 1]

    def of(self, figures: Sequence[Figure], classifier: str) -> list[Figure]:
        """Return those of a classifier's figures that are asked about.

        Raises:
            UsageError: there is none, naming those there are.
        """
        asked = [figure for figure in figures if figure.what == self.what and self._is_at(figure)]
        if not asked:
            known = list(dict.fromkeys(figure.name for figure in figures))
            name = f"{self.what}{_budget(self.norm, self.eps)}"
            raise UsageError(
                f"{self.text}: {classifier} has no figure {name}; there are "
                f"{', '.join(known)}{did_you_mean(name, known)}"
            )
        return asked

    def _is_at(self, figure: Figure) -> bool:
        if self.eps is None:  # of worst cases, the one over all attacks
            return self.what != "accuracy" or figure.eps is None
        return figure.norm == self.norm and _same(figure.eps, self.eps)


@dataclasses.dataclass(frozen=True)
class Figure:
    """An accuracy that a condition may ask about.

    Attributes:
        what: `clean`, `accuracy`, `certified` or an attack's name.
        norm: of the budget; `None`: there is none.
        eps: the budget; `None`: there is none.
        share: itself, with its interval.
    """

    what: str
    norm: Norm | None
    eps: float | None
    share: Proportion

    @property
    def name(self) -> str:
        """As a condition spells it: `pgd@linf=0.1`."""
        return f"{self.what}{_budget(self.norm, self.eps)}"


def figures_of(number: int, evaluation: Evaluation, outcomes: Outcomes) -> Iterator[Figure]:
    """Yield every figure of an evaluation that a condition may ask about.

    The worst case at a budget is over all attacks of its norm up to that budget.

    Args:
        number: of the evaluation in its run, from 0.
        evaluation: itself.
        outcomes: of the run.
    """
    yield Figure("clean", None, None, evaluation.clean)
    right = list(right_after(outcomes, number, evaluation))
    if right:
        yield Figure("accuracy", None, None, evaluation.worst_case)
    budgeted = [
        (attack.threat.norm, float(attack.params["eps"]), left)
        for attack, left in right
        if attack.params.get("eps") and attack.threat.norm and not attack.corrective
    ]
    for norm, eps in dict.fromkeys((norm, eps) for norm, eps, _ in budgeted):
        left = [flags for other, size, flags in budgeted if other == norm and size <= eps]
        yield Figure("accuracy", norm, eps, Proportion.of(np.logical_and.reduce(left)))
    for attack, _ in right:
        yield Figure(attack.name, attack.threat.norm, attack.params.get("eps"), attack)
    proven: dict[tuple[Norm, float], Proportion] = {}
    for certificate in evaluation.certificates:
        if certificate.contradictions:
            continue  # what an attack contradicts proves nothing
        for within in certificate.within:
            known = proven.get((certificate.norm, within.eps))
            if known is None or known.accuracy < within.accuracy:
                proven[certificate.norm, within.eps] = within
    for (norm, eps), share in proven.items():
        yield Figure("certified", norm, eps, share)


def _same(eps: float | None, asked: float) -> bool:
    """Tell whether a budget is meant, as precisely as it is printed."""
    return eps is not None and f"{eps:g}" == f"{asked:g}"


def _number(text: str) -> float:
    """Return a number, or a fraction such as 8/255."""
    over, slash, under = text.partition("/")
    return float(over) / float(under) if slash else float(over)


def read_condition(text: str) -> Condition:
    """Return a condition as it was typed.

    Args:
        text: `WHAT[@NORM=EPS] SIGN SHARE`, with `clean`, `accuracy` (the worst case), `certified`
            or an attack's name for `WHAT`.

    Raises:
        UsageError: it is not of that form.

    Example:
        >>> read_condition("accuracy@linf=0.1 >= 0.4").eps
        0.1
    """
    match = _FORM.fullmatch(text)
    expected = "expected WHAT[@NORM=EPS] >= SHARE, such as accuracy@linf=0.1 >= 0.4"
    if not match:
        raise UsageError(f"--min: {expected}; received: {text!r}")
    norm, eps = match["norm"], match["eps"]
    if norm is not None and norm not in NORMS:
        raise UsageError(
            f"--min: expected one of {', '.join(NORMS)} after @; received: {norm!r}"
            f"{did_you_mean(norm, NORMS)}"
        )
    try:
        budget = None if eps is None else _number(eps)
        bound = float(match["bound"])
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"--min: {expected}; received: {text!r}") from None
    if not 0 <= bound <= 1 or (budget is not None and not 0 <= budget < float("inf")):
        raise UsageError(
            f"--min: expected a share from 0 to 1 and a budget from 0; received: {text!r}"
        )
    return Condition(text.strip(), match["what"], norm, budget, match["sign"], bound)


def _budget(norm: str | None, eps: float | None) -> str:
    return "" if eps is None else f"@{norm}={eps:g}"
