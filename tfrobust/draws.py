"""Draws of a random defence: fresh at each call, or the same for the same image.

A defence keeps a `Draws` and asks it for numbers. Everywhere but in some exports it is a
`tf.random.Generator`. Inside `seeded` it is a function of key words, so that an image has one
answer. That function is made of sums, products and remainders of whole numbers below 2²⁴, which
every runtime computes alike, in integers or in float32; TensorFlow's own stateless draws are
operations that ONNX and OpenVINO have not.

(L, R) → (R + (L + k + c)³, L)  mod p = 4091, once a round: a Feistel network whose round function
is a cube, as in Albrecht, Grassi, Rechberger, Roy & Tiessen, "MiMC: efficient encryption and
cryptographic hashing with minimal multiplicative complexity" (2016). It starts at the place of a
number among those drawn. The keys of its rounds are made of the key words in the same way.
Departure: the field is far too small for a cipher; all that is asked for is independence, as
statistical tests see it.

Example:
    >>> draws = Draws(5)
    >>> with seeded(keys_of(tf.constant([7]), images[:1])[0]):
    ...     same = draws.uniform((3,))
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.types import Images

PRIME = 4091  # the largest p of 3 k + 2 whose products stay below 2²⁴: cubes are a permutation
_ROUNDS = 10  # eight pass the tests of this module
_WORDS = 4  # of an image's content
_HALF = 4096  # two such digits hold the 24 bits of a pixel exactly
_BITS = 1 << 16
_plain: Any = tf.autograph.experimental.do_not_convert  # there is no control flow to convert
_DEEPEST = 3  # loops inside one another
# What a draw, and a step of a loop, add to the keys: no two combinations add the same.
_ADDED = np.random.default_rng(1).integers(1, PRIME, (1 + 2 * _DEEPEST, _ROUNDS), dtype=np.int32)


@dataclasses.dataclass
class _Keys:
    """The keys of an image, how many draws were asked for, and how many loops are around."""

    keys: Any
    drawn: int = 0
    loops: int = 0


_KEYS: contextvars.ContextVar[_Keys | None] = contextvars.ContextVar("keys", default=None)


@contextlib.contextmanager
def seeded(keys: Any) -> Iterator[None]:
    """Let all `Draws` give what belongs to the keys of an image.

    Args:
        keys: int32 `(10,)`, a row of `keys_of`.
    """
    with _within(_Keys(keys)):
        yield


@contextlib.contextmanager
def repeated(number: Any) -> Iterator[None]:
    """Let `Draws` differ between the steps of a loop, which is traced once.

    Args:
        number: of the step, an int32 scalar from 0.

    Example:
        >>> def one(number):
        ...     with repeated(number):
        ...         return draws.normal((3,))
        >>> tf.map_fn(one, tf.range(5), fn_output_signature=tf.float32)
    """
    around = _KEYS.get()
    if around is None:
        yield
        return
    low, high = _ADDED[1 + 2 * around.loops : 3 + 2 * around.loops]
    added = low * tf.math.floormod(number, PRIME) + high * tf.math.floordiv(number, PRIME)
    keys = tf.math.floormod(around.keys + tf.math.floormod(added, PRIME), PRIME)
    inside = _Keys(keys, around.drawn, around.loops + 1)
    with _within(inside):
        yield
    around.drawn = inside.drawn


@contextlib.contextmanager
def _within(keys: _Keys) -> Iterator[None]:
    token = _KEYS.set(keys)
    try:
        yield
    finally:
        _KEYS.reset(token)


@_plain
def uniform_of_keys(shape: Any) -> Any:
    """Return numbers of `seeded`, uniform in (0, 1); `None`: nothing is seeded."""
    keys = _KEYS.get()
    if keys is None:
        return None
    own = tf.unstack(keys.keys + _ADDED[0] * (keys.drawn % PRIME) % PRIME, num=_ROUNDS)
    keys.drawn += 1
    place = tf.range(tf.reduce_prod(tf.convert_to_tensor(shape)))
    high, low = (tf.cast(half, tf.float32) for half in _mixed(place, own, rounds=_ROUNDS))
    return tf.reshape((high + (low + 0.5) / PRIME) / PRIME, shape)


def _mixed(places: Any, keys: Sequence[Any], *, rounds: int) -> tuple[Any, Any]:
    """Return two digits, 0 to p − 1, for each place: what the rounds make of it under the keys."""
    left, right = tf.math.floormod(places, PRIME), tf.math.floordiv(places, PRIME)
    for number in range(rounds):
        constant = (1009 * number + 1) % PRIME
        total = tf.math.floormod(left + (keys[number % len(keys)] + constant), PRIME)
        square = tf.math.floormod(total * total, PRIME)
        left, right = tf.math.floormod(right + square * total, PRIME), left
    return left, right


@_plain
def keys_of(seeds: Any, images: Images) -> Any:
    """Return the keys of images, int32 `(batch, 10)`, from a seed and from what they show.

    Args:
        seeds: int32 `(batch,)`, 0 or more.
        images: float32 `(batch, height, width, channels)` in [0, 1].
    """
    low, rest = tf.math.floormod(seeds, PRIME), tf.math.floordiv(seeds, PRIME)
    digits = (low, tf.math.floormod(rest, PRIME), tf.math.floordiv(rest, PRIME))
    content = tf.unstack(content_words(images), num=_WORDS, axis=1)
    words = [word[:, tf.newaxis] for word in (*digits, *content)]
    places = tf.range(_ROUNDS // 2)[tf.newaxis]
    return tf.concat(_mixed(places, words, rounds=len(words) + _ROUNDS), axis=1)


@_plain
def content_words(images: Images) -> Any:
    """Return key words of what images show, int32 `(batch, 4)`; all 24 bits of a pixel count.

    Two images have the same words with probability 4091⁻⁴.

    Args:
        images: float32 `(batch, height, width, channels)`.
    """
    height, width, channels = images.shape[1:]
    draw = np.random.default_rng(0)
    weights = draw.integers(1, PRIME, (2, _WORDS, height, width * channels), dtype=np.int32)
    rows = tf.reshape(images, (-1, height, width * channels)) * _HALF
    whole = tf.floor(rows)
    digits = (whole, tf.floor((rows - whole) * _HALF))
    words = []
    for word in range(_WORDS):
        total = tf.zeros((), tf.int32)
        for digit, weight in zip(digits, weights[:, word], strict=True):
            products = tf.math.floormod(tf.cast(digit, tf.int32) * weight, PRIME)
            by_row = tf.math.floormod(tf.reduce_sum(products, axis=2), PRIME)
            total += tf.math.floormod(tf.reduce_sum(by_row, axis=1), PRIME)
        words.append(tf.math.floormod(total, PRIME))
    return tf.stack(words, axis=1)


class Draws(tf.Module):
    """Random numbers for a defence, fresh or `seeded`.

    Args:
        seed: of the generator, 0 or more.

    Attributes:
        state: the generator's variable, which an export must keep.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = tf.random.Generator.from_seed(seed)

    @property
    def state(self) -> Any:
        """The state of the generator."""
        return self._generator.state

    @_plain
    def uniform(self, shape: Any, low: float = 0.0, high: float = 1.0) -> Any:
        """Return float32 numbers uniform in [low, high)."""
        drawn = uniform_of_keys(shape)
        if drawn is None:
            return self._generator.uniform(shape, low, high)
        return low + (high - low) * drawn

    @_plain
    def normal(self, shape: Any, stddev: float = 1.0) -> Any:
        """Return float32 numbers, normal about 0; seeded ones by Box & Muller (1958)."""
        radius = uniform_of_keys(shape)
        if radius is None:
            return self._generator.normal(shape, stddev=stddev)
        angle = 2.0 * math.pi * uniform_of_keys(shape)
        return stddev * tf.sqrt(-2.0 * tf.math.log(radius)) * tf.cos(angle)

    @_plain
    def chances(self, shape: Any, kept: int) -> Any:
        """Return truths, each true with a probability of `kept` / 2¹⁶.

        Args:
            shape: of what is returned.
            kept: from 0 to 2¹⁶ − 1.
        """
        drawn = uniform_of_keys(shape)
        if drawn is not None:
            return drawn < kept / _BITS
        count = tf.reduce_prod(tf.convert_to_tensor(shape))
        pairs = self._generator.uniform_full_int([(count + 1) // 2], dtype=tf.uint32)
        numbers = tf.reshape(tf.bitcast(pairs, tf.uint16), [-1])[:count]
        return tf.reshape(numbers < tf.constant(kept, tf.uint16), shape)
