"""Certificates of a few images: the work that is spread over workers, and what a certifier owes."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfrobust.certifier import Certificates, Certifier
from tfrobust.classifier import Classifier
from tfrobust.errors import PluginError, RobustError, one_line
from tfrobust.execution.portable import PackedPlugin, Packer, Parcel
from tfrobust.random import content_seeds
from tfrobust.registry import name_of
from tfrobust.types import Images, Labels, PerImage

_NEAR = 0.95  # of a radius that is asked about; bisection ends nearer
Timed = tuple[Certificates, float]  # with the seconds that they took


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """Images of which a certifier is asked at once.

    Attributes:
        classifier: its name.
        certifier: its number.
        start: of the images in their split.
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        recipe: under which the certificates are kept; see `KeptCertificates`.
    """

    classifier: str
    certifier: int
    start: int
    images: Images
    labels: Labels
    recipe: bytes

    @property
    def place(self) -> str:
        """Which images they are, for messages."""
        return f"images {self.start} to {self.start + len(self.images) - 1}"


@dataclasses.dataclass(frozen=True)
class CertificationJob:
    """Certifies one piece after the other; see `tfrobust.execution.executor.Job`.

    Attributes:
        classifiers: by name; every certifier has accepted them.
        certifiers: with their options.
        eps: of each certifier the radii that are asked about by themselves.
        seed: decides everything random.
    """

    classifiers: Mapping[str, Classifier]
    certifiers: Sequence[Certifier]
    eps: Sequence[Sequence[float]]
    seed: int

    def start(self) -> Callable[[Piece], Timed]:
        """Return what certifies a piece: all of it is loaded."""
        return self._certify

    def packed(self, packer: Packer) -> PackedCertification:
        """Describe the job; see `Portable`."""
        return PackedCertification(
            tuple(packer.classifier(*named) for named in self.classifiers.items()),
            tuple(packer.plugin("certifiers", certifier) for certifier in self.certifiers),
            tuple(self.classifiers),
            tuple(map(tuple, self.eps)),
            self.seed,
        )

    def _certify(self, piece: Piece) -> Timed:
        certifier, eps = self.certifiers[piece.certifier], self.eps[piece.certifier]
        began = time.perf_counter()
        found = certified(
            certifier, self.classifiers[piece.classifier], piece.images, piece.labels,
            eps=eps, seed=self.seed,
        )  # fmt: skip
        return found, time.perf_counter() - began


@dataclasses.dataclass(frozen=True)
class PackedCertification:
    """A `CertificationJob` on its way to a worker."""

    classifiers: tuple[Parcel, ...]
    certifiers: tuple[PackedPlugin, ...]
    names: tuple[str, ...]
    eps: tuple[tuple[float, ...], ...]
    seed: int

    def start(self) -> Callable[[Piece], Timed]:
        """Load classifiers and certifiers; return what certifies a piece."""
        opened = [parcel.opened() for parcel in self.classifiers]
        job = CertificationJob(
            dict(zip(self.names, opened, strict=True)),
            [plugin.built() for plugin in self.certifiers],
            self.eps,
            self.seed,
        )
        return job.start()


def certified(
    certifier: Certifier,
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    eps: Sequence[float],
    seed: int,
) -> Certificates:
    """Certify images, and ask about the radii by themselves that the certifier ended just below.

    Raises:
        PluginError: the certifier fails, or breaks its contract.
    """
    seeds = content_seeds(seed, images)
    with _blaming(certifier):
        found = certifier.certify(classifier, images, labels, seed=seeds)
        _check(certifier, found, len(images))
        if type(certifier).verify is Certifier.verify:  # it asks about radii alone
            return found
        radii = found.radii.copy()
        for asked in eps:
            near = (radii < asked) & (radii >= _NEAR * asked)
            if near.any():
                proven = certifier.verify(
                    classifier, images[near], labels[near], asked, seed=seeds[near]
                )
                radii[near] = np.where(proven, asked, radii[near])
    return dataclasses.replace(found, radii=radii, least=_not_below(radii, found.least))


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
