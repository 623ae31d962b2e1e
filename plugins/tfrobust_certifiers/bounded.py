"""What certifiers by bounds share: a traced pass through a network, and bisection."""

from __future__ import annotations

import abc
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfrobust.bounds import Around, IntervalBounds
from tfrobust.certifier import Certificates, Certifier, check_radius
from tfrobust.classifier import Classifier
from tfrobust.classifiers.traces import Traces
from tfrobust.norms.distances import widest
from tfrobust.options import option, plugin
from tfrobust.registry import name_of
from tfrobust.types import Flags, Images, KerasModel, Labels, PerImage, Seed
from tfrobust_certifiers.bisection import largest_verified
from tfrobust_certifiers.networks import model_of

_PASSES: Traces[Any] = Traces(most=16)


@plugin
class BoundCertifier(Certifier):
    """Certifies a radius where bounds of every other class's lead are below 0."""

    norm: Literal["linf", "l2", "l1"] = option("norm of the radii", default="linf")
    most: float | None = option(
        "largest radius asked for, in the unit of the norm; none: any", default=None, gt=0
    )
    halvings: int = option(
        "bisection steps, a pass each; 12: exact to 0.4 %", default=12, ge=1, le=24
    )

    @abc.abstractmethod
    def bounds(self, model: KerasModel) -> IntervalBounds:
        """Return the bounds of a model's answers.

        Raises:
            UsageError: names a layer whose bounds are not known.
        """

    def check(self, classifier: Classifier) -> None:
        """Refuse what is no Keras network of known layers; see `Certifier`.

        Raises:
            UsageError: names what it is, or the layer.
        """
        self.bounds(self._model(classifier))

    def certify(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Seed
    ) -> Certificates:
        """Return the largest radii that bisection verifies; see `Certifier`."""
        radii = largest_verified(
            lambda eps: self._verified(classifier, images, labels, eps),
            len(images),
            min(self.most or float("inf"), widest(self.norm, classifier.image_shape)),
            self.halvings,
        )
        return Certificates(radii=radii)

    def verify(
        self, classifier: Classifier, images: Images, labels: Labels, eps: float, *, seed: Seed
    ) -> Flags:
        """Tell which images are verified at `eps`, by one pass; see `Certifier`."""
        check_radius(self, classifier, eps)
        return self._verified(classifier, images, labels, _not_below(eps, len(images)))

    def _verified(
        self, classifier: Classifier, images: Images, labels: Labels, eps: PerImage
    ) -> Flags:
        key = (type(self), *self._traced())
        passed = _PASSES.of(classifier, key, lambda: self._pass(classifier))
        given = (tf.cast(images, tf.float32), tf.cast(labels, tf.int64), tf.constant(eps))
        return passed(*given).numpy()

    def _traced(self) -> tuple[Any, ...]:
        """Return the options that a trace depends on."""
        return (self.norm,)

    def _pass(self, classifier: Classifier) -> Any:
        """Return the traced function (images, labels, radii) → which of them are verified."""
        bounds = self.bounds(self._model(classifier))

        def verified(images: Images, labels: Labels, eps: PerImage) -> Flags:
            lead = bounds.worst(Around(images, eps, self.norm), labels)
            own = tf.one_hot(labels, lead.shape[1], True, False, dtype=tf.bool)
            return tf.reduce_all(own | (lead < 0.0), axis=1)

        specs = [
            tf.TensorSpec((None, *classifier.image_shape), tf.float32),
            tf.TensorSpec((None,), tf.int64),
            tf.TensorSpec((None,), tf.float32),
        ]
        return tf.function(verified, input_signature=specs, autograph=False)

    def _model(self, classifier: Classifier) -> KerasModel:
        return model_of(classifier, name_of(self))


def _not_below(eps: float, count: int) -> PerImage:
    """Return a radius an image, rounded up to float32."""
    nearest = np.float32(eps)
    return np.full(count, nearest if nearest >= eps else np.nextafter(nearest, np.float32(np.inf)))
