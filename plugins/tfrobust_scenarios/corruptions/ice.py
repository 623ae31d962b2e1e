"""Ice on a pane: feathers of frost over an uneven ground, drawn instead of photographed.

Feathers grow in fans: a bright spine each, and barbs that leave it aslant and fray the edge. Where
feathers overlap, the brightest is seen. Colour and contrast are those of the five photographs that
the frost of Hendrycks & Dietterich (2019) is cut from, as measured (`PANES`, `_CONTRAST`); each
image gets one of the five. In front of 50 COCO images at 224×224, twelve panes of each of the five,
mean change and contrast are 0.99 to 1.03 times those of the package `imagecorruptions` 1.1.2.
No source: the drawing is ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfrobust.random import fold
from tfrobust.types import Seed
from tfrobust_scenarios.corruptions.plasma import plasma, plasma_draws

# Mean red, green and blue of cuttings of 224×224 of each photograph, whose middle they show more
# often than its edges; the third is the second once more.
PANES = (
    (0.302, 0.579, 0.644),
    (0.775, 0.792, 0.828),
    (0.775, 0.792, 0.828),
    (0.568, 0.626, 0.677),
    (0.400, 0.445, 0.491),
)
# Mean deviation of the grey values within a cutting of each photograph, by the image's size.
_CONTRAST = {
    32: (0.042, 0.049, 0.049, 0.057, 0.093),
    64: (0.049, 0.061, 0.061, 0.069, 0.104),
    224: (0.062, 0.079, 0.079, 0.103, 0.139),
}
_UNEVEN = 0.04  # deviation of a cutting's mean from its photograph's
# Pixels of the photograph in one of the image's: the authors shrank them for small images.
_SCALE = {32: 5.0, 64: 10 / 3, 224: 1.0}

_FANS, _FEATHERS = 12, 3  # fans in the field, feathers in a fan
_SPREAD = 0.7  # radians between a fan's feathers, at most
_GROUND_DECAY = 1.6
_GROUND, _GRAIN = 1.1, 0.12  # beside the feathers' 1


class _Feathers(NamedTuple):
    """`(feathers, 1, 1)` each; lengths in pixels of the photograph."""

    down: Any
    right: Any
    angle: Any
    length: Any
    leaf: Any  # half the width at the stem
    period: Any  # of the barbs
    brightness: Any


def frosted_pane(shape: Any, size: int, seed: Seed) -> Any:
    """Return a frosted pane, float32 `(height, width, 3)` in [0, 1].

    Args:
        shape: of the image.
        size: the published size whose grain and contrast it has.
        seed: int32 `(2,)`.
    """
    height, width = shape[0], shape[1]
    heights = plasma(plasma_draws(fold(seed, 1), shape), _GROUND_DECAY)[:height, :width]
    grain = tf.random.stateless_normal((height, width), fold(seed, 2))
    texture = feathers((height, width), _SCALE[size], fold(seed, 3))
    texture += _GROUND * heights + _GRAIN * grain
    centred = texture - tf.reduce_mean(texture)
    texture = centred / tf.maximum(tf.math.reduce_std(centred), 1e-6)
    which = _which(fold(seed, 4))
    uneven = _UNEVEN * tf.random.stateless_normal((), fold(seed, 5))
    contrast = tf.gather(tf.constant(_CONTRAST[size]), which)
    colour = tf.gather(tf.constant(PANES), which) + uneven
    return tf.clip_by_value(colour + contrast * texture[..., None], 0.0, 1.0)


def _which(seed: Seed) -> Any:
    """Draw which photograph a pane is like."""
    return tf.random.stateless_uniform((), seed, 0, len(PANES), tf.int32)


def feathers(shape: tuple[int, int], scale: float, seed: Seed) -> Any:
    """Return the feathers' brightness, `(height, width)`.

    Args:
        shape: height and width in pixels.
        scale: pixels of the photograph in one of these.
        seed: int32 `(2,)`.
    """
    height, width = shape
    drawn = _drawn(height * scale, width * scale, seed)
    down, right = (np.mgrid[:height, :width] * scale).astype(np.float32)
    below, beside = down - drawn.down, right - drawn.right
    cosine, sine = tf.cos(drawn.angle), tf.sin(drawn.angle)
    along = (cosine * beside + sine * below) / drawn.length
    across = tf.abs(cosine * below - sine * beside)
    barbs = tf.cos((along * drawn.length - 1.2 * across) * (2.0 * np.pi / drawn.period))
    # Widest near the stem, pointed at the end, frayed by the barbs.
    edge = tf.sqrt(tf.maximum(along, 0.0)) * 2.0 * tf.maximum(1.0 - along, 0.0)
    leaf = tf.sigmoid((drawn.leaf * edge * (0.9 + 0.5 * barbs) - across) / scale)
    spine = tf.exp(-tf.square(across / scale) / 2.0)
    shine = 0.45 + 0.25 * barbs + 0.4 * spine
    inside = tf.cast((along > 0.0) & (along < 1.0), tf.float32)
    return tf.reduce_max(inside * leaf * shine * drawn.brightness, axis=0)


def _drawn(height: float, width: float, seed: Seed) -> _Feathers:
    """Draw where feathers grow; their stems may stand outside the field."""
    fan = tf.repeat(tf.random.stateless_uniform((3, _FANS, 1, 1), seed), _FEATHERS, axis=1)
    own = tf.random.stateless_uniform((5, _FANS * _FEATHERS, 1, 1), fold(seed, 1))
    length = 30.0 + 80.0 * own[0]
    margin = 30.0
    step = np.tile(np.arange(_FEATHERS), _FANS).astype(np.float32)[:, None, None]
    return _Feathers(
        down=fan[0] * (height + 2 * margin) - margin,
        right=fan[1] * (width + 2 * margin) - margin,
        angle=fan[2] * (2.0 * np.pi) + _SPREAD * (step + own[1]),
        length=length,
        leaf=length * (0.07 + 0.13 * own[2]),
        period=7.0 + 6.0 * own[3],
        brightness=0.4 + 0.8 * own[4],
    )
