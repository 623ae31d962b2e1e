"""Attacks before a network learned from them, and again after: what it learned that lasts.

A network that was trained on what fooled an earlier one is shown the same images again, and is then
attacked again, white-box. The report shows the fooling ratios before and after side by side.
"""

from __future__ import annotations

import dataclasses

from tfrobust.classifier import Classifier
from tfrobust.errors import UsageError
from tfrobust.evaluation.blocks.gathered import GatheredAttack, Judgement
from tfrobust.evaluation.evaluator import assemble, gather
from tfrobust.evaluation.learned_attacks import check_learns_anew
from tfrobust.evaluation.resuming import Partial
from tfrobust.evaluation.settings import EvaluationSettings, Progress, checked
from tfrobust.execution.executor import Executor
from tfrobust.results.run_files import Evaluated


def reattack(
    settings: EvaluationSettings,
    *,
    partial: Partial | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Evaluated:
    """Judge classifiers on what was crafted on an earlier one, and attack them again white-box.

    Args:
        settings: of an evaluation with `crafted_on`, the classifier that was attacked before;
            without detectors.
        partial: keeps finished work, so that an interrupted evaluation goes on.
        progress: receives how far each attack is.
        executor: computes the blocks; `None`: this process.

    Returns:
        Results and outcomes: the earlier classifier comes first. Of each classifier the attacks
        that were crafted on the earlier one come first, then the white-box ones.

    Raises:
        UsageError: there is no attack, no classifier that was attacked before, or none beside it;
            there are detectors or certifiers; an attack applies what its file holds. And as
            `evaluate`.

    Example:
        >>> old, new = load("f"), load("f-gap")
        >>> settings = EvaluationSettings(
        ...     classifiers={"f-gap": new}, crafted_on=("f", old),
        ...     scenario=create("scenarios", "digits"), attacks=[create("attacks", "gap")])
        >>> reattack(settings).results.evaluations[1].attacks[-1].fooling_ratio
    """
    old = _check(settings)
    settings = checked(with_earlier(settings))
    classifiers = settings.classifiers.items()
    others = {name: classifier for name, classifier in classifiers if classifier is not old}
    passes: tuple[EvaluationSettings, ...] = (settings,)
    if others:
        white_box = dataclasses.replace(settings, classifiers=others, crafted_on=None, baselines=())
        passes = settings, white_box
    gathered = gather(passes, partial, progress=progress, executor=executor)
    first = gathered.judgements(0)
    again = {
        judged.subject.name: [_white_box(attacked) for attacked in judged.attacked]
        for judged in first
        if judged.subject.classifier is old  # attacked white-box already
    }
    if others:
        again |= {judged.subject.name: list(judged.attacked) for judged in gathered.judgements(1)}
    joined = [_joined(judged, again[judged.subject.name]) for judged in first]
    return assemble(settings, gathered, joined, partial)


def with_earlier(settings: EvaluationSettings) -> EvaluationSettings:
    """Return the settings with the classifier that was attacked before as the first one judged."""
    if settings.crafted_on is None:
        return settings
    old_name, old = settings.crafted_on
    others = {name: other for name, other in settings.classifiers.items() if name != old_name}
    return dataclasses.replace(settings, classifiers={old_name: old} | others)


def _check(settings: EvaluationSettings) -> Classifier:
    """Return the classifier that was attacked before, if the settings make sense."""
    if settings.crafted_on is None:
        raise UsageError(
            "reattack: expected the classifier that was attacked before; give crafted_on "
            "(--crafted-on)"
        )
    old_name, old = settings.crafted_on
    classifiers = settings.classifiers
    if all(new is old or new.source == old.source != "" for new in classifiers.values()):
        raise UsageError(
            f"reattack: expected a classifier to attack again beside {old_name}, which was "
            f"attacked before; received: {', '.join(classifiers)}, the same"
        )
    if not settings.attacks:
        raise UsageError("reattack: expected an attack to run again; give one (--attack)")
    check_learns_anew(settings.attacks)
    if settings.detectors:
        raise UsageError(
            "reattack: cannot be combined with detectors; evaluate them in a run of their own"
        )
    if settings.certifiers:
        raise UsageError(
            "reattack: cannot be combined with certifiers; evaluate with them in a run of its own"
        )
    return old


def _white_box(attacked: GatheredAttack) -> GatheredAttack:
    """Return what an attack did to the very classifier that it was crafted on."""
    return dataclasses.replace(attacked, crafted_on=None)


def _joined(judgement: Judgement, again: list[GatheredAttack]) -> Judgement:
    return dataclasses.replace(judgement, attacked=[*judgement.attacked, *again])
