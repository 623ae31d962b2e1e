"""Runs the attacks of an evaluation: what several judgements share is crafted once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.data.reading import arrays
from tfrobust.engine.learning import LearningAttack, learned
from tfrobust.engine.run import Crafted, run_attack
from tfrobust.engine.staged import GrowingAttack, grown_together, run_stages
from tfrobust.evaluation.fitting_images import (
    AttackedTraining,
    FittingImages,
    attack_training,
    audited_training,
)
from tfrobust.evaluation.judging import Attacked, Subject, audit_attack
from tfrobust.evaluation.resuming import Partial
from tfrobust.evaluation.settings import EvaluationInputs
from tfrobust.options import has_option
from tfrobust.registry import name_of


class AttackRuns:
    """Crafts the images of an evaluation, each of them once.

    Args:
        inputs: of the evaluation.
        partial: keeps finished attacks on disk, or `None`.
    """

    def __init__(self, inputs: EvaluationInputs, partial: Partial | None = None) -> None:
        self._inputs, self._partial = inputs, partial
        # The key of growing noise has no classifier: it asks none.
        self._crafted: dict[tuple[Classifier | None, Attack], Crafted] = {}
        self._training: dict[tuple[Classifier, Attack], AttackedTraining] = {}

    def attack_all(self, subject: Subject, attacks: Sequence[Attack]) -> list[Attacked]:
        """Run the attacks on one classifier and audit what they made.

        A minimum-norm attack at several budgets runs once. So does noise at several counts, and an
        attack that is crafted on one other classifier for all.
        """
        for stages in grown_together(attacks):
            self._grow(subject, stages)
        wanted = Counter(map(_without_budget, attacks))
        attacked = []
        for attack in attacks:
            bare = _without_budget(attack)
            crafted = self._craft(subject, bare)
            attacked.append(audit_attack(self._inputs, subject, attack, crafted))
            wanted[bare] -= 1
            if not (wanted[bare] or self._inputs.settings.crafted_on):
                self._crafted.pop((subject.classifier, bare), None)  # not needed again
        return attacked

    def to_fit(self, subject: Subject) -> Callable[[Attack], FittingImages]:
        """Return a function that attacks training images for the detectors of one classifier."""
        settings, attacked = self._inputs.settings, self._attacked(subject)

        def images(attack: Attack) -> FittingImages:
            key = attacked, _without_budget(attack)
            if key not in self._training:
                self._training[key] = attack_training(
                    key[1],
                    attacked,
                    settings.scenario,
                    len(self._inputs.images),
                    seed=settings.seed,
                    batch_size=settings.batch_size,
                )
            protected = subject.classifier
            return audited_training(
                self._training[key], attack, protected, batch_size=settings.batch_size
            )

        return images

    def _attacked(self, subject: Subject) -> Classifier:
        crafted_on = self._inputs.settings.crafted_on
        return crafted_on[1] if crafted_on else subject.classifier

    def _craft(self, subject: Subject, attack: Attack) -> Crafted:
        key = None if isinstance(attack, GrowingAttack) else self._attacked(subject), attack
        if key not in self._crafted:
            crafted = self._run(subject, attack)
            if not (attack.minimum_norm or self._inputs.settings.crafted_on):
                return crafted
            self._crafted[key] = crafted
        return self._crafted[key]

    def _grow(self, subject: Subject, stages: Sequence[GrowingAttack]) -> None:
        """Make all stages of one noise, once for all classifiers."""
        inputs, attacked = self._inputs, self._attacked(subject)
        if (None, stages[0]) in self._crafted:
            return
        grown = run_stages(
            stages,
            attacked,
            inputs.images,
            inputs.labels,
            seed=inputs.settings.seed,
            on_progress=_reporter(inputs, name_of(stages[-1]), len(inputs.images)),
        )
        self._crafted |= {
            (None, stage): crafted for stage, crafted in zip(stages, grown, strict=True)
        }

    def _run(self, subject: Subject, attack: Attack) -> Crafted:
        inputs, partial, attacked = self._inputs, self._partial, self._attacked(subject)
        settings = inputs.settings
        if partial and (kept := partial.load(inputs, subject, attack)):
            return kept
        crafted = run_attack(
            _ready(attack, attacked, inputs),
            attacked,
            inputs.images,
            inputs.labels,
            targets=settings.targets,
            known_classes=settings.scenario.num_classes,
            boxes=inputs.boxes,
            seed=settings.seed,
            batch_size=settings.batch_size,
            on_progress=_reporter(inputs, _title(subject, attack), len(inputs.images)),
        )
        if partial:
            partial.save(inputs, subject, attack, crafted)
        return crafted


def _ready(attack: Attack, classifier: Classifier, inputs: EvaluationInputs) -> Attack:
    """Return an attack that learns fitted to training images, and any other as it is."""
    if not isinstance(attack, LearningAttack):
        return attack
    settings = inputs.settings
    images, labels = arrays(settings.scenario, "train", attack.training_images)
    report = _reporter(inputs, f"{name_of(attack)} learns", len(images))
    return learned(attack, classifier, images, labels, seed=settings.seed, on_progress=report)


def _title(subject: Subject, attack: Attack) -> str:
    budget = "" if attack.budget is None or attack.minimum_norm else f" ε={attack.budget:g}"
    return f"{subject.name} · {name_of(attack)}{budget}"


def _reporter(inputs: EvaluationInputs, what: str, total: int) -> Callable[[int], None] | None:
    if inputs.progress is None:
        return None
    report = inputs.progress
    report(what, 0, total)
    return lambda done: report(what, done, total)


def _without_budget(attack: Attack) -> Attack:
    if attack.minimum_norm and has_option(attack, "eps"):
        return dataclasses.replace(attack, eps=None)  # type: ignore[type-var]
    return attack
