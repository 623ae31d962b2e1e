"""Figures of one run that contradict each other: what should be weaker breaks more.

Who sees the gradients knows more than who does not, many steps find more than one, and a ball holds
every smaller ball around the same image. Where the outcomes of a run say otherwise beyond doubt,
its gradients are masked, or its attacks are too weak to be believed; `tfrobust diagnose` tells
which. Nothing is computed for it.

Carlini et al., "On evaluating adversarial robustness" (2019); Athalye, Carlini & Wagner,
"Obfuscated gradients give a false sense of security" (2018).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from tfrobust.diagnosis.pairs import Pair, compare
from tfrobust.norms.titles import NORM_TITLES
from tfrobust.results.attack_records import AttackResult
from tfrobust.results.findings import Finding, Verdict
from tfrobust.results.kinds import Kind, is_unlimited, kind_of, right_after
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation
from tfrobust.types import Flags, Norm

_SOURCE = "Carlini et al. 2019"
_STEPS = ("steps", "nb_iter", "max_iterations", "restarts", "binary_search_steps")
_Ball = tuple[Norm, float]
_SHOWN = 3  # attacks in a sentence


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """What one attack did to the images that were right before.

    Attributes:
        attack: with its options.
        kind: what it knows.
        broken: bool `(n,)`.
    """

    attack: AttackResult
    kind: Kind
    broken: Flags

    @property
    def ball(self) -> _Ball:
        """The norm and the radius."""
        norm, eps = self.attack.threat.norm, self.attack.params["eps"]
        if norm is None:  # `_outcomes` leaves those out
            raise ValueError(f"{self.attack.name}: works in no norm")
        return norm, float(eps)

    @property
    def by_many_steps(self) -> bool:
        """Whether it sees the gradients, more often than once."""
        options = [self.attack.params.get(option) for option in _STEPS]
        several = any(isinstance(number, int) and number > 1 for number in options)
        several |= self.attack.gradients_per_image > 1
        return self.kind in ("white box", "adaptive") and several


def contradictions(outcomes: Outcomes, number: int, evaluation: Evaluation) -> list[Finding]:
    """Return what the figures of a classifier say against themselves, a finding a check at most.

    Two attacks are compared on the same images, by McNemar's exact test: a difference counts where
    it is beyond doubt (p < 0.01) and at least 5 % of the images that were right.

    Args:
        outcomes: of every image.
        number: of the evaluation in its run, from 0.
        evaluation: itself; attacks that saw another classifier are transferred ones.

    Example:
        >>> [finding.cause for finding in contradictions(outcomes, 0, evaluation)]
        ['black box beats white box']
    """
    known = list(_outcomes(outcomes, number, evaluation))
    found: dict[str, tuple[Pair, Finding]] = {}
    for check, pair, finding in itertools.chain(_in_one_ball(known), _in_several(known)):
        if pair.is_certain and (check not in found or pair.p < found[check][0].p):
            found[check] = pair, finding
    return [finding for _, finding in found.values()]


def _outcomes(outcomes: Outcomes, number: int, evaluation: Evaluation) -> Iterator[_Outcome]:
    """Yield the attacks that have a ball."""
    right = outcomes.column(f"e{number}_clean") == outcomes.column("label")
    for attack, left in right_after(outcomes, number, evaluation):
        bounded = attack.threat.norm is not None and attack.params.get("eps") is not None
        if bounded and not attack.corrective and not is_unlimited(attack):
            yield _Outcome(attack, kind_of(attack, evaluation.classifier.name), ~left[right])


def _in_one_ball(known: Sequence[_Outcome]) -> Iterator[tuple[str, Pair, Finding]]:
    """Compare each weaker kind with all attacks of many steps in the same ball."""
    weaker: dict[str, tuple[str, Callable[[_Outcome], bool]]] = {
        "one step": ("one step beats many", lambda one: one.kind == "white box"),
        "black box": ("black box beats white box", lambda one: one.kind == "black box"),
        "transfer": ("transfer beats gradients", lambda one: one.kind == "transfer"),
        "noise": ("noise beats gradients", lambda one: one.kind == "noise"),
    }
    for ball in dict.fromkeys(one.ball for one in known):
        inside = [one for one in known if one.ball == ball]
        strong = [one for one in inside if one.by_many_steps]
        others = [one for one in inside if not one.by_many_steps]
        for check, (cause, belongs) in weaker.items():
            weak = [one for one in others if belongs(one)]
            if weak and strong:
                pair = compare(_union(weak), _union(strong))
                says = (
                    f"at {_title(ball)} {_names(weak)} {_break(weak)} {pair.more} of {pair.images} "
                    f"images that {_names(strong)} left, and {pair.less} the other way round "
                    f"(p = {pair.p:.1g}): gradients are masked, or the attack is too weak"
                )
                yield check, pair, _finding(check, cause, says, pair)


def _in_several(known: Sequence[_Outcome]) -> Iterator[tuple[str, Pair, Finding]]:
    """Compare each attack of many steps with itself in the next smaller ball."""
    attacks: dict[str, list[_Outcome]] = {}
    for one in known:
        options = {name: value for name, value in one.attack.params.items() if name != "eps"}
        same = json.dumps([one.attack.name, one.kind, options], sort_keys=True, default=str)
        if one.by_many_steps and one.attack.continued_from is None:
            attacks.setdefault(same, []).append(one)
    for several in attacks.values():
        ordered = sorted(several, key=lambda one: one.ball)
        for small, large in itertools.pairwise(ordered):
            pair = compare(small.broken, large.broken)
            says = (
                f"{small.attack.name} breaks {pair.more} of {pair.images} images at "
                f"{_title(small.ball)} that it leaves at {_title(large.ball)}, and {pair.less} the "
                f"other way round (p = {pair.p:.1g})"
            )
            yield "budgets", pair, _finding("budgets", "a larger budget breaks less", says, pair)


def _finding(check: str, cause: str, says: str, pair: Pair) -> Finding:
    return Finding(
        check=check,
        verdict=Verdict.SUSPECT,
        cause=cause,
        says=says,
        figure=pair.gain,
        threshold=0.0,
        source=_SOURCE,
    )


def _union(several: Iterable[_Outcome]) -> Flags:
    return np.logical_or.reduce([one.broken for one in several])


def _break(several: Sequence[_Outcome]) -> str:
    return "breaks" if len(several) == 1 else "break"


def _names(several: Sequence[_Outcome]) -> str:
    names = list(dict.fromkeys(one.attack.name for one in several))
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])


def _title(ball: _Ball) -> str:
    norm, eps = ball
    return f"{NORM_TITLES[norm]} ≤ {eps:g}"
