"""Classifiers × attacks → results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from tfrobust import results, suites
from tfrobust.attack import Attack
from tfrobust.audit import clean_predictions
from tfrobust.classifier import Classifier
from tfrobust.detection import FittingImages, attacked_training_images, judge_detectors, score_rows
from tfrobust.detector import Detector
from tfrobust.engine import Crafted, run_attack
from tfrobust.errors import UsageError
from tfrobust.inference import BATCH_SIZE
from tfrobust.learning import LearningAttack, check_files, learned
from tfrobust.partial import Partial
from tfrobust.registry import name_of
from tfrobust.scenario import Scenario, Shifted, arrays, check_fits
from tfrobust.types import TargetRule
from tfrobust.verdicts import (
    Attacked,
    Plan,
    Progress,
    Subject,
    judge,
    outcome_rows,
    summarize,
)


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What `evaluate` returns.

    Attributes:
        results: the content of `results.json`.
        outcomes: the content of `outcomes.npz`.
        images: the clean images, `(n, height, width, channels)`.
        adversarial: for each classifier, the images each attack made,
            `(n, height, width, channels)`; empty unless `keep_images`.
    """

    results: results.Results
    outcomes: dict[str, np.ndarray]
    images: np.ndarray
    adversarial: list[list[np.ndarray]]


def evaluate(
    classifiers: Mapping[str, Classifier],
    scenario: Scenario,
    attacks: Sequence[Attack],
    *,
    split: str = "test",
    limit: int | None = None,
    crafted_on: tuple[str, Classifier] | None = None,
    baselines: Sequence[Attack] | None = None,
    detectors: Sequence[Detector] = (),
    watched: Collection[str] | None = None,
    targets: TargetRule = "least_likely",
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    keep_images: bool = False,
    partial: Partial | None = None,
    progress: Progress | None = None,
) -> Evaluated:
    """Attack every classifier with every attack and audit what comes back.

    Args:
        classifiers: name → classifier.
        scenario: where the images come from.
        attacks: in the order they are reported.
        split: of the scenario.
        limit: only the first so many images.
        crafted_on: name and classifier that the attacks see instead (transfer).
        baselines: noise to show beside the attacks; part of no worst case. `None`: that of
            `tfrobust.suites.baselines`; `()`: none.
        detectors: fitted on the training split and judged on the images attacked here.
        watched: the classifiers that detectors look at; `None`: all.
        targets: the rule that picks classes for targeted attacks.
        seed: decides everything random.
        batch_size: images at a time.
        keep_images: return every adversarial image, which takes memory for each attack.
        partial: keeps finished attacks, so that an interrupted evaluation goes on.
        progress: told how far each attack is.

    Returns:
        Results and outcomes, ready for `tfrobust.results.write_results`.

    Raises:
        UsageError: no classifier, an unknown split, an attack that fits no classifier, a file of
            something learned that does not fit.
        ClassifierError: a classifier does not fit the scenario or returns NaN.
        DataError: the scenario's images break the contract.

    Example:
        >>> evaluated = evaluate({"d1": load("d1")}, create("scenarios", "digits"),
        ...                      [create("attacks", "pgd", eps=0.1)])
        >>> evaluated.results.evaluations[0].worst_case.accuracy
    """
    if not classifiers:
        raise UsageError("classifiers: expected one or more; received: none")
    for name, classifier in (*classifiers.items(), *([crafted_on] if crafted_on else [])):
        check_fits(classifier, scenario, name)
    if baselines is None:
        baselines = suites.baselines(attacks)
    check_files(attacks, [crafted_on[1]] if crafted_on else list(classifiers.values()))
    images, labels = arrays(scenario, split, limit)
    keep = keep_images or bool(detectors)
    plan = Plan(images, labels, scenario, crafted_on, targets, seed, batch_size, keep, progress)
    where = _scenario_record(scenario, split, plan)
    chosen = plan.examples
    outcomes = {"label": labels, "example_index": chosen, "example_images": images[chosen]}
    found, adversarial = [], []
    workshop = Workshop(plan, partial)
    for number, (name, classifier) in enumerate(classifiers.items()):
        clean = clean_predictions(classifier, images, name, batch_size)
        subject = Subject(name, classifier, clean)
        attacked = workshop.attack_all(subject, attacks)
        evaluation = summarize(plan, subject, where, attacked)
        noise = workshop.attack_all(subject, baselines)
        evaluation.baselines = [each.result for each in noise]
        if detectors and (watched is None or name in watched):
            judged = judge_detectors(
                detectors, attacked, plan, classifier, workshop.to_fit(subject)
            )
            evaluation.detectors = [each.result for each in judged]
            outcomes |= score_rows(number, judged)
        found.append(evaluation)
        outcomes |= outcome_rows(number, clean, attacked)
        adversarial.append([each.images for each in attacked if keep_images])
    everything = results.Results(evaluations=found, environment=results.environment())
    return Evaluated(everything, outcomes, images, adversarial)


class Workshop:
    """Crafts every image of an evaluation, and none of them twice.

    Args:
        plan: of the evaluation.
        partial: keeps finished attacks on disk, or `None`.
    """

    def __init__(self, plan: Plan, partial: Partial | None = None) -> None:
        self._plan, self._partial = plan, partial
        self._made: dict[tuple[Classifier, Attack], Crafted] = {}
        self._fitting: dict[tuple[Classifier, Attack], FittingImages] = {}

    def attack_all(self, subject: Subject, attacks: Sequence[Attack]) -> list[Attacked]:
        """Run the attacks on one classifier and judge what they made.

        A minimum-norm attack at several budgets runs once, and so does every attack that is
        crafted on the same other classifier for all.
        """
        return [
            judge(self._plan, subject, attack, self._craft(subject, _without_budget(attack)))
            for attack in attacks
        ]

    def to_fit(self, subject: Subject) -> Callable[[Attack], FittingImages]:
        """Return what attacks training images for the detectors of one classifier."""
        plan, attacked = self._plan, self._attacked(subject)

        def images(attack: Attack) -> FittingImages:
            key = attacked, _without_budget(attack)
            if key not in self._fitting:
                self._fitting[key] = attacked_training_images(
                    key[1],
                    attacked,
                    plan.scenario,
                    len(plan.images),
                    seed=plan.seed,
                    batch_size=plan.batch_size,
                )
            return self._fitting[key]

        return images

    def _attacked(self, subject: Subject) -> Classifier:
        return self._plan.crafted_on[1] if self._plan.crafted_on else subject.classifier

    def _craft(self, subject: Subject, attack: Attack) -> Crafted:
        key = self._attacked(subject), attack
        if key not in self._made:
            crafted = self._run(subject, attack)
            if not (attack.minimum_norm or self._plan.crafted_on):
                return crafted  # nobody asks for it again
            self._made[key] = crafted
        return self._made[key]

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
    if attack.minimum_norm and hasattr(attack, "eps"):
        return dataclasses.replace(attack, eps=None)  # type: ignore[type-var]
    return attack


def _scenario_record(scenario: Scenario, split: str, plan: Plan) -> results.ScenarioRecord:
    base, shift = scenario, None
    if isinstance(scenario, Shifted):
        base, shift = scenario.base, scenario.shift_name
    return results.ScenarioRecord(
        name=name_of(base), shift=shift, split=split, images=len(plan.labels), seed=plan.seed
    )
