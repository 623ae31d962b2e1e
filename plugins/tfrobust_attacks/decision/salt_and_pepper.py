"""Minimal salt-and-pepper noise: random pixels turn black or white.

x̃(u, p) = x + [u > 1 − p] (1 − x) − [u < p − 1] x,  u uniform in [−1, 1);  min ‖x̃ − x‖_0 over u, p

As in Foolbox (Rauber, Brendel & Bethge 2017). Threat: decision-based, minimum L0 norm: this noise
changes few pixels, and sets each of them to 0 or 1.
Departures from Foolbox: Foolbox keeps the noisy image with the smallest L2 norm (of the image, not
of its change), and raises and lowers p with a new u each time. Here p rises by a factor from 0.01
to 1, again and again, until an image fools. The image with the fewest changed pixels is kept, a new
u is tried at the p that hits nine tenths of the places that the best one hit, and a u that fooled
is tried again with fewer, until it fools no longer. All images try the same draws. A limit of
`queries` ends the search earlier.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.norms import L0, PIXELS
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds, run_seed
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.decision.starting_points import SETTLING, Oracle, settled

BEFORE = 1  # queries of `least_noise` beyond its steps: the clean image
_LEAST, _LEVELS = 0.01, 14  # of p, until an image fools: each √2 times the one before
_LESS = 0.9  # the next p, as a share of the smallest so far
_STEEP = 1e9  # the smallest difference of two draws times this exceeds 1: relu becomes a step


class _State(NamedTuple):
    clean: Images
    labels: Labels
    noise: Any  # u: (batch, height, width, 1 or channels)
    spent: Flags  # the last try of this noise did not fool: draw another
    level: PerImage  # the smallest p that fooled
    share: PerImage  # of the places that the best noise hits
    best: Images
    distance: PerImage  # of the best; infinity where there is none
    done: Flags  # adversarial before the attack


@plugin
class SaltAndPepper(Attack):
    """The fewest black and white pixels at random places that change the class."""

    minimum_norm = True

    eps: float | None = option(
        "L0 budget of the evaluation; none: any distance", default=None, ge=0, trace="unused"
    )
    steps: int = option("noisy images to try", default=1000, ge=1)
    queries: int | None = option(
        "hard limit of queries per image; none: no limit", default=None, ge=1
    )
    across_channels: bool = option("change all channels of a pixel together", default=True)
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def threat(self) -> Threat:
        """Decision-based, minimum L0 norm."""
        return Threat("decision", "l0", self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where no noise fools. See `Attack`."""
        steps = self.steps
        if self.queries is not None:
            steps = min(steps, self.queries - BEFORE - SETTLING)
        if steps < 1:
            return images
        seeds = image_seeds(seed, tf.shape(images)[0])
        oracle = Oracle(classifier, labels, self.targeted)
        best, found = least_noise(
            oracle, images, run_seed(seeds), steps=steps, alike=self.across_channels
        )
        return blend(found, settled(oracle, images, best), images)


def least_noise(
    oracle: Oracle, images: Images, seed: Any, *, steps: int, alike: bool
) -> tuple[Images, Flags]:
    """Return the noisy images with the fewest changed pixels that fool, and whether any fools.

    Where none fools, and where the clean image is already adversarial, the clean image is returned.
    `seed` is an int32 scalar; `alike` changes all channels of a pixel together. It takes
    `BEFORE + steps` queries an image at most.
    """
    labels = oracle.labels
    zeros = tf.zeros_like(labels, tf.float32)
    state = _State(
        clean=images,
        labels=labels,
        noise=tf.zeros_like(images[..., :1] if alike else images),
        spent=tf.ones_like(labels, tf.bool),
        level=zeros,
        share=zeros,
        best=images,
        distance=zeros + float("inf"),
        done=oracle.fooled(images),
    )

    rising = tf.constant(_rising(steps))

    def step(state: _State, number: Any) -> _State:
        first = rising[number % len(_rising(steps))]
        return _step(oracle._replace(labels=state.labels), state, tf.stack([seed, number]), first)

    state = iterate(step, state, steps=steps)
    return state.best, state.distance < float("inf")


def _rising(steps: int) -> list[float]:
    """Return the levels to try until one fools: each at least four times, where there are many."""
    count = min(max(steps // 4, 1), _LEVELS)
    return [_LEAST ** (1.0 - (rank + 1) / count) for rank in range(count)]


def _step(oracle: Oracle, state: _State, seed: Any, first: Any) -> _State:
    """Try a smaller share of the noise that fooled last, or draw new noise; until then, `first`."""
    drawn = tf.random.stateless_uniform((1, *state.noise.shape[1:]), seed, -1.0, 1.0)
    noise = blend(state.spent, tf.broadcast_to(drawn, tf.shape(state.noise)), state.noise)
    less = tf.where(state.spent, _fewer(state), _without_weakest(state))
    level = tf.where(state.distance < float("inf"), less, first)
    tried = _turned(state.clean, noise, level)
    distance = L0().distance(tried, state.clean)
    nearer = oracle.fooled(tried) & (distance < state.distance)
    return state._replace(
        noise=noise,
        spent=~nearer,
        level=tf.where(nearer, level, state.level),
        share=tf.where(nearer, _share(noise, level), state.share),
        best=blend(nearer, tried, state.best),
        distance=tf.where(nearer, distance, state.distance),
    )


def _share(noise: Any, level: PerImage) -> PerImage:
    """Return the share of the places that noise of a level hits."""
    hit = tf.abs(noise) > (1.0 - level)[:, None, None, None]
    return tf.reduce_mean(tf.cast(hit, tf.float32), PIXELS)


def _fewer(state: _State) -> PerImage:
    """Return the level at which new noise hits nine tenths of the places that the best one did.

    A level alone would be that of a lucky draw: noise of level p may hit far fewer places than the
    share p of them, and the next would rarely be as few.
    """
    return _LESS * state.share


def _without_weakest(state: _State) -> PerImage:
    """Return the next level of noise that fooled: a tenth less, and at least a pixel less."""
    strength = tf.abs(state.noise)
    beyond = strength > (1.0 - state.level)[:, None, None, None]
    weakest = tf.reduce_min(tf.where(beyond, strength, 2.0), PIXELS)
    return tf.minimum(_LESS * state.level, 1.0 - weakest)


def _turned(clean: Images, noise: Any, level: PerImage) -> Images:
    """Turn a share `level` of the pixels white or black, where |noise| is largest."""
    beyond = tf.nn.relu(tf.abs(noise) - (1.0 - level)[:, None, None, None])
    return tf.clip_by_value(clean + _STEEP * tf.sign(noise) * beyond, 0.0, 1.0)
