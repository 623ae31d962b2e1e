"""The start and the end of decision-based attacks: points at the boundary.

The starts are random pictures of patches, coarse to fine: a network often assigns plain noise to
one class, and patches to many. For each image the search follows the lines to the nearest pictures
that are adversarial for it, stops at the nearest adversarial point, and bisects to the boundary (as
in Brendel, Rauber & Bethge 2018, who take one line to uniform noise). The pictures are the same for
all images and are classified once. A target is reached if one of the pictures, or a blend with one,
is classified as it. A good network assigns few random pictures to a class of the data: with
targets, give real images as starting points, as the papers do.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.asking import repeated, shared
from tfrobust.engine.loop import blend
from tfrobust.engine.losses import is_adversarial
from tfrobust.norms import Ball
from tfrobust.random import run_seed
from tfrobust.types import Flags, Images, Labels, PerImage, Seeds

_GRIDS = (2, 4, 8, 10**6)  # patches per side; at most one per pixel
_OUTWARDS = 1e-3  # how far beyond the boundary an attack ends, as a share of the distance
SHARE = 4  # a search takes at most a quarter of a budget
SETTLING = 3  # queries per image in `settled`


class Oracle(NamedTuple):
    """The only thing a decision-based attacker can ask: whether an image is adversarial."""

    classifier: Classifier
    labels: Labels  # to leave, or to reach where `targeted`
    targeted: bool
    times: Any = 1  # how often each image of the batch is in a row

    def fooled(self, images: Images) -> Flags:
        """Return which images are adversarial, from the predicted classes only."""
        with repeated(self.times):
            logits = self.classifier(images)
        return is_adversarial(logits, self.labels, targeted=self.targeted)

    def repeated(self, times: Any) -> Oracle:
        """Return the oracle for a batch that repeats each image `times` times in a row."""
        return self._replace(labels=tf.repeat(self.labels, times), times=times)


class Search(NamedTuple):
    """The size of the search for a start; every number is fixed before the attack begins."""

    pictures: int = 64  # drawn
    given: int = 0  # in addition to those
    lines: int = 8
    stops: int = 8  # on each line
    halvings: int = 10

    @property
    def queries(self) -> int:
        """Maximum number of queries per image: the cost of a batch of one image."""
        return 1 + self.pictures + self.given + self.lines * (self.stops - 1) + self.halvings


def affordable(queries: int | None, search: Search, share: int = SHARE) -> Search | None:
    """Return a search that fits the budget, and takes at most a `share`-th of it if possible.

    `None` if even the smallest search and `settled` cost more than the budget.
    """
    while queries is not None and share * search.queries > queries:
        if search.lines == 1:
            return search if search.queries + SETTLING <= queries else None
        search = search._replace(
            pictures=search.pictures // 2, given=search.given // 2, lines=search.lines // 2
        )
    return search


def starting_points(
    oracle: Oracle, clean: Images, seeds: Seeds, *, search: Search, geometry: Ball, given: Images
) -> tuple[Images, Flags]:
    """Return an adversarial image at the boundary for each image, and whether there is one.

    Where there is none, and where the clean image is already adversarial, the clean image is
    returned. `given` are pictures to try in addition to the drawn ones; it may be empty.
    """
    pictures = _pictures(run_seed(seeds), search.pictures, clean.shape[1:])
    if len(given):
        pictures = tf.concat([given, pictures], axis=0)
    ends, reached = _nearest(oracle, clean, pictures, search.lines)
    share = _first_stops(oracle, clean, ends, reached, search.stops)
    way = ends - clean[:, None]
    length = share * tf.sqrt(tf.reduce_sum(way**2, (2, 3, 4)))
    # A picture may be the clean image itself: its length would be ∞ · 0 = NaN.
    line = tf.argmin(tf.where(share < float("inf"), length, share), axis=1)
    best = tf.gather(share, line, batch_dims=1)
    found = (best < float("inf")) & ~oracle.fooled(clean)
    best = tf.where(found, best, 0.0)[:, None, None, None]
    start = clean + best * tf.gather(way, line, batch_dims=1)
    start = tf.clip_by_value(start, 0.0, 1.0)
    start = to_boundary(oracle, clean, start, geometry=geometry, halvings=search.halvings)
    return blend(found, start, clean), found


def _pictures(seed: Any, count: int, shape: Any) -> Images:
    """Draw patches of random colours; every second picture has only values of 0 and 1."""
    height, width, channels = shape
    parts = []
    for number, grid in enumerate(_GRIDS):
        size = (-(-(count - number) // len(_GRIDS)), min(grid, height), min(grid, width), channels)
        drawn = tf.random.stateless_uniform(size, tf.stack([seed, -1 - number]))
        pure = tf.cast(tf.range(size[0]) % 2, tf.float32)[:, None, None, None]
        drawn = pure * tf.round(drawn) + (1.0 - pure) * drawn
        parts.append(tf.image.resize(drawn, (height, width), "nearest"))
    return tf.concat(parts, 0)


def _nearest(oracle: Oracle, clean: Images, pictures: Images, count: int) -> tuple[Any, Any]:
    """Return the nearest pictures `(batch, count, …)`, adversarial ones first, and their flags."""
    with shared():
        classes = tf.argmax(oracle.classifier(pictures), axis=1)
    same = oracle.labels[:, None] == classes
    right = same if oracle.targeted else ~same
    pixels = math.prod(clean.shape[1:])
    images, others = (tf.reshape(x, (-1, pixels)) for x in (clean, pictures))
    apart = tf.reduce_sum(others**2, 1) - 2.0 * tf.matmul(images, others, transpose_b=True)
    behind = 4.0 * pixels * tf.cast(~right, tf.float32)  # more than any difference of these
    order = tf.nn.top_k(-(apart + behind), count).indices
    return tf.gather(pictures, order), tf.gather(right, order, batch_dims=1)


def _first_stops(oracle: Oracle, clean: Images, ends: Any, reached: Any, stops: int) -> Any:
    """Return each line's first adversarial stop, as a share of its length; infinity if none."""
    lines = ends.shape[1]
    origin, asked = tf.repeat(clean, lines, axis=0), oracle.repeated(lines)
    way = tf.reshape(ends, tf.shape(origin)) - origin

    def body(stop: Any, first: Any) -> Any:
        share = tf.cast(stop, tf.float32) / stops
        return stop - 1, tf.where(asked.fooled(origin + share * way), share, first)

    last = tf.where(tf.reshape(reached, [-1]), 1.0, float("inf"))
    _, first = tf.while_loop(
        lambda stop, _: stop > 0, body, (stops - 1, last), parallel_iterations=1
    )
    return tf.reshape(first, (-1, lines))


