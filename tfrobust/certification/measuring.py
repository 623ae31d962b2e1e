"""Certificates of all images of a split, a few images at a time; what is kept is a number each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfrobust.certification.pieces import CertificationJob, Piece, Timed
from tfrobust.certification.resuming import FIELDS, KeptCertificates
from tfrobust.certification.settings import Progress
from tfrobust.certifier import Certifier
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.random_state import reseed
from tfrobust.data.block_reader import BlockReader
from tfrobust.data.reading import check_images
from tfrobust.errors import WorkerError
from tfrobust.execution.executor import Executor, Failed, InProcess
from tfrobust.files.finished_work import FinishedWork
from tfrobust.scenario import Scenario
from tfrobust.types import Flags, Images, Labels, PerImage

_BLOCK = 256  # images that are read together


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a certifier proves of a classifier, over all images.

    Attributes:
        radii: float32 `(n,)`.
        abstained: bool `(n,)`.
        seconds: it took.
        least: float32 `(n,)`; `None`: not searched for. See `Certificates`.
        complete: bool `(n,)`, as well.
        answers: int64 `(n,)`: of what was certified; `None`: not told.
    """

    radii: PerImage
    abstained: Flags
    seconds: float
    least: PerImage | None = None
    complete: Flags | None = None
    answers: Labels | None = None

    def of(self, rows: Flags) -> Measured:
        """Return it of some of the images."""
        told = {
            name: None if array is None else array[rows] for name, array in self.arrays().items()
        }
        return Measured(seconds=self.seconds, **told)

    def arrays(self) -> dict[str, Any]:
        """Return what is known of each image, by name; `None`: not told."""
        names = (field.name for field in dataclasses.fields(self) if field.name != "seconds")
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True)
class MeasuredClassifier:
    """What all certifiers prove of a classifier, and what it answers.

    Attributes:
        clean: int64 `(n,)`: its answers to the clean images.
        by: one a certifier, in their order.
    """

    clean: Labels
    by: tuple[Measured, ...]


@dataclasses.dataclass(frozen=True)
class Part:
    """Which images, and how random numbers are drawn for them.

    Attributes:
        scenario: where they come from.
        split: of it.
        images: how many, the first ones.
        seed: decides everything random.
    """

    scenario: Scenario
    split: str
    images: int
    seed: int


def measure(
    classifiers: Mapping[str, Classifier],
    certifiers: Sequence[Certifier],
    part: Part,
    *,
    eps: Sequence[Sequence[float]],
    finished: FinishedWork | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> list[MeasuredClassifier]:
    """Certify every classifier by every certifier, in one pass over the images.

    Args:
        classifiers: by name; every certifier has accepted them.
        certifiers: with their options.
        part: which images.
        eps: of each certifier the radii that are asked about. A radius that is found by steps may
            end just below one of them, which is then asked about by itself.
        finished: keeps certificates, so that an interrupted run goes on where it stopped.
        progress: receives how many certificates there are.
        executor: computes the certificates; `None`: this process.

    Raises:
        PluginError: a certifier fails, or breaks its contract.
        DataError: images or labels break the contract.
        StoreError: the disk refuses what is kept.
        WorkerError: workers die of some images; the others' certificates are kept.
    """
    job = CertificationJob(classifiers, certifiers, eps, part.seed)
    pending = _Pending(job, part, finished, progress)
    failed = list[str]()
    for piece, timed in (executor or InProcess()).map(job, pending.pieces()):
        if isinstance(timed, Failed):
            failed.append(f"{piece.classifier}: {piece.place}: {timed.cause}")
        else:
            pending.receive(piece, timed)
    if failed:
        raise WorkerError(f"{failed[0]}; the same command goes on with the certificates there are")
    return pending.measured()


class _Pending:
    """What is certified of all images, and what is not yet.

    Args:
        job: what computes it.
        part: which images.
        finished: keeps certificates.
        progress: receives how many there are.
    """

    def __init__(
        self,
        job: CertificationJob,
        part: Part,
        finished: FinishedWork | None,
        progress: Progress | None,
    ) -> None:
        self._job, self._part = job, part
        self._kept = {
            (name, k): KeptCertificates(finished, certifier, classifier)
            for name, classifier in job.classifiers.items()
            for k, certifier in enumerate(job.certifiers)
        }
        self._clean: dict[str, list[Labels]] = {name: [] for name in job.classifiers}
        self._found: dict[tuple[str, int], dict[int, Timed]] = {key: {} for key in self._kept}
        self._tell = _counting(progress, part.images * len(self._kept))

    def pieces(self) -> Iterator[Piece]:
        """Read the images, and yield those of which no certificates are kept."""
        part = self._part
        reader = BlockReader(part.scenario, part.split, part.images, _BLOCK)
        for start in range(0, part.images, _BLOCK):
            block = reader.read(start)
            check_images(block.images, block.labels, part.scenario.num_classes)
            for name, classifier in self._job.classifiers.items():
                reseed(classifier, part.seed, start, "certified")
                self._clean[name].append(clean_predictions(classifier, block.images, name))
                for k in range(len(self._job.certifiers)):
                    yield from self._of_block(name, k, start, block.images, block.labels)

    def _of_block(
        self, name: str, number: int, start: int, images: Images, labels: Labels
    ) -> Iterator[Piece]:
        """Yield pieces of a block, as many images at a time as the certifier takes."""
        kept, eps = self._kept[name, number], self._job.eps[number]
        size = max(1, self._job.certifiers[number].images_at_once)
        for first in range(0, len(images), size):
            some, theirs = images[first : first + size], labels[first : first + size]
            recipe = kept.recipe(some, theirs, self._part.seed, eps)
            piece = Piece(name, number, start + first, some, theirs, recipe)
            timed = kept.load(recipe, len(some))
            if timed is None:
                yield piece
            else:
                self._take(piece, timed)

    def receive(self, piece: Piece, timed: Timed) -> None:
        """Keep the certificates of a piece.

        Raises:
            StoreError: the disk refuses.
        """
        self._kept[piece.classifier, piece.certifier].save(piece.recipe, *timed)
        self._take(piece, timed)

    def _take(self, piece: Piece, timed: Timed) -> None:
        self._found[piece.classifier, piece.certifier][piece.start] = timed
        self._tell(len(piece.images))

    def measured(self) -> list[MeasuredClassifier]:
        """Return all that was certified, in the order of the images."""
        numbers = range(len(self._job.certifiers))
        return [
            MeasuredClassifier(
                np.concatenate(clean), tuple(_joined(self._found[name, k]) for k in numbers)
            )
            for name, clean in self._clean.items()
        ]


def _joined(found: Mapping[int, Timed]) -> Measured:
    """Return the certificates of pieces, by their starts, as those of all images."""
    several = [found[start] for start in sorted(found)]
    arrays: dict[str, Any] = {}
    for field in FIELDS:
        parts = [getattr(certificates, field) for certificates, _ in several]
        arrays[field] = None if any(part is None for part in parts) else np.concatenate(parts)
    return Measured(seconds=sum(seconds for _, seconds in several), **arrays)


def _counting(progress: Progress | None, total: int) -> Callable[[int], None]:
    """Return what is told of more certificates, and tells how many there are."""
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress:
            progress("certificates", done, total)

    tell(0)
    return tell
