"""Certificates of all images of a split, a few images at a time; what is kept is a number each."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfrobust.certification.resuming import FIELDS, KeptCertificates
from tfrobust.certification.settings import Progress
from tfrobust.certifier import Certificates, Certifier
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.random_state import reseed
from tfrobust.data.block_reader import BlockReader
from tfrobust.data.reading import check_images
from tfrobust.errors import PluginError, RobustError, one_line
from tfrobust.files.finished_work import FinishedWork
from tfrobust.random import content_seeds
from tfrobust.registry import name_of
from tfrobust.scenario import Scenario
from tfrobust.types import Flags, Images, Labels, PerImage, Seeds

_BLOCK = 256  # images that are read together
_NEAR = 0.95  # of a radius that is asked about; bisection ends nearer


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

    Raises:
        PluginError: a certifier fails, or breaks its contract.
        DataError: images or labels break the contract.
        StoreError: the disk refuses what is kept.
    """
    asked = {
        name: [
            _Asked(certifier, classifier, radii, KeptCertificates(finished, certifier, classifier))
            for certifier, radii in zip(certifiers, eps, strict=True)
        ]
        for name, classifier in classifiers.items()
    }
    clean: dict[str, list[Labels]] = {name: [] for name in classifiers}
    reader = BlockReader(part.scenario, part.split, part.images, _BLOCK)
    tell = _counting(progress, part.images * len(classifiers) * len(certifiers))
    for start in range(0, part.images, _BLOCK):
        block = reader.read(start)
        check_images(block.images, block.labels, part.scenario.num_classes)
        for name, classifier in classifiers.items():
            reseed(classifier, part.seed, start, "certified")
            clean[name].append(clean_predictions(classifier, block.images, name))
            for one in asked[name]:
                one.certify(block.images, block.labels, part.seed, tell)
    return [
        MeasuredClassifier(np.concatenate(clean[name]), tuple(one.measured() for one in several))
        for name, several in asked.items()
    ]


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


class _Asked:
    """A certifier that is asked about a classifier, and what it has answered so far."""

    def __init__(
        self,
        certifier: Certifier,
        classifier: Classifier,
        eps: Sequence[float],
        kept: KeptCertificates,
    ) -> None:
        self._certifier, self._classifier, self._eps, self._kept = certifier, classifier, eps, kept
        self._certificates: list[Certificates] = []
        self._seconds = 0.0

    def certify(
        self, images: Images, labels: Labels, seed: int, tell: Callable[[int], None]
    ) -> None:
        """Certify a block, as many images at a time as the certifier takes."""
        size = max(1, self._certifier.images_at_once)
        for start in range(0, len(images), size):
            some, theirs = images[start : start + size], labels[start : start + size]
            recipe = self._kept.recipe(some, theirs, seed, self._eps)
            kept = self._kept.load(recipe, len(some))
            certificates, seconds = kept or self._timed(some, theirs, content_seeds(seed, some))
            if not kept:
                self._kept.save(recipe, certificates, seconds)
            self._certificates.append(certificates)
            self._seconds += seconds
            tell(len(some))

    def _timed(self, images: Images, labels: Labels, seeds: Seeds) -> tuple[Certificates, float]:
        began = time.perf_counter()
        certificates = self._certified(images, labels, seeds)
        return certificates, time.perf_counter() - began

    def _certified(self, images: Images, labels: Labels, seeds: Seeds) -> Certificates:
        certifier, classifier = self._certifier, self._classifier
        with _blaming(certifier):
            found = certifier.certify(classifier, images, labels, seed=seeds)
            _check(certifier, found, len(images))
            if type(certifier).verify is Certifier.verify:  # it asks about radii alone
                return found
            radii = found.radii.copy()
            for eps in self._eps:
                near = (radii < eps) & (radii >= _NEAR * eps)
                if near.any():
                    proven = certifier.verify(
                        classifier, images[near], labels[near], eps, seed=seeds[near]
                    )
                    radii[near] = np.where(proven, eps, radii[near])
        return dataclasses.replace(found, radii=radii, least=_not_below(radii, found.least))

    def measured(self) -> Measured:
        """Return all that it answered."""
        joined: dict[str, Any] = {field: self._joined(field) for field in FIELDS}
        return Measured(seconds=self._seconds, **joined)

    def _joined(self, field: str) -> np.ndarray | None:
        parts = [getattr(one, field) for one in self._certificates]
        return None if any(part is None for part in parts) else np.concatenate(parts)


def _not_below(radii: PerImage, least: PerImage | None) -> PerImage | None:
    """Return the least distances, none below a radius: both are rounded to float32."""
    return None if least is None else np.maximum(least, radii)


@contextlib.contextmanager
def _blaming(certifier: Certifier) -> Iterator[None]:
    """Name the certifier in what it raises.

    Raises:
        PluginError: it failed.
    """
    try:
        yield
    except RobustError:
        raise
    except Exception as error:  # a third-party certifier may raise anything
        cause = f"{type(error).__name__}: {one_line(error)}"
        raise PluginError(f"certifier {name_of(certifier)} failed: {cause}") from error


def _check(certifier: Certifier, certificates: Any, images: int) -> None:
    """Refuse what is not a certificate of each image.

    Raises:
        PluginError: what was expected and received.
    """
    received = type(certificates).__name__
    if isinstance(certificates, Certificates):
        if len(certificates.radii) == images:
            return
        received = f"those of {len(certificates.radii)}"
    raise PluginError(
        f"certifier {name_of(certifier)} broke its contract: expected certificates of {images} "
        f"images; received: {received}"
    )
