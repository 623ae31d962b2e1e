"""The signatures that an export has beside `serving_default`, for what production sends.

| signature | takes |
|---|---|
| `serve_bytes` | `image_bytes`, string `(batch,)`: JPEG or PNG files, at most 2**24 pixels each |
| `serve_uint8` | `images`, uint8 `(batch, height, width, channels)` of any size |
| `classify` | `inputs`, string `(batch,)`: serialized `tf.Example` |

The first two give what `serving_default` gives, `classify` gives `classes` and `scores`: pairs, the
most probable first. It is called by TensorFlow Serving's Classify API. An example has a feature
`image_bytes` where `serve_bytes` is exported too, and else `images`, the pixels in [0, 1] row by
row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfrobust.errors import UsageError
from tfrobust.preparation import Preparation
from tfrobust.serving.decoding import decoded
from tfrobust.serving.settings import ServedInput
from tfrobust.types import Images, ImageShape

BYTES, UINT8, CLASSIFY = "serve_bytes", "serve_uint8", "classify"
Serve = Callable[[Images], dict[str, Any]]
Made = Callable[[Serve], dict[str, Any]]


def more_signatures(
    inputs: Sequence[ServedInput],
    preparation: Preparation | None,
    image_shape: ImageShape,
    classify: Sequence[str] = (),
) -> Made:
    """Return what makes signatures of the function that `serving_default` is.

    Args:
        inputs: which forms of images are taken, too.
        preparation: how pictures became the images of the training.
        image_shape: of the images.
        classify: the names of the classes, for a signature `classify`; none: there is none.

    Raises:
        UsageError: no picture can become such an image.
    """
    if inputs and preparation is None:
        raise UsageError(
            f"inputs: expected a classifier of grey or colour images; received: {image_shape[2]} "
            "channels, which no picture has; leave it out"
        )

    def made(serve: Serve) -> dict[str, Any]:
        signatures = {}
        if preparation is not None:
            if "image_bytes" in inputs:
                signatures[BYTES] = _of_bytes(serve, preparation, image_shape)
            if "uint8" in inputs:
                signatures[UINT8] = _of_uint8(serve, preparation, image_shape)
        if classify:
            by_file = preparation if "image_bytes" in inputs else None
            signatures[CLASSIFY] = _classifying(serve, by_file, image_shape, classify)
        return signatures

    return made


def _of_bytes(serve: Serve, preparation: Preparation, image_shape: ImageShape) -> Any:
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def serve_bytes(image_bytes: Any) -> dict[str, Any]:
        return serve(decoded(image_bytes, preparation, image_shape))

    return serve_bytes


def _of_uint8(serve: Serve, preparation: Preparation, image_shape: ImageShape) -> Any:
    shape = (None, None, None, preparation.channels)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, name="images")])
    def serve_uint8(images: Any) -> dict[str, Any]:
        prepared = preparation(tf.cast(images, tf.float32) / 255.0)
        return serve(tf.ensure_shape(prepared, (None, *image_shape)))

    return serve_uint8


def _classifying(
    serve: Serve, by_file: Preparation | None, image_shape: ImageShape, names: Sequence[str]
) -> Any:
    """Return the signature of the Classify API; see the module."""
    labels = tf.constant(list(names))

    def images_of(examples: Any) -> Images:
        if by_file is not None:
            feature = {"image_bytes": tf.io.FixedLenFeature((), tf.string)}
            files = tf.io.parse_example(examples, feature)["image_bytes"]
            return decoded(files, by_file, image_shape)
        feature = {"images": tf.io.FixedLenFeature(image_shape, tf.float32)}
        return tf.io.parse_example(examples, feature)["images"]

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="inputs")])
    def classify(inputs: Any) -> dict[str, Any]:
        scores = serve(images_of(inputs))["probabilities"]
        order = tf.argsort(scores, axis=1, direction="DESCENDING", stable=True)
        return {
            "classes": tf.gather(labels, order),
            "scores": tf.gather(scores, order, batch_dims=1),
        }

    return classify
