"""Picture files decoded in TensorFlow's graph, in parallel, where that gives the pixels of Pillow.

That is so for colour JPEGs without EXIF. Pillow decodes everything else: it knows more formats, and
turns a picture as its camera noted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

_JPEG = (b"\xff\xd8\xff", b"\xff\xd9")  # how a whole one begins and ends
_EXIF = b"Exif\0\0"  # may turn the picture
_LUMA = (19595, 38470, 7471)  # of 2**16: ITU-R 601, as Pillow rounds it


def decoded(path: Any, channels: int, by_pillow: Callable[[bytes], np.ndarray]) -> Any:
    """Return a picture in the graph of a dataset's `map`.

    Args:
        path: string `()`.
        channels: 1 for grey, or 3.
        by_pillow: returns the picture of a path, float32 `(height, width, channels)` in [0, 1].

    Returns:
        float32 `(height, width, channels)` in [0, 1].
    """
    content = tf.io.read_file(path)

    def in_graph() -> Any:
        # The accurate transform is Pillow's; TensorFlow's own choice differs by up to 5 of 255.
        colours = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
        pixels = colours if channels == 3 else _luma(colours)
        return tf.cast(pixels, tf.float32) / 255.0

    def outside() -> Any:
        # As stateless, it keeps running in parallel where training is deterministic.
        return tf.numpy_function(by_pillow, [path], tf.float32, stateful=False)

    picture = tf.cond(_is_plain(content), in_graph, outside)
    return tf.ensure_shape(picture, (None, None, channels))


def _is_plain(content: Any) -> Any:
    """Tell whether a file is a whole JPEG of three colours that no note turns, and no bomb."""
    no = tf.constant(False)

    def whole_and_upright() -> Any:
        ends = tf.strings.substr(content, -2, 2) == _JPEG[1]
        return ends & (tf.size(tf.strings.split(content, _EXIF)) == 1)

    def in_colour_and_not_too_large() -> Any:
        shape = tf.cast(tf.image.extract_jpeg_shape(content), tf.int64)
        height, width, channels = tf.unstack(shape, num=3)
        return (channels == 3) & (height * width <= (Image.MAX_IMAGE_PIXELS or tf.int64.max))

    begins = tf.strings.substr(content, 0, 3) == _JPEG[0]
    may_be = tf.cond(begins, whole_and_upright, lambda: no)
    return tf.cond(may_be, in_colour_and_not_too_large, lambda: no)


def _luma(colours: Any) -> Any:
    """Return the grey of colours, uint8 `(height, width, 1)`, rounded as Pillow does."""
    weighed = tf.cast(colours, tf.int32) * tf.constant(_LUMA, tf.int32)
    return tf.bitwise.right_shift(tf.reduce_sum(weighed, -1, keepdims=True) + 0x8000, 16)
