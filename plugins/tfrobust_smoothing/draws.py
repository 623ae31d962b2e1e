"""Draws of f(h(x) + noise), many images and many draws in a forward pass.

Draws come in groups of fifty, each from a seed of its own, so that neither the number of images nor
that of the draws in a pass decides what is drawn. Drawing normal numbers costs as much as a small
network: the images of a run share their draws, which each image turns around by a number of pixels
and multiplies by signs, both drawn from its own seed. The noise is symmetric, so the draws of an
image are independent and of its distribution, and no two images have the same. But one image's
noise is a function of another's: each radius holds at its confidence, and they are not independent.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.random_state import reseed
from tfrobust.classifiers.traces import Traces
from tfrobust.errors import UsageError
from tfrobust.random import fold, image_seeds, run_seed, uniform
from tfrobust.types import Images, Seed, Seeds
from tfrobust_smoothing.noise import NoiseName, laplacian
from tfrobust_smoothing.smoothed import Smoothed

Counted = Literal["votes", "probabilities"]
GROUP = 50  # draws from one seed, which a forward pass takes together
_MOST = 2**24  # pixels of all noisy images in a forward pass
_TURN, _SIGN = 104_729, 104_743  # folded into the seeds of images, far from any purpose
_TRACES: Traces[Any] = Traces(most=16)


@dataclasses.dataclass(frozen=True, eq=False)
class NoisyNetwork:
    """A network with noise at its input or behind its first layer.

    Attributes:
        owner: the classifier that was asked about; what is traced lives as long as it.
        network: f, without noise.
        noise: its distribution.
        scale: of the noise.
        halves: h and f, where the noise is added inside; `None`: to the images.
        sensitivity: Δ: how far h moves apart what is 1 apart, in the norm of the noise.
        answers: what its owner answers by: the share of votes, or the mean of the probabilities.
    """

    owner: Classifier
    network: Classifier
    noise: NoiseName
    scale: float
    halves: tuple[Callable[[Any], Any], Callable[[Any], Any]] | None = None
    sensitivity: float = 1.0
    answers: Counted = "votes"

    def count(
        self,
        images: Images,
        draws: int,
        what: Counted,
        *,
        seed: Seed,
        purpose: int,
        rows: int,
    ) -> np.ndarray:
        """Return the votes or the summed probabilities of each class, float64 `(batch, classes)`.

        Args:
            images: float32 `(batch, height, width, channels)`.
            draws: how many, of each image.
            what: `votes`: how many draws each class wins; `probabilities`: the sum of the softmax.
            seed: an integer, or one an image.
            purpose: other numbers give independent draws.
            rows: noisy images in a forward pass, 50 or more; fewer where images are large.
        """
        seeds = image_seeds(seed, len(images))
        shared = fold(tf.stack([[run_seed(seeds), 0]]), purpose)[0]
        turns = _turns(seeds)
        together = max(1, min(rows, _MOST // math.prod(images.shape[1:])) // GROUP)
        parts = []
        for start in range(0, len(images), together):
            part = slice(start, start + together)
            shown = images[part]
            given = self._before(tf.convert_to_tensor(shown))
            total = np.zeros((len(shown), self.network.num_classes))
            call = self._pass(what, given.shape[1:])
            own = turns[part], _signs(seeds[part], tf.constant(math.prod(given.shape[1:])))
            for groups in _groups(draws, max(1, together // len(shown))):
                total += call(given, own, shared, groups, tf.constant(draws)).numpy()
            parts.append(total)
        return np.concatenate(parts)

    def prepare(self, *what: object) -> None:
        """Let a network that draws for itself draw what belongs to a place in a run."""
        reseed(self.network, *what)

    def _before(self, images: Images) -> Any:
        if self.halves is None:
            return images
        before, _ = self.halves
        spec = [tf.TensorSpec((None, *images.shape[1:]), tf.float32)]
        make = functools.partial(tf.function, before, input_signature=spec)
        return _TRACES.of(self.owner, "before", make)(images)

    def _pass(self, what: Counted, shape: Sequence[int]) -> Any:
        """Return the traced forward pass: inputs and numbers of groups → counts of each class."""
        spec = [
            tf.TensorSpec((None, *shape), tf.float32),
            (
                tf.TensorSpec((None,), tf.float32),
                tf.TensorSpec((None, math.prod(shape)), tf.float32),
            ),
            tf.TensorSpec((2,), tf.int32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((), tf.int32),
        ]
        return _TRACES.of(
            self.owner,
            (what, self.noise, self.scale),
            lambda: tf.function(self._counted(what), input_signature=spec),
        )

    def _counted(self, what: Counted) -> Callable[..., Any]:
        def counted(given: Any, own: Any, seed: Seed, groups: Any, draws: Any) -> Any:
            numbers = groups[:, None] * GROUP + tf.range(GROUP)
            noisy = self._noisy(given, own, seed, groups)
            logits = self._logits(tf.reshape(noisy, (-1, *given.shape[1:])))
            logits = tf.reshape(logits, (tf.shape(given)[0], -1, logits.shape[-1]))
            wanted = tf.cast(tf.reshape(numbers, (1, -1, 1)) < draws, tf.float32)
            # float32 would round the sum of many probabilities by more than a bound allows for.
            return tf.reduce_sum(tf.cast(wanted * _answers(logits, what), tf.float64), axis=1)

        return counted

    def _noisy(self, given: Any, own: tuple[Any, Any], seed: Seed, groups: Any) -> Any:
        """Return each input with its noise, float32 `(batch, groups × 50, numbers)`.

        `own` holds the turn of each input `(batch,)`, and its signs `(batch, numbers)`.
        """
        turns, signs = own
        size = math.prod(given.shape[1:])

        def group(number: Any) -> Any:
            own = seed + tf.stack([0, number])
            if self.noise == "gaussian":
                return tf.random.stateless_normal((GROUP, size), own, stddev=self.scale)
            return laplacian(tf.random.stateless_uniform((GROUP, size), own), self.scale)

        drawn = tf.map_fn(group, groups, fn_output_signature=tf.float32, parallel_iterations=1)
        drawn = tf.reshape(drawn, (-1, size))
        twice = tf.concat([drawn, drawn], axis=1)

        def turned(one: tuple[Any, Any, Any]) -> Any:
            numbers, start, sign = one
            return numbers + sign * twice[:, start : start + size]

        return tf.map_fn(
            turned,
            (tf.reshape(given, (-1, size)), tf.cast(turns * size, tf.int32), signs),
            fn_output_signature=tf.TensorSpec((None, size), tf.float32),
            parallel_iterations=1,
        )

    def _logits(self, noisy: Any) -> Any:
        return self.halves[1](noisy) if self.halves else self.network(noisy)


@tf.function(input_signature=[tf.TensorSpec((None, 2), tf.int32)])
def _turns(seeds: Seeds) -> Any:
    """Return by which share of its numbers the noise of each image is turned, `(batch,)`."""
    return uniform(fold(seeds, _TURN), ())


@tf.function(input_signature=[tf.TensorSpec((None, 2), tf.int32), tf.TensorSpec((), tf.int32)])
def _signs(seeds: Seeds, size: Any) -> Any:
    """Return the sign of each number of each image's noise, 1 or -1, `(batch, size)`."""
    return tf.where(uniform(fold(seeds, _SIGN), (size,)) < 0.5, 1.0, -1.0)


