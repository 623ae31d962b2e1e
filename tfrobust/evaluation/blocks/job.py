"""The work on the blocks of an evaluation, described by settings alone."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import keras

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.data.block_reader import BlockReader
from tfrobust.engine.learning import Learned, remembering
from tfrobust.evaluation.attack_runs import AttackRuns
from tfrobust.evaluation.blocks.block import Block, BlockImages
from tfrobust.evaluation.blocks.packed import PackedSettings, ParcelShelf
from tfrobust.evaluation.blocks.prepared import Prepared, without_budget
from tfrobust.evaluation.blocks.rows import BlockRows, ClassifierRows
from tfrobust.evaluation.curves.warm_runs import WarmRuns
from tfrobust.evaluation.resuming import BlockFiles, Partial
from tfrobust.evaluation.sent_images import fewest_levels
from tfrobust.evaluation.settings import EvaluationSettings, Progress
from tfrobust.execution.portable import Packer, Parcel
from tfrobust.types import Labels


@dataclasses.dataclass(frozen=True)
class EvaluationJob:
    """Attacks and judges one block after the other; see `tfrobust.execution.executor.Job`.

    Attributes:
        passes: settings of one evaluation, or of several that share the images: scenario, split and
            seed are those of the first. A classifier predicts clean images once for all of them.
        images: how many are evaluated.
        boxes: whether an attack needs boxes.
        out: the run folder, where finished work is kept; `None`: it is not.
        progress: receives how far each attack is, in this process.
        reads_on: whether blocks come one after the other; see `BlockReader`.
        learned: where lies what attacks have learned already: number of the pass, of its attack,
            and name of the attacked classifier → file.
        training_content: see `Prepared`.
    """

    passes: tuple[EvaluationSettings, ...]
    images: int
    boxes: bool = False
    out: Path | None = None
    progress: Progress | None = None
    reads_on: bool = True
    learned: Mapping[tuple[int, int, str], Path] = dataclasses.field(default_factory=dict)
    training_content: str = ""

    def start(self) -> Callable[[Block], BlockRows]:
        """Return what computes a block."""
        return BlockWork(self)

    def packed(self, packer: Packer) -> PackedEvaluation:
        """Describe the job for another process; see `tfrobust.execution.portable`."""
        shelf = ParcelShelf(packer)
        passes = tuple(PackedSettings.of(settings, shelf, packer) for settings in self.passes)
        out = self.out.absolute() if self.out else None
        return PackedEvaluation(
            tuple(shelf.parcels),
            passes,
            self.images,
            self.boxes,
            out,
            {place: file.absolute() for place, file in self.learned.items()},
            self.training_content,
        )


@dataclasses.dataclass(frozen=True)
class PackedEvaluation:
    """An `EvaluationJob` as it travels; the attributes are those of the job, packed."""

    parcels: tuple[Parcel, ...]
    passes: tuple[PackedSettings, ...]
    images: int
    boxes: bool
    out: Path | None
    learned: Mapping[tuple[int, int, str], Path]
    training_content: str

    def start(self) -> Callable[[Block], BlockRows]:
        """Load the classifiers, and return what computes a block."""
        classifiers = [parcel.opened() for parcel in self.parcels]
        passes = tuple(settings.unpacked(classifiers) for settings in self.passes)
        keras.utils.set_random_seed(passes[0].seed)  # as in the process that runs the evaluation
        job = EvaluationJob(
            passes,
            self.images,
            self.boxes,
            self.out,
            reads_on=False,
            learned=self.learned,
            training_content=self.training_content,
        )
        return job.start()


class BlockWork:
    """Computes blocks; what all of them need is loaded, learned and fitted once.

    Args:
        job: what is to be done.
    """

    def __init__(self, job: EvaluationJob) -> None:
        first = job.passes[0]
        self._job = job
        self._partial = Partial(job.out) if job.out else None
        files: dict[tuple[Classifier, Attack], Path] = {}
        for (p, k, name), file in job.learned.items():
            attack = without_budget(job.passes[p].attacks[k])
            files[job.passes[p].attacked[name], attack] = file
        self._prepared = Prepared(
            first, job.images, job.progress, files=files, training_content=job.training_content
        )
        # One grid for all: classifiers are compared on the same images.
        self._levels = fewest_levels([one for p in job.passes for one in p.classifiers.values()])
        self._reader = BlockReader(
            first.scenario,
            first.split,
            job.images,
            first.block_size,
            boxes=job.boxes,
            reads_on=job.reads_on,
        )

    def with_learned(self, folder: Path) -> EvaluationJob:
        """Return the job for workers, who then need no training images for attacks that learn.

        Args:
            folder: where what attacks learn is kept.
        """
        files: dict[tuple[int, int, str], Path] = {}
        with self._remembering():
            for p, settings in enumerate(self._job.passes):
                for k, attack in enumerate(settings.attacks):
                    for c, (name, classifier) in enumerate(settings.attacked.items()):
                        ready = self._prepared.ready(without_budget(attack), classifier)
                        if isinstance(ready, Learned) and ready.origin is not None:
                            files[p, k, name] = folder / f"ready-{p}-{k}-{c}.npz"
                            ready.save_with_cost(files[p, k, name])
        detectors = any(settings.detectors for settings in self._job.passes)
        content = self._prepared.training_content if detectors else ""
        return dataclasses.replace(self._job, learned=files, training_content=content)

    def __call__(self, block: Block) -> BlockRows:
        """Return the rows of a block."""
        images = BlockImages(block, lambda: self._reader.read(block.start), self._levels)
        with self._remembering():
            known: dict[str, Labels] = {}
            passes = []
            for settings in self._job.passes:
                passes.append(self._pass(settings, images, known))
                names = settings.classifiers
                known |= {n: row.clean for n, row in zip(names, passes[-1], strict=True)}
        keep = self._job.passes[0].keep_images
        return BlockRows(tuple(passes), images.images if keep else None)

    def _pass(
        self, settings: EvaluationSettings, images: BlockImages, known: dict[str, Labels]
    ) -> tuple[ClassifierRows, ...]:
        files = None
        if self._partial:
            files = BlockFiles(self._partial, images.block, self._prepared)
        runs_of = WarmRuns if settings.warm_start else AttackRuns
        runs = runs_of(
            settings,
            images,
            self._prepared,
            files=files,
            progress=self._job.progress,
            total=self._job.images,
        )
        return runs.judge_all(known)

    def _remembering(self) -> contextlib.AbstractContextManager[None]:
        return remembering(self._partial.folder) if self._partial else contextlib.nullcontext()
