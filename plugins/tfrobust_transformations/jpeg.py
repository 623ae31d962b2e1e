"""JPEG: images are compressed and decompressed, which removes what the eye does not see.

x → decode(encode(x, quality))

Guo, Rana, Cissé & van der Maaten, "Countering adversarial images using input transformations"
(2018); Das, Shanbhogue, Chen et al., "Keeping the bad guys out: protecting and vaccinating deep
learning with JPEG compression" (2017); Dziugaite, Ghahramani & Roy (2016). Threat: an attacker who
does not know of it; TensorFlow's codec has no gradient.
Broken by: Athalye, Carlini & Wagner, "Obfuscated gradients give a false sense of security" (2018),
by BPDA with the identity, which compression stays close to. That is the surrogate here, and every
white-box attack follows it. Shin & Song, "JPEG-resistant adversarial images" (2017), differentiate
the compression itself.
Departures: the networks are not trained again on compressed images; Das et al. do that, and draw
the quality at random in parts of the image. The codec runs in the graph, on CPUs.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack, descent
from tfrobust.classifier import Classifier
from tfrobust.defense import Defended
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import Image, Images
from tfrobust_transformations.transformed import (
    ChangesImages,
    Transformed,
    straight_through,
)

_CHANNELS = (1, 3)


@plugin
class Jpeg(ChangesImages):
    """Compresses images by JPEG before the classifier looks."""

    quality: int = option("of the compression: 1 (coarse) to 100", default=75, ge=1, le=100)

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Projected gradient descent through the codec; see `Defense`."""
        return descent(
            "the codec has no gradient: BPDA by the identity",
            "Athalye, Carlini & Wagner 2018",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse images that JPEG does not hold; see `Defense`.

        Raises:
            UsageError: says how many channels there are.
        """
        channels = classifier.image_shape[2]
        if channels not in _CHANNELS:
            raise UsageError(
                f"jpeg: expected images of 1 or 3 channels; received: {channels}; leave it out"
            )

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Return the classifier behind the codec; nothing is trained. See `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        self.check(classifier, scenario)
        return Defended(Transformed(classifier, self.compressed, differentiable=False))

    def surrogate(self, defended: Classifier) -> Classifier | None:
        """Return it with the gradient of the identity; see `Defense`."""
        through = straight_through(self.compressed)
        return Transformed(defended.inner, through, differentiable=True) if defended.inner else None

    def compressed(self, images: Images) -> Images:
        """Return images that were compressed and decompressed, of the same shape.

        Example:
            >>> Jpeg(quality=10).compressed(images).shape == images.shape
            True
        """
        shape = images.shape[1:]

        def through_codec(pixels: Image) -> Any:
            file = tf.io.encode_jpeg(
                pixels, format="grayscale" if shape[2] == 1 else "rgb", quality=self.quality
            )
            decoded = tf.io.decode_jpeg(file, channels=shape[2], dct_method="INTEGER_ACCURATE")
            return tf.ensure_shape(decoded, shape)

        pixels = tf.cast(tf.round(tf.clip_by_value(images, 0.0, 1.0) * 255.0), tf.uint8)
        whole: Any = tf.map_fn(through_codec, pixels, fn_output_signature=tf.uint8)
        return tf.cast(whole, tf.float32) / 255.0