def to_boundary(
    oracle: Oracle, clean: Images, adversarial: Images, *, geometry: Ball, halvings: int
) -> Images:
    """Bisect between clean and adversarial images; return the adversarial side of the boundary.

    Args:
        oracle: asked `halvings` times.
        clean: `(batch, height, width, channels)`.
        adversarial: the same shape; an image that is not adversarial ends anywhere on its line.
        geometry: the line is given by its projection into balls around the clean image.
        halvings: how often to halve the distance between the two sides.
    """
    far = geometry.distance(adversarial, clean)

    def at(radius: PerImage) -> Images:
        return geometry.project(adversarial, geometry.region(clean, radius))

    def body(number: Any, low: PerImage, high: PerImage) -> Any:
        middle = 0.5 * (low + high)
        hit = oracle.fooled(at(middle))
        return number + 1, tf.where(hit, low, middle), tf.where(hit, middle, high)

    start = (0, tf.zeros_like(far), far)
    high = tf.while_loop(lambda n, *_: n < halvings, body, start, parallel_iterations=1)[2]
    return at(high)


def settled(oracle: Oracle, clean: Images, adversarial: Images) -> Images:
    """Return images slightly beyond the boundary, so that rounding cannot undo them.

    On the boundary, the prediction for an image may change with the batch size. A decision-based
    attacker sees no margin, so it steps outwards by a thousandth of the distance, if the image
    there and one a thousandth further are adversarial. Otherwise the image is kept if it is still
    adversarial; if not, the clean image is returned.
    """
    way = adversarial - clean

    def outwards(steps: int) -> Images:
        return tf.clip_by_value(clean + (1.0 + steps * _OUTWARDS) * way, 0.0, 1.0)

    once = outwards(1)
    safe = oracle.fooled(once) & oracle.fooled(outwards(2))
    return blend(safe, once, blend(oracle.fooled(adversarial), adversarial, clean))
