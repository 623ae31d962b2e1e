"""Classifiers × attacks → results."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from tfrobust import suites
from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, clean_predictions
from tfrobust.data.reading import arrays, check_fits
from tfrobust.data.shifted import Shifted
from tfrobust.detector import Detector
from tfrobust.engine.object_boxes import boxes_for
from tfrobust.environment import environment
from tfrobust.errors import UsageError
from tfrobust.evaluation import results
from tfrobust.evaluation.attack_runs import Workshop
from tfrobust.evaluation.detection import judge_detectors, score_rows
from tfrobust.evaluation.judging import (
    Attacked,
    Plan,
    Progress,
    Subject,
    outcome_rows,
    summarize,
)
from tfrobust.evaluation.learned_attacks import check_files, check_learns_anew
from tfrobust.evaluation.resuming import Partial
from tfrobust.registry import name_of
from tfrobust.scenario import Scenario
from tfrobust.types import TargetRule


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
    reattack: bool = False,
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
        reattack: judge that classifier too, and attack every other one again white-box: what did
            it learn that lasts?
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
        Results and outcomes, ready for `tfrobust.evaluation.results.write_results`.

    Raises:
        UsageError: no classifier, an unknown split, an attack that fits no classifier, a file of
            something learned that does not fit, a region of images without boxes.
        ClassifierError: a classifier does not fit the scenario or returns NaN.
        DataError: the scenario's images or boxes break the contract.

    Example:
        >>> evaluated = evaluate({"d1": load("d1")}, create("scenarios", "digits"),
        ...                      [create("attacks", "pgd", eps=0.1)])
        >>> evaluated.results.evaluations[0].worst_case.accuracy
    """
    if not classifiers:
        raise UsageError("classifiers: expected one or more; received: none")
    if reattack:
        classifiers = _with_the_attacked(classifiers, crafted_on)
        if not attacks:
            raise UsageError("reattack: expected an attack to run again; give one (--attack)")
        check_learns_anew(attacks)
        if detectors:
            raise UsageError("reattack: goes without detectors; judge them in a run of their own")
    for name, classifier in (*classifiers.items(), *([crafted_on] if crafted_on else [])):
        check_fits(classifier, scenario, name)
    if baselines is None:
        baselines = suites.baselines(attacks)
    fooled = [crafted_on[1]] if crafted_on and not reattack else list(classifiers.values())
    check_files(attacks, fooled)
    images, labels = arrays(scenario, split, limit)
    keep = keep_images or bool(detectors)
    boxes = boxes_for([*attacks, *baselines], scenario, split, limit)
    plan = Plan(
        images,
        labels,
        scenario,
        crafted_on=crafted_on,
        targets=targets,
        seed=seed,
        batch_size=batch_size,
        keep_images=keep,
        progress=progress,
        boxes=boxes,
    )
    where = _scenario_record(scenario, split, plan)
    chosen = plan.examples
    outcomes = {"label": labels, "example_index": chosen, "example_images": images[chosen]}
    found, adversarial = [], []
    workshop = Workshop(plan, partial)
    again = Workshop(dataclasses.replace(plan, crafted_on=None), partial) if reattack else None
    for number, (name, classifier) in enumerate(classifiers.items()):
        clean = clean_predictions(classifier, images, name, batch_size)
        subject = Subject(name, classifier, clean)
        attacked = workshop.attack_all(subject, attacks)
        if again and crafted_on and classifier is crafted_on[1]:
            attacked += [_white_box(each) for each in attacked]  # it was the one attacked
        elif again:
            attacked += again.attack_all(subject, attacks)
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
    everything = results.Results(evaluations=found, environment=environment())
    return Evaluated(results.identified(everything, outcomes), outcomes, images, adversarial)


def _with_the_attacked(
    classifiers: Mapping[str, Classifier], crafted_on: tuple[str, Classifier] | None
) -> dict[str, Classifier]:
    """Return the classifiers, behind the one that was attacked before they were trained on it."""
    if crafted_on is None:
        raise UsageError(
            "reattack: expected the classifier that was attacked before; give crafted_on "
            "(--crafted-on)"
        )
    called, old = crafted_on
    if all(each is old or each.source == old.source != "" for each in classifiers.values()):
        raise UsageError(
            f"reattack: expected a classifier to attack again beside {called}, which was attacked "
            f"before; received: {', '.join(classifiers)}, the same"
        )
    return {called: old} | {name: each for name, each in classifiers.items() if name != called}


def _white_box(attacked: Attacked) -> Attacked:
    """Return what an attack did to the very classifier it was crafted on."""
    return dataclasses.replace(
        attacked, result=attacked.result.model_copy(update={"crafted_on": None})
    )


def _scenario_record(scenario: Scenario, split: str, plan: Plan) -> results.ScenarioRecord:
    base, shift = scenario, None
    if isinstance(scenario, Shifted):
        base, shift = scenario.base, scenario.shift_name
    return results.ScenarioRecord(
        name=name_of(base), shift=shift, split=split, images=len(plan.labels), seed=plan.seed
    )