def _groups(draws: int, together: int) -> Iterator[Any]:
    """Yield the numbers of the groups that hold the draws, so many at a time."""
    every = np.arange(math.ceil(draws / GROUP), dtype=np.int32)
    for start in range(0, len(every), together):
        yield tf.constant(every[start : start + together])


def _answers(logits: Any, what: Counted) -> Any:
    """Return what each draw adds to the count, float32 `(batch, draws, classes)`."""
    if what == "probabilities":
        return tf.nn.softmax(logits)
    return tf.one_hot(tf.argmax(logits, axis=2), logits.shape[-1])


def noisy_network(classifier: Classifier, sigma: float | None, certifier: str) -> NoisyNetwork:
    """Return the network inside a classifier that answers by draws of noise, or one to add it to.

    Args:
        classifier: what `randomized_smoothing` or `pixel_dp` made; or any other one without noise.
        sigma: standard deviation of Gaussian noise; `None`: the noise that the classifier has.
        certifier: the name of the certifier, for messages.

    Raises:
        UsageError: the classifier has no noise and none is given, or has noise that is out of
            reach; or its answers depend on the other images of a batch.
    """
    if classifier.batch_dependent:
        raise UsageError(
            f"{certifier}: expected a classifier whose answer to an image depends on that image "
            "alone; received: one that uses the statistics of a batch; take it with its running "
            "statistics"
        )
    if isinstance(classifier, Smoothed):
        noise = classifier.noise
        kind, scale = (noise.kind, noise.scale) if sigma is None else ("gaussian", sigma)
        return NoisyNetwork(
            classifier,
            classifier.inner,
            kind,
            scale,
            classifier.halves,
            classifier.sensitivity(kind),
            "probabilities" if classifier.vote == "mean" else "votes",
        )
    if classifier.stochastic:
        raise UsageError(
            f"{certifier}: expected a classifier whose last defence is randomized_smoothing or "
            "pixel_dp, loaded by its name in the store, so that the network inside is in reach; "
            "received: another random one; or give the network without its noise, and sigma"
        )
    if sigma is None:
        raise UsageError(
            f"{certifier}: sigma: the classifier has no noise; give -p sigma=0.25 to certify it "
            "with noise of that standard deviation, or train it with --defense randomized_smoothing"
        )
    return NoisyNetwork(classifier, classifier, "gaussian", sigma)


def has_its_noise(classifier: Classifier, sigma: float | None) -> bool:
    """Tell whether a classifier answers by the noise that is drawn from."""
    if not isinstance(classifier, Smoothed):
        return False
    noise = classifier.noise
    return sigma is None or (noise.kind == "gaussian" and noise.scale == sigma)
