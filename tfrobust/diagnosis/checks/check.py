"""What a check is, and what it returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.diagnosis.bench import Bench
from tfrobust.results.findings import Finding, Verdict


@dataclasses.dataclass(frozen=True)
class Call:
    """The attack that a finding calls for.

    Attributes:
        attack: with its options.
        on: what it sees instead of the classifier.
        follows: what that is, in a few words.
    """

    attack: Attack
    on: Classifier | None = None
    follows: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a check found; see `Finding`.

    Attributes:
        calls: the attacks that the finding calls for.
        declares: traits of the classifier that nobody knew, for the checks that follow.
    """

    verdict: Verdict
    says: str
    cause: str | None = None
    figure: float | None = None
    threshold: float | None = None
    calls: tuple[Call, ...] = ()
    declares: Mapping[str, bool] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """A check.

    Attributes:
        name: in `diagnosis.json`.
        source: the paper.
        make: the check itself.
        gradients: whether it needs any.
        thorough: whether it is made only if asked to be thorough.
        repeated: whether it needs two calls that draw the same.
        cheap: whether a few passes are enough, so that every evaluation can make it.
    """

    name: str
    source: str
    make: Callable[[Bench], Result]
    gradients: bool = False
    thorough: bool = False
    repeated: bool = False
    cheap: bool = False

    def finding(self, result: Result) -> Finding:
        """Return the record of a result."""
        return Finding(
            check=self.name,
            source=self.source,
            verdict=result.verdict,
            cause=result.cause,
            says=result.says,
            figure=result.figure,
            threshold=result.threshold,
        )


def fine(says: str, figure: float | None = None, threshold: float | None = None) -> Result:
    """Return the result of a check that has nothing to say against the figure."""
    return Result(verdict=Verdict.FINE, says=says, figure=figure, threshold=threshold)


def not_applicable(says: str) -> Result:
    """Return the result of a check that asks for what is not there."""
    return Result(verdict=Verdict.NOT_APPLICABLE, says=says)


def percent(share: float) -> str:
    """Return a share as text.

    Example:
        >>> percent(0.125)
        '12.5 %'
    """
    return f"{100 * share:.3g} %"
