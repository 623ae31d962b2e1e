"""The `Certifier` contract: how far from an image no other image changes the answer."""

from __future__ import annotations

import abc
import dataclasses
import math

import numpy as np

from tfrobust.classifier import Classifier
from tfrobust.errors import PluginError, UsageError
from tfrobust.norms.distances import widest
from tfrobust.registry import name_of
from tfrobust.types import Flags, Images, Labels, Norm, PerImage, Seed


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Certificates:
    """What a certifier proves of each image of a batch, as NumPy arrays.

    Attributes:
        radii: float32 `(batch,)`, in the certifier's norm: no image within this distance and within
            [0, 1] is read as another class than the label. 0: nothing is proven, or the image
            itself is read otherwise.
        abstained: bool `(batch,)`: the answer was too close to call; its radius is 0. By default
            nowhere.
        least: float32 `(batch,)`: the distance of the nearest image that is read as another class,
            of certifiers that search for it; 0 where the image itself is. Infinite: there is none,
            or none was found in time. `None`: not searched for.
        complete: bool `(batch,)`: the search ended, so that `least` is exact; elsewhere it is only
            an upper bound. `None`: not searched for.
        answers: int64 `(batch,)`: how what is certified reads the images themselves, of certifiers
            that may certify another classifier than they are given. `None`: not told.

    Raises:
        PluginError: an array has another shape than `radii`, or a radius is negative or NaN, above
            `least`, or not 0 where the certifier abstained.
    """

    radii: PerImage
    abstained: Flags = None
    least: PerImage | None = None
    complete: Flags | None = None
    answers: Labels | None = None

    def __post_init__(self) -> None:
        kinds = {
            "radii": np.float32,
            "abstained": bool,
            "least": np.float32,
            "complete": bool,
            "answers": np.int64,
        }
        given = {name: getattr(self, name) for name in kinds}
        if given["abstained"] is None:
            given["abstained"] = np.zeros(np.shape(self.radii), bool)
        for name, kind in kinds.items():
            value = None if given[name] is None else np.asarray(given[name], kind)
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        radii = self.radii
        for name in ("abstained", "least", "complete", "answers"):
            value = getattr(self, name)
            if value is not None and value.shape != radii.shape:
                raise PluginError(
                    f"certificates: {name}: expected {radii.shape}; received: {value.shape}"
                )
        if radii.ndim != 1 or not (np.isfinite(radii) & (radii >= 0)).all():
            raise PluginError(f"certificates: radii: expected (batch,) from 0; received: {radii}")
        if radii[self.abstained].any():
            raise PluginError("certificates: expected radius 0 where the certifier abstained")
        if self.least is not None and not (radii <= self.least).all():
            raise PluginError("certificates: a radius is above the least distance that was found")


class Certifier(abc.ABC):
    """Proves how far an attack has to go; its fields are its options.

    A certificate holds for the classifier that it was asked about: a radius is never above the
    distance of the nearest image in [0, 1] that is read as another class than the label. A radius
    may hold with a probability only, if the certifier says which.

    Example:
        >>> certifier = create("certifiers", "crown", norm="linf")
        >>> certifier.check(classifier)
        >>> certifier.certify(classifier, images, labels, seed=0).radii
        array([0.0412, 0.0207], dtype=float32)
    """

    @property
    @abc.abstractmethod
    def norm(self) -> Norm:
        """In which its radii are measured: an option, or a property."""

    @property
    def confidence(self) -> float | None:
        """With which probability a radius holds, each for itself; `None`: it is proven."""
        return None

    @property
    def images_at_once(self) -> int:
        """How many images `certify` is given at a time, so that progress can be shown."""
        return 64

    @property
    def passes(self) -> int | None:
        """Forward passes an image, of a certifier that asks the classifier; `None`: of no such."""
        return None

    def certifies_answers(self, classifier: Classifier) -> bool:
        """Tell whether what it certifies are the answers of the classifier as it is.

        A certifier that adds noise of its own to a classifier without any certifies another one,
        and an attack on the classifier itself says nothing of it.
        """
        return True

    def variant(self, classifier: Classifier) -> str | None:
        """Return how what it certifies differs from the classifier, to be read after its name.

        Such as `+ noise σ=0.25`. `None`: it certifies the answers of the classifier as it is.
        """
        return None if self.certifies_answers(classifier) else "as another classifier"

    def check(self, classifier: Classifier) -> None:  # noqa: B027
        """Refuse a classifier that can never be certified; by default none.

        Called once before any image is certified; `certify` may rely on it.

        Raises:
            UsageError: names what it cannot do, such as a norm or a layer, and what it can.
        """

    @abc.abstractmethod
    def certify(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Seed
    ) -> Certificates:
        """Return how far from each image nothing is read as another class than its label.

        Args:
            classifier: whose answers are certified.
            images: float32 `(batch, height, width, channels)` in [0, 1]: a batch, not a data set.
            labels: int64 `(batch,)`: the true classes.
            seed: an integer, or int32 `(batch, 2)`, a stateless seed an image (see
                `tfrobust.random`). Nothing else may be random.

        Returns:
            The certificates, in the order of the images.
        """

    def verify(
        self, classifier: Classifier, images: Images, labels: Labels, eps: float, *, seed: Seed
    ) -> Flags:
        """Tell of which images it proves that nothing within `eps` is read as another class.

        By default where the radius is `eps` or more. A certifier that can ask about a single radius
        overrides it.

        Args:
            classifier: as for `certify`.
            images: float32 `(batch, height, width, channels)`.
            labels: int64 `(batch,)`.
            eps: the radius, above 0.
            seed: as for `certify`.

        Returns:
            bool `(batch,)`, NumPy.

        Raises:
            UsageError: see `check_radius`.
        """
        check_radius(self, classifier, eps)
        certificates = self.certify(classifier, images, labels, seed=seed)
        return np.asarray(certificates.radii, np.float64) >= eps


def check_radius(certifier: Certifier, classifier: Classifier, eps: float) -> None:
    """Refuse a radius that cannot be asked about.

    Raises:
        UsageError: it is not above 0, or larger than any two images are apart.
    """
    name = name_of(certifier)
    if not (math.isfinite(eps) and eps > 0):
        raise UsageError(f"{name}: eps: expected a radius above 0; received: {eps}")
    most = widest(certifier.norm, classifier.image_shape)
    if eps > most:
        hint = "; pixels run from 0 to 1: divide by 255?" if certifier.norm == "linf" else ""
        raise UsageError(
            f"{name}: eps: no two images are farther apart than {most:g} in {certifier.norm}; "
            f"received: {eps:g}{hint}"
        )
