"""Random resizing and padding: each image is shrunk at random and put at a random place.

x → pad(resize(x, r), at (a, b)),  r ~ U{least, …, side},  a, b ~ U{0, …, side − r}; the rest is 0

Xie, Wang, Zhang, Ren & Yuille, "Mitigating adversarial effects through randomization" (2018).
Threat: an attacker who does not know of it, or who follows one draw.
Broken by: Athalye, Carlini & Wagner, "Obfuscated gradients give a false sense of security" (2018),
by expectation over transformation: the gradient of the mean over draws, 30 of them. Every
white-box attack averages draws here. Its gradients are right: there is no surrogate.
Departures: the paper enlarges 299 × 299 images to 310 … 331 pixels, for networks that take any
size. Here images keep their size, which networks of any kind and image size take, and are shrunk,
by default by as much as the paper pads: 299/331 of the side. Both sides are drawn as one, as in the
paper; images that are not square keep their shape.
"""

from __future__ import annotations

from typing import Any, Literal

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack, descent
from tfrobust.classifier import Classifier
from tfrobust.defense import Changes, Defended
from tfrobust.draws import Draws
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images
from tfrobust_transformations.transformed import ChangesImages, Transformed

Method = Literal["nearest", "bilinear"]
_SEED_MOST = 2**31 - 1


@plugin
class RandomResizePad(ChangesImages):
    """Shows the classifier each image in a random size, at a random place."""

    least: float = option("smallest size, as a share of the side", default=0.9, gt=0, lt=1)
    method: Method = option("how pixels are resized", default="nearest")

    @property
    def changes(self) -> Changes:
        """It shows the classifier other images, drawn at random."""
        return frozenset({"input", "randomness"})

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Projected gradient descent on the mean over draws; see `Defense`."""
        return descent(
            "sizes and places are random: EOT, the mean gradient of 30 draws",
            "Athalye, Carlini & Wagner 2018",
            steps=40,
            samples=30,
        )

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Return the classifier behind the random resizing; nothing is trained. See `Defense`."""
        return Defended(_Resized(classifier, self.least, self.method))


class _Resized(Transformed):
    """A classifier of images in random sizes.

    Attributes:
        draws: gives the sizes and places; an export keeps it.
    """

    def __init__(self, inner: Classifier, least: float, method: Method) -> None:
        super().__init__(inner, self._resized, stochastic=True)
        self._least, self._method = least, method
        seed = tf.random.uniform((), maxval=_SEED_MOST, dtype=tf.int32)  # as the global seed has it
        self.draws = Draws(int(seed))

    def _resized(self, images: Images) -> Images:
        count = tf.shape(images)[0]
        share = self.draws.uniform((count,), self._least, 1.0)
        places = self.draws.uniform((2, count))
        return resized(images, share, places[0], places[1], self._method)

    def trackables(self) -> list[Any]:
        """Return the inner classifier's, and the generator."""
        return [*super().trackables(), self.draws]


def resized(images: Images, share: Any, top: Any, left: Any, method: Method) -> Images:
    """Return images shrunk to a share of their sides, on black, at a place.

    Args:
        images: `(batch, height, width, channels)`.
        share: float32 `(batch,)` in (0, 1].
        top: float32 `(batch,)` in [0, 1]: of what is left over, how much is above.
        left: the same of what is on the left.
        method: how pixels are resized.

    Returns:
        Of the same shape. Both methods are linear in the images, and so have a gradient.
    """
    height, width = images.shape[1], images.shape[2]
    rows = _weights(height, share, top, method)
    columns = _weights(width, share, left, method)
    return tf.einsum("bih,bhwc,bjw->bijc", rows, images, columns)


def _weights(side: int, share: Any, place: Any, method: Method) -> Any:
    """Return how much of each old pixel is in each new one, `(batch, new, old)`."""
    size = tf.maximum(1.0, tf.math.rint(share * side))[:, None]
    first = tf.floor(place[:, None] * (side - size + 1.0))
    first = tf.minimum(first, side - size)  # a place of exactly 1
    new = tf.range(side, dtype=tf.float32)[None, :] - first
    inside = tf.cast((new >= 0) & (new < size), tf.float32)[..., None]
    old = (new + 0.5) * side / size  # its centre, in pixels of the image
    if method == "nearest":
        return inside * _chosen(tf.floor(old), side)
    low = tf.floor(old - 0.5)
    part = (old - 0.5 - low)[..., None]
    below, above = (_chosen(tf.clip_by_value(low + k, 0.0, side - 1.0), side) for k in (0.0, 1.0))
    return inside * ((1.0 - part) * below + part * above)


def _chosen(places: Any, side: int) -> Any:
    """Return 1 at a place and 0 elsewhere; tf2onnx converts no `one_hot` in a loop."""
    return tf.cast(places[..., tf.newaxis] == tf.range(side, dtype=tf.float32), tf.float32)
