"""The work on blocks of images under corruptions, described by settings alone."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfrobust import registry
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.random_state import reseed
from tfrobust.data.block_reader import BlockReader, ImageRows
from tfrobust.evaluation.blocks.block import Block, BlockImages
from tfrobust.evaluation.blocks.packed import ParcelShelf
from tfrobust.evaluation.blocks.prepared import Prepared
from tfrobust.evaluation.corruptions.settings import CorruptionSettings
from tfrobust.evaluation.resuming import Partial, recipe
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.execution.portable import PackedPlugin, PackedScenario, Packer, Parcel
from tfrobust.registry import name_of
from tfrobust.types import Images, Labels

_REBUILT = ("classifiers", "scenario", "shifts")


@dataclasses.dataclass(frozen=True)
class ConditionBlock:
    """A block of images under one condition.

    Attributes:
        condition: its number in the settings' `conditions`.
        block: of the images.
    """

    condition: int
    block: Block


@dataclasses.dataclass(frozen=True)
class CorruptionJob:
    """Predicts blocks under conditions; see `tfrobust.execution.executor.Job`.

    Attributes:
        settings: what is measured; `shifts` are given.
        images: how many are evaluated.
        out: the run folder, where finished predictions are kept; `None`: they are not.
        reads_on: whether blocks come one after the other; see `BlockReader`.
    """

    settings: CorruptionSettings
    images: int
    out: Path | None = None
    reads_on: bool = True

    def start(self) -> Callable[[ConditionBlock], tuple[Labels, ...]]:
        """Return what predicts a block: int32 `(n,)` a classifier."""
        return CorruptionWork(self)

    def packed(self, packer: Packer) -> PackedCorruption:
        """Describe the job for another process; see `tfrobust.execution.portable`."""
        settings, shelf = self.settings, ParcelShelf(packer)
        return PackedCorruption(
            {name: shelf.place(name, c) for name, c in settings.classifiers.items()},
            tuple(shelf.parcels),
            packer.scenario(settings.scenario),
            {
                name: [packer.plugin("shifts", shift) for shift in severities]
                for name, severities in (settings.shifts or {}).items()
            },
            {
                field.name: getattr(settings, field.name)
                for field in dataclasses.fields(settings)
                if field.name not in _REBUILT
            },
            self.images,
            self.out.absolute() if self.out else None,
        )


@dataclasses.dataclass(frozen=True)
class PackedCorruption:
    """A `CorruptionJob` as it travels.

    Attributes:
        classifiers: name → place among the parcels.
        parcels: the classifiers.
        scenario: by name and options.
        shifts: corruption → one shift a severity, by name and options.
        rest: every other setting.
        images: see `CorruptionJob`.
        out: see `CorruptionJob`.
    """

    classifiers: dict[str, int]
    parcels: tuple[Parcel, ...]
    scenario: PackedScenario
    shifts: dict[str, list[PackedPlugin]]
    rest: dict[str, Any]
    images: int
    out: Path | None

    def start(self) -> Callable[[ConditionBlock], tuple[Labels, ...]]:
        """Load the classifiers, and return what predicts a block."""
        opened = [parcel.opened() for parcel in self.parcels]
        settings = CorruptionSettings(
            classifiers={name: opened[place] for name, place in self.classifiers.items()},
            scenario=self.scenario.opened(),
            shifts={name: [s.built() for s in shifts] for name, shifts in self.shifts.items()},
            **self.rest,
        )
        keras.utils.set_random_seed(settings.seed)  # as in the process that runs the evaluation
        return CorruptionJob(settings, self.images, self.out, reads_on=False).start()


class CorruptionWork:
    """Predicts blocks; what identifies a classifier is computed once.

    Args:
        job: what is to be done.
    """

    def __init__(self, job: CorruptionJob) -> None:
        self._job, settings = job, job.settings
        same = EvaluationSettings(
            classifiers=settings.classifiers,
            scenario=settings.scenario,
            split=settings.split,
            seed=settings.seed,
            batch_size=settings.batch_size,
        )
        self._prepared = Prepared(same, job.images)
        self._partial = Partial(job.out) if job.out else None
        self._readers: dict[int, BlockReader] = {}
        self._surveyed: set[int] = set()  # where blocks start that were compared with the survey

    def __call__(self, item: ConditionBlock) -> tuple[Labels, ...]:
        """Return what each classifier predicts for a block."""
        images = functools.cache(lambda: self._read(item))  # only if a prediction is missing
        classifiers = self._job.settings.classifiers
        return tuple(self._predicted(name, item, images) for name in classifiers)

    def _read(self, item: ConditionBlock) -> Images:
        """Return the images of a block under a condition.

        The survey knows the images without a shift: the first condition under which a block is read
        here compares these.
        """
        block, shift = item.block, self._job.settings.conditions[item.condition]
        if shift is None or block.start not in self._surveyed:
            clean = BlockImages(block, lambda: self._rows(0, block)).images
            self._surveyed.add(block.start)
            if shift is None:
                return clean
        return self._rows(item.condition, block).images

    def _rows(self, condition: int, block: Block) -> ImageRows:
        settings = self._job.settings
        if condition not in self._readers:
            clean = {0: self._readers[0]} if 0 in self._readers else {}
            self._readers = clean | {  # the one of the last condition is needed no more
                condition: BlockReader(
                    settings.scenario_under(condition),
                    settings.split,
                    self._job.images,
                    settings.block_size,
                    reads_on=self._job.reads_on,
                )
            }
        return self._readers[condition].read(block.start)

    def _predicted(self, name: str, item: ConditionBlock, images: Callable[[], Images]) -> Labels:
        settings, block = self._job.settings, item.block
        classifier, shift = settings.classifiers[name], settings.conditions[item.condition]
        what = [settings.seed, block.start, repr(registry.signature(shift)) if shift else None]
        key = b""
        if self._partial:
            identities = [self._prepared.identity(classifier)]
            key = recipe(
                settings, block, identities, scenario=name_of(settings.scenario), what=what
            )
            kept = self._partial.load_predictions(key, len(block), classifier.num_classes)
            if kept is not None:
                return kept
        reseed(classifier, *what)
        predicted = clean_predictions(classifier, images(), name, settings.batch_size)
        predicted = predicted.astype(np.int32)
        if self._partial:
            self._partial.save_predictions(key, predicted)
        return predicted
