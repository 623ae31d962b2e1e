"""Crafts the images of an evaluation: what several judgements share is made once."""

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
from tfrobust.evaluation.detection import FittingImages, Lesson, fitting_images, lesson
from tfrobust.evaluation.judging import Attacked, Plan, Subject, judge
from tfrobust.evaluation.resuming import Partial
from tfrobust.options import has_option
from tfrobust.registry import name_of


class Workshop:
    """Crafts every image of an evaluation, and none of them twice.

    Args:
        plan: of the evaluation.
        partial: keeps finished attacks on disk, or `None`.
    """

    def __init__(self, plan: Plan, partial: Partial | None = None) -> None:
        self._plan, self._partial = plan, partial
        self._made: dict[tuple[Classifier | None, Attack], Crafted] = {}  # noise asks none
        self._fitting: dict[tuple[Classifier, Attack], Lesson] = {}

    def attack_all(self, subject: Subject, attacks: Sequence[Attack]) -> list[Attacked]:
        """Run the attacks on one classifier and judge what they made.

        A minimum-norm attack at several budgets runs once, noise at several counts too, and so
        does every attack that is crafted on the same other classifier for all.
        """
        for stages in grown_together(attacks):
            self._grow(subject, stages)
        wanted = Counter(map(_without_budget, attacks))
        found = []
        for attack in attacks:
            bare = _without_budget(attack)
            found.append(judge(self._plan, subject, attack, self._craft(subject, bare)))
            wanted[bare] -= 1
            if not (wanted[bare] or self._plan.crafted_on):
                self._made.pop((subject.classifier, bare), None)  # nobody asks for it again
        return found

    def to_fit(self, subject: Subject) -> Callable[[Attack], FittingImages]:
        """Return what attacks training images for the detectors of one classifier."""
        plan, attacked = self._plan, self._attacked(subject)

        def images(attack: Attack) -> FittingImages:
            key = attacked, _without_budget(attack)
            if key not in self._fitting:
                self._fitting[key] = lesson(
                    key[1],
                    attacked,
                    plan.scenario,
                    len(plan.images),
                    seed=plan.seed,
                    batch_size=plan.batch_size,
                )
            protected = subject.classifier
            return fitting_images(self._fitting[key], attack, protected, batch_size=plan.batch_size)

        return images

    def _attacked(self, subject: Subject) -> Classifier:
        return self._plan.crafted_on[1] if self._plan.crafted_on else subject.classifier

    def _craft(self, subject: Subject, attack: Attack) -> Crafted:
        key = None if isinstance(attack, GrowingAttack) else self._attacked(subject), attack
        if key not in self._made:
            crafted = self._run(subject, attack)
            if not (attack.minimum_norm or self._plan.crafted_on):
                return crafted
            self._made[key] = crafted
        return self._made[key]

    def _grow(self, subject: Subject, stages: Sequence[GrowingAttack]) -> None:
        """Make all stages of one noise, which every classifier is then shown."""
        plan, attacked = self._plan, self._attacked(subject)
        if (None, stages[0]) in self._made:
            return
        grown = run_stages(
            stages,
            attacked,
            plan.images,
            plan.labels,
            seed=plan.seed,
            on_progress=_reporter(plan, name_of(stages[-1]), len(plan.images)),
        )
        self._made |= {(None, each): crafted for each, crafted in zip(stages, grown, strict=True)}

    def _run(self, subject: Subject, attack: Attack) -> Crafted:
        plan, partial, attacked = self._plan, self._partial, self._attacked(subject)
        if partial and (kept := partial.load(plan, subject, attack)):
            return kept
        crafted = run_attack(
            _ready(attack, attacked, plan),
            attacked,
            plan.images,
            plan.labels,
            targets=plan.targets,
            known_classes=plan.scenario.num_classes,
            boxes=plan.boxes,
            seed=plan.seed,
            batch_size=plan.batch_size,
            on_progress=_reporter(plan, _title(subject, attack), len(plan.images)),
        )
        if partial:
            partial.save(plan, subject, attack, crafted)
        return crafted


def _ready(attack: Attack, classifier: Classifier, plan: Plan) -> Attack:
    """Let an attack that learns do so, on training images; return any other as it is."""
    if not isinstance(attack, LearningAttack):
        return attack
    images, labels = arrays(plan.scenario, "train", attack.training_images)
    report = _reporter(plan, f"{name_of(attack)} learns", len(images))
    return learned(attack, classifier, images, labels, seed=plan.seed, on_progress=report)


def _title(subject: Subject, attack: Attack) -> str:
    budget = "" if attack.budget is None or attack.minimum_norm else f" ε={attack.budget:g}"
    return f"{subject.name} · {name_of(attack)}{budget}"


def _reporter(plan: Plan, what: str, total: int) -> Callable[[int], None] | None:
    if plan.progress is None:
        return None
    report = plan.progress
    report(what, 0, total)
    return lambda done: report(what, done, total)


def _without_budget(attack: Attack) -> Attack:
    if attack.minimum_norm and has_option(attack, "eps"):
        return dataclasses.replace(attack, eps=None)  # type: ignore[type-var]
    return attack
