"""Runs every step of an evaluation on a few images: how much of everything an image takes.

Each group of attacks runs twice. The first run, on a few images, includes the tracing. The second
one is on a whole batch if the first was short, so that it shows what early stopping and the
attack's own work cost at the evaluation's batch size. Where the first one took long already, the
network is slow, and its passes and gradients are all that matters: there is no second run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.evaluation.attack_runs import AttackRuns
from tfrobust.evaluation.blocks.block import BlockImages
from tfrobust.evaluation.blocks.prepared import Prepared
from tfrobust.evaluation.curves.warm_runs import WarmRuns
from tfrobust.evaluation.curves.warm_starts import curves
from tfrobust.evaluation.judging import Subject
from tfrobust.evaluation.planning.groups import Key, key_of, title_of
from tfrobust.evaluation.planning.images import TrialImages
from tfrobust.evaluation.planning.rates import Clock
from tfrobust.evaluation.planning.records import ClassifierRates, Rates, Step
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.registry import name_of, signature

_SHORT = 8.0  # seconds of a first run, after which a whole batch is tried
_LONG = 30.0  # seconds of a first run, after which there is no second one
_ENOUGH = 2.0  # seconds of second runs
_RUNS = 3  # of which the median is taken, if they are short: another process may slow one down


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one run of a group took.

    Attributes:
        images: how many.
        seconds: with the audit.
        gradients: backward passes an image.
        passes: forward passes an image, with those of the audit.
        runs: holds the crafted images, for the classifiers that share them.
    """

    images: int
    seconds: float
    gradients: float
    passes: float
    runs: AttackRuns

    def network_seconds(self, rates: Rates) -> float:
        """Return the seconds that passes and gradients take by themselves."""
        return self.images * rates.network_seconds(self.passes, self.gradients)


class Trials:
    """Tries the steps of an evaluation in the evaluation's own way.

    Args:
        settings: of the evaluation, with attacks that learn from a few images.
        images: to try them on.
        prepared: what all blocks need.
        clock: tells the time.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        images: TrialImages,
        prepared: Prepared,
        clock: Clock,
    ) -> None:
        self._settings, self._images, self._clock = settings, images, clock
        self._runs_of = WarmRuns if settings.warm_start else AttackRuns
        self._prepared = prepared
        self._done: dict[Key, tuple[BlockImages, AttackRuns]] = {}
        self._clean: dict[tuple[int, str], Subject] = {}

    def clean(self, name: str, rates: ClassifierRates) -> Step:
        """Return the step of predicting the clean images."""
        images = self._images.full
        self._subject(name, images)  # whatever is traced or allocated once
        self._clean.pop((id(images), name))
        began = self._clock()
        self._subject(name, images)
        seconds, count = self._clock() - began, len(images.images)
        network = count * rates.full.forward
        return Step(
            classifier=name,
            title="clean images",
            images=count,
            gradients=0.0,
            passes=1.0,
            overhead=seconds / network if network else 1.0,
            seconds_per_image=seconds / count,
        )

    def attacked(
        self, name: str, group: Sequence[Attack], rates: ClassifierRates, learning: float
    ) -> Step:
        """Return the step of a group of attacks on one classifier.

        Args:
            name: of the classifier that is judged.
            group: attacks that share their crafted images.
            rates: of the classifier that is attacked.
            learning: seconds of learning.
        """
        key = key_of(group, self._settings.attacked_by(self._settings.classifiers[name]))
        shared = key in self._done
        if shared:  # crafted for an earlier classifier: the audit remains
            images, runs = self._done[key]
            first = self._run(name, group, images, runs)
            last = self._run(name, group, images, runs)
        else:
            first = self._run(name, group, self._images.few)
            last = self._again(name, group, first)
        self._done[key] = self._used(last), last.runs
        measured = rates.full if last.images == rates.full.batch_size else rates.few
        network = last.network_seconds(measured)
        tried_once = last is first
        overhead = 1.0 if tried_once or not network else last.seconds / network
        expected = overhead * first.network_seconds(rates.few)
        return Step(
            classifier=name,
            title=title_of(group),
            attack=name_of(group[0]),
            params=tuple(signature(attack)["params"] for attack in group),
            shared=shared,
            images=last.images,
            gradients=last.gradients,
            passes=last.passes,
            overhead=overhead,
            seconds_per_image=overhead * rates.full.network_seconds(last.passes, last.gradients),
            start=0.0 if shared else max(0.0, first.seconds - expected),
            learning=learning,
        )

    def _again(self, name: str, group: Sequence[Attack], first: Measured) -> Measured:
        """Return what a group takes once it is traced: the median run."""
        if first.seconds > _LONG:
            return first
        images = self._images.full if first.seconds <= _SHORT else self._images.few
        taken = [self._run(name, group, images)]
        while sum(run.seconds for run in taken) < _ENOUGH and len(taken) < _RUNS:
            taken.append(self._run(name, group, images))
        return sorted(taken, key=lambda run: run.seconds)[(len(taken) - 1) // 2]

    def _run(
        self,
        name: str,
        group: Sequence[Attack],
        images: BlockImages,
        runs: AttackRuns | None = None,
    ) -> Measured:
        subject, count = self._subject(name, images), len(images.images)
        shared = runs is not None
        runs = runs or self._runs_of(self._settings, images, self._prepared)
        began = self._clock()
        rows = runs.attack_all(subject, group)
        seconds = self._clock() - began
        # Budgets of a curve are crafted one after the other; other groups share what is crafted.
        climbed = self._settings.warm_start and bool(curves(group))
        costs = [row.cost for row in rows] if climbed else [rows[0].cost]
        return Measured(
            images=count,
            seconds=seconds,
            gradients=0.0 if shared else sum(cost.gradients for cost in costs) / count,
            passes=len(group) + (0.0 if shared else sum(cost.queries for cost in costs) / count),
            runs=runs,
        )

    def _used(self, run: Measured) -> BlockImages:
        full = self._images.full
        return full if run.images == len(full.images) else self._images.few

    def _subject(self, name: str, images: BlockImages) -> Subject:
        key = id(images), name
        if key not in self._clean:
            classifier: Classifier = self._settings.classifiers[name]
            batch_size = self._settings.batch_size
            clean = clean_predictions(classifier, images.images, name, batch_size)
            self._clean[key] = Subject(name, classifier, clean)
        return self._clean[key]
