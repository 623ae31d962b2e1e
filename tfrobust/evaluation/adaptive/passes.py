"""Adaptive attacks as further passes of an evaluation, one a classifier.

The attacks see the classifier through the surrogate that its defences declare (BPDA), and average
several draws of a random one (EOT). What they make is judged on the classifier itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.victim import victim_of
from tfrobust.errors import UsageError
from tfrobust.evaluation.adaptive.attacks import (
    KnowingAttack,
    budgets_of,
    declared_by,
    knowing_attacks,
)
from tfrobust.evaluation.blocks.gathered import AdaptiveRun, Judgement
from tfrobust.evaluation.blocks.gathering import Gathered
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.results.attack_records import AdaptiveRecord


@dataclasses.dataclass(frozen=True)
class AdaptivePass:
    """The adaptive attacks on one classifier.

    Attributes:
        name: of the classifier.
        settings: of the pass.
        attacks: in the order of `settings.attacks`.
    """

    name: str
    settings: EvaluationSettings
    attacks: tuple[KnowingAttack, ...]


def adaptive_passes(settings: EvaluationSettings) -> list[AdaptivePass]:
    """Return the passes that an evaluation makes beside its own; none unless it is adaptive.

    Args:
        settings: of the evaluation.

    Raises:
        UsageError: a defence has no gradients and declares no surrogate, or no budget is in a norm
            of its adaptive attacks.
    """
    if settings.adaptive is None:
        return []
    budgets, passes = budgets_of(settings.attacks, settings.adaptive), []
    for name, classifier in settings.classifiers.items():
        attacks = tuple(knowing_attacks(classifier, name, budgets))
        _check_followed(name, classifier, attacks)
        if attacks:
            own = dataclasses.replace(
                settings,
                classifiers={name: classifier},
                attacks=[knowing.attack for knowing in attacks],
                baselines=(),
                detectors=(),
                adaptive=None,
                follows_surrogate=True,
                warm_start=False,
            )
            passes.append(AdaptivePass(name, own, attacks))
    return passes


def with_adaptive(gathered: Gathered, passes: Sequence[AdaptivePass]) -> list[Judgement]:
    """Return what was measured of each classifier, its adaptive attacks included.

    Args:
        gathered: of a first pass and these.
        passes: from `adaptive_passes`.
    """
    runs = {
        one.name: _runs(one, gathered.judgements(number)[0])
        for number, one in enumerate(passes, start=1)
    }
    return [
        dataclasses.replace(judgement, adaptive=runs.get(judgement.subject.name, ()))
        for judgement in gathered.judgements(0)
    ]


def adaptive_notes(settings: EvaluationSettings) -> Iterator[str]:
    """Yield a line for each classifier that no adaptive attack is known of."""
    if settings.adaptive is None:
        return
    for name, classifier in settings.classifiers.items():
        if not any(map(declared_by, classifier.defenses)):
            carried = ", ".join(defense.name for defense in classifier.defenses)
            why = f"{carried} declares no adaptive attack" if carried else "it carries no defence"
            yield f"{name}: {why}; the attacks that are asked for are all it is attacked by"


def _runs(one: AdaptivePass, judgement: Judgement) -> list[AdaptiveRun]:
    attacked = one.settings.attacked[one.name]
    return [
        AdaptiveRun(run, _record(knowing, attacked))
        for run, knowing in zip(judgement.attacked, one.attacks, strict=True)
    ]


def _record(knowing: KnowingAttack, attacked: Classifier) -> AdaptiveRecord:
    draws = 1
    if attacked.stochastic:
        draws = victim_of(knowing.attack, attacked)[1] * attacked.passes
    return AdaptiveRecord(
        defenses=list(dict.fromkeys(knowing.defenses)),
        why=_all(one.why for one in knowing.declared),
        source=_all(one.source for one in knowing.declared),
        follows=_follows(knowing.attack, attacked),
        draws=draws,
    )


def _all(texts: Iterable[str]) -> str:
    """Return what several defences say of an attack, each thing once."""
    return "; ".join(dict.fromkeys(filter(None, texts)))


def _follows(attack: Attack, attacked: Classifier) -> Literal["surrogate", "own", "none"]:
    if not attack.needs_gradients:
        return "none"
    return "own" if attacked.differentiable else "surrogate"


def _check_followed(name: str, classifier: Classifier, attacks: Sequence[KnowingAttack]) -> None:
    """Refuse a classifier that its adaptive attacks cannot follow.

    Raises:
        UsageError: says what is missing.
    """
    if classifier.differentiable or classifier.surrogate is not None:
        return
    if attacks and not any(knowing.attack.needs_gradients for knowing in attacks):
        return
    carried = ", ".join(defense.name for defense in classifier.defenses) or "it"
    raise UsageError(
        f"adaptive: {name}: {carried} has no gradients and declares no surrogate to follow "
        "(Defense.surrogate); declare one, or leave out --adaptive and take attacks that need no "
        "gradients (--attack square)"
    )
