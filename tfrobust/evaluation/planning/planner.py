"""Predicts what an evaluation costs, from a few images of it on this device.

What is measured: seconds of a forward and of a backward pass of each classifier, and each attack
on a few images. What is projected from that: the whole split, on any number of devices that are as
fast as this one. See `records` for the formulas. Not part of a plan: the start of Python and
TensorFlow, loading classifiers, writing the report, what spreading the work over machines costs,
and trainings.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.learning import LearningAttack
from tfrobust.errors import UsageError
from tfrobust.evaluation.adaptive.passes import AdaptivePass, adaptive_passes
from tfrobust.evaluation.attack_groups import grouped
from tfrobust.evaluation.blocks.prepared import Prepared
from tfrobust.evaluation.planning.groups import key_of
from tfrobust.evaluation.planning.images import TrialImages, measured_reading, trial_images
from tfrobust.evaluation.planning.rates import Clock, measured_rates
from tfrobust.evaluation.planning.records import ClassifierRates, Plan, Step, project
from tfrobust.evaluation.planning.trials import Trials
from tfrobust.evaluation.settings import EvaluationSettings, Progress, checked
from tfrobust.registry import name_of

DEVICES = (1, 8, 64)
_LEARNED_FROM = 200  # training images that an attack learns from here


def plan(
    settings: EvaluationSettings,
    *,
    devices: Sequence[int] = DEVICES,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter,
) -> Plan:
    """Measure a few images of an evaluation, and project the cost of all of them.

    An image costs overhead × (passes × seconds of a forward pass + gradients × seconds of a
    backward pass). The busiest of d devices gets ⌈blocks / d⌉ blocks of the images.

    Args:
        settings: of the evaluation.
        devices: for which numbers of devices the cost is projected, each 1 or more.
        progress: receives how many of the steps have been tried.
        clock: tells the time in seconds.

    Returns:
        What was measured, and what is projected.

    Raises:
        UsageError: detectors, which are not predicted; a number of devices below 1; and as
            `evaluate`.
        ClassifierError, DataError: as `evaluate`.

    Example:
        >>> settings = EvaluationSettings(classifiers={"d1": load("d1")},
        ...                               scenario=create("scenarios", "digits"),
        ...                               attacks=[create("attacks", "pgd", eps=0.1)])
        >>> plan(settings).projections[0].seconds
    """
    _check(settings, devices)
    began = clock()
    settings = checked(settings)
    reading, images = measured_reading(settings, clock)
    trial = trial_images(settings, images)
    rates = _measured_rates(settings, trial, clock)
    steps = _steps(settings, trial, rates, progress, clock)
    for adaptive in adaptive_passes(settings):
        steps += _adaptive_steps(adaptive, trial, progress, clock)
    height, width, channels = settings.scenario.image_shape
    block = min(settings.block_size, images)
    return Plan(
        scenario=name_of(settings.scenario),
        split=settings.split,
        images=images,
        batch_size=len(trial.full.images),
        block_size=settings.block_size,
        megabytes=2 * block * height * width * channels * 4 / 1e6,
        device=_device(),
        rates=tuple(rates.values()),
        reading=reading,
        steps=steps,
        projections=tuple(
            project(steps, reading, images, settings.block_size, count) for count in devices
        ),
        seconds=clock() - began,
    )


def _check(settings: EvaluationSettings, devices: Sequence[int]) -> None:
    if settings.detectors:
        raise UsageError("plan: predicts no detectors; leave them out")
    for name, classifier in {**settings.classifiers, **settings.attacked}.items():
        if classifier.meter is not None:
            raise UsageError(
                f"plan: {name}: what an endpoint takes cannot be tried without paying for it; set "
                "--max-queries and --requests-per-second in the evaluation itself"
            )
    for count in devices:
        if count < 1:
            raise UsageError(f"devices: expected 1 or more; received: {count}")


def _measured_rates(
    settings: EvaluationSettings, trial: TrialImages, clock: Clock
) -> dict[str, ClassifierRates]:
    """Return the rates of every classifier by its name."""
    attacks = [*settings.attacks, *(settings.baselines or ())]
    gradients = any(attack.needs_gradients for attack in attacks)
    rates = {}
    for name, classifier in {**settings.classifiers, **settings.attacked}.items():
        attacked = gradients and name in settings.attacked
        full = measured_rates(classifier, trial.full, gradients=attacked, clock=clock)
        few = full
        if len(trial.few.images) < len(trial.full.images):
            few = measured_rates(classifier, trial.few, gradients=attacked, clock=clock)
        rates[name] = ClassifierRates(classifier=name, few=few, full=full)
    return rates


def _steps(
    settings: EvaluationSettings,
    trial: TrialImages,
    rates: dict[str, ClassifierRates],
    progress: Progress | None,
    clock: Clock,
) -> tuple[Step, ...]:
    """Try everything that is done with an image."""
    scaled = {attack: _learning_less(attack) for attack in settings.attacks}
    small = dataclasses.replace(settings, attacks=tuple(scaled.values()))
    prepared = Prepared(small, len(trial.full.images))
    trials = Trials(small, trial, prepared, clock)
    warm = settings.warm_start
    groups = [*grouped(small.attacks, warm_start=warm), *grouped(small.baselines or ())]
    learned: dict[object, float] = {}
    factors = {less: _factor(attack, less) for attack, less in scaled.items()}
    steps: list[Step] = []
    total = len(small.classifiers) * (1 + len(groups))
    for name, classifier in small.classifiers.items():
        attacked = small.attacked_by(classifier)
        seen = small.crafted_on_name or name
        steps.append(trials.clean(name, rates[name]))
        for group in groups:
            key = key_of(group, attacked)
            learning = 0.0
            if isinstance(group[0], LearningAttack) and key not in learned:
                learned[key] = _learning(prepared, group[0], attacked, clock)
                learning = learned[key] * factors[group[0]]
            steps.append(trials.attacked(name, group, rates[seen], learning))
            if progress:
                progress("measuring", len(steps), total)
    return tuple(steps)


def _adaptive_steps(
    adaptive: AdaptivePass, trial: TrialImages, progress: Progress | None, clock: Clock
) -> tuple[Step, ...]:
    """Try the attacks that know a classifier's defences; they differentiate what it declares."""
    settings = checked(adaptive.settings)
    rates = _measured_rates(settings, trial, clock)
    _clean, *attacked = _steps(settings, trial, rates, progress, clock)
    return tuple(step.model_copy(update={"title": f"adaptive {step.title}"}) for step in attacked)


def _learning(prepared: Prepared, attack: Attack, attacked: Classifier, clock: Clock) -> float:
    began = clock()
    prepared.ready(attack, attacked)
    return clock() - began


def _learning_less(attack: Attack) -> Attack:
    """Return an attack that learns, if nothing is in its file yet, from a few images."""
    if not isinstance(attack, LearningAttack) or (attack.file and attack.file.exists()):
        return attack
    few = min(attack.training_images, _LEARNED_FROM)
    return dataclasses.replace(attack, training_images=few, file=None)  # type: ignore[type-var]


def _factor(attack: Attack, less: Attack) -> float:
    if isinstance(attack, LearningAttack) and isinstance(less, LearningAttack):
        return attack.training_images / less.training_images
    return 1.0


def _device() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))
