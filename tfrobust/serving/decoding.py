"""Picture files decoded in a served graph, to the pixels that the training pipeline read.

JPEG and PNG, grey or in colour, transparent or not. As the training does (`Preparation`): a JPEG's
transform is accurate or TensorFlow's own, transparency is dropped, grey is ITU-R 601 as Pillow
rounds it, a grey PNG of 16 bits keeps them, and a JPEG may be turned as its EXIF orientation says.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.preparation import Preparation
from tfrobust.types import Image, Images

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"  # how they begin
_IHDR = b"\0\0\0\rIHDR"  # the length and type of the chunk that says a PNG's size
_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112  # the tag's number
_LONGEST_EXIF, _MOST_TAGS = 1 << 16, 128
_LUMA = (19595, 38470, 7471)  # of 2**16
_MOST_PIXELS = 2**24  # 4096 by 4096; a larger picture may be a bomb, and takes 200 MB in colour


def decoded(files: Any, preparation: Preparation, image_shape: tuple[int, int, int]) -> Images:
    """Return the images of picture files, in a graph.

    Args:
        files: string `(batch,)`: the content of JPEG or PNG files, at most 2**24 pixels each.
        preparation: of the training.
        image_shape: that comes out.

    Returns:
        float32 `(batch, height, width, channels)` in [0, 1].

    Raises:
        tf.errors.InvalidArgumentError: a file is neither, is damaged, or has too many pixels.

    Example:
        >>> decoded([tf.io.encode_png(picture)], plain_preparation((8, 8, 1)), (8, 8, 1)).shape
        TensorShape([1, 8, 8, 1])
    """

    def image(file: Any) -> Any:
        return tf.ensure_shape(preparation(_picture(file, preparation)), image_shape)

    one = tf.TensorSpec(image_shape, tf.float32)
    # One at a time: the memory of several large pictures would add up.
    return tf.map_fn(image, files, fn_output_signature=one, parallel_iterations=1)


def _picture(file: Any, preparation: Preparation) -> Image:
    """Return the pixels of a file, float32 `(height, width, channels)` in [0, 1]."""
    is_jpeg = tf.strings.substr(file, 0, len(_JPEG)) == _JPEG
    is_png = tf.strings.substr(file, 0, len(_PNG)) == _PNG
    one_of_both = tf.debugging.Assert(
        is_jpeg | is_png, ["image_bytes: expected a JPEG or PNG file"], name="is_a_picture"
    )
    with tf.control_dependencies([one_of_both]):
        picture = tf.cond(
            is_jpeg, lambda: _jpeg(file, preparation), lambda: _png(file, preparation.channels)
        )
    return tf.ensure_shape(picture, (None, None, preparation.channels))


def _jpeg(file: Any, preparation: Preparation) -> Image:
    method = "INTEGER_ACCURATE" if preparation.dct == "accurate" else ""
    height, width, _ = tf.unstack(tf.cast(tf.image.extract_jpeg_shape(file), tf.int64), num=3)
    with tf.control_dependencies([_no_bomb(height * width)]):
        colours = tf.io.decode_jpeg(file, channels=3, dct_method=method)
    image = _unit(colours, preparation.channels)
    return _turned(image, _orientation(file)) if preparation.upright else image


def _png(file: Any, channels: int) -> Image:
    width, height = (_number(_bytes(file, at, 4), little=False) for at in (16, 20))
    header_first = tf.debugging.Assert(  # else these bytes are not the size that is decoded
        tf.strings.substr(file, len(_PNG), len(_IHDR)) == _IHDR,
        ["image_bytes: expected a PNG file that begins with its header"],
        name="header_first",
    )
    with tf.control_dependencies([header_first, _no_bomb(height * width)]):
        depth, kind = tf.unstack(_bytes(file, 24, 2), num=2)

    def deep() -> Any:
        grey = tf.cast(tf.io.decode_png(file, channels=1, dtype=tf.uint16), tf.float32) / 65535.0
        return tf.repeat(grey, channels, axis=2)

    def plain() -> Any:
        return _unit(tf.io.decode_png(file, channels=3), channels)

    return tf.cond((depth == 16) & (kind == 0), deep, plain)


def _no_bomb(pixels: Any) -> Any:
    return tf.debugging.Assert(
        pixels <= _MOST_PIXELS,
        [f"image_bytes: expected at most {_MOST_PIXELS} pixels; received:", pixels],
    )


def _unit(colours: Any, channels: int) -> Image:
    """Return pixels of 8 bits as float32 in [0, 1], in grey where one channel is asked for."""
    if channels == 1:
        weighed = tf.cast(colours, tf.int32) * tf.constant(_LUMA, tf.int32)
        rounded = tf.reduce_sum(weighed, -1, keepdims=True) + 0x8000
        colours = tf.bitwise.right_shift(rounded, 16)
    return tf.cast(colours, tf.float32) / 255.0


def _turned(image: Image, orientation: Any) -> Image:
    """Return a picture as people saw it: orientations 5 to 8 lie on their side."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    mirrored = tf.reduce_any(orientation == (2, 3, 6, 7))
    inverted = tf.reduce_any(orientation == (3, 4, 7, 8))
    image = tf.cond(mirrored, lambda: tf.reverse(image, (1,)), lambda: image)
    return tf.cond(inverted, lambda: tf.reverse(image, (0,)), lambda: image)


def _orientation(file: Any) -> Any:
    """Return the EXIF orientation of a JPEG, 1 to 8; 1 where it says none.

    After the marker there is a TIFF header: the order of bytes, where the tags begin, how many
    there are, and 12 bytes of each, its number first and a short value from the ninth.
    """
    parts = tf.strings.split(file, _EXIF, maxsplit=1)

    def noted() -> Any:
        data = _bytes(parts[1], 0, _LONGEST_EXIF)
        little = data[0] == ord("I")
        start = tf.minimum(_number(data[4:8], little), _LONGEST_EXIF)
        tags = start + 2 + 12 * tf.range(_MOST_TAGS, dtype=tf.int64)
        count = _number(_at(data, start[tf.newaxis], 2)[0], little)
        numbers = _number(_at(data, tags, 2), little)
        values = _number(_at(data, tags + 8, 2), little)
        is_it = (numbers == _ORIENTATION) & (tf.range(_MOST_TAGS, dtype=tf.int64) < count)
        value = tf.reduce_max(tf.where(is_it, values, 0))
        return tf.where(value <= 8, value, 1)

    return tf.cond(tf.size(parts) > 1, noted, lambda: tf.constant(1, tf.int64))


def _bytes(text: Any, start: int, length: int) -> Any:
    """Return bytes of a text as int64 `(length,)`; zeros beyond its end."""
    some = tf.strings.substr(text, tf.minimum(start, tf.strings.length(text)), length)
    return tf.cast(tf.io.decode_raw(some, tf.uint8, fixed_length=length), tf.int64)


def _at(data: Any, places: Any, length: int) -> Any:
    """Return bytes at places, `(places, length)`; the last one beyond the end."""
    wanted = places[:, tf.newaxis] + tf.range(length, dtype=tf.int64)
    return tf.gather(data, tf.minimum(wanted, tf.size(data, tf.int64) - 1))


def _number(data: Any, little: Any) -> Any:
    """Return the number that the last axis of bytes spells, in either order."""
    ordered = tf.where(little, tf.reverse(data, (-1,)), data)
    weights = tf.constant([256**k for k in reversed(range(data.shape[-1]))], tf.int64)
    return tf.reduce_sum(ordered * weights, axis=-1)
