"""A classifier that answers by many draws of noise: by their mean, or by their votes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.draws import repeated
from tfrobust.types import Images, Logits
from tfrobust_smoothing.noise import Noise, NoiseName

Vote = Literal["mean", "majority"]
_WIDEST = 65_536  # pixels of all draws of an image, up to which they go through in one batch


class Smoothed(Wrapped):
    """g(x): the answers of f(h(x) + noise) to `samples` draws of noise, taken together.

    `mean` gives log of the mean softmax, whose gradients go through all draws; `majority` gives log
    of the share of votes (`log_share`), and is followed by the gradient of the mean.
    Each call draws anew, each image for itself.

    Args:
        inner: the network that is smoothed.
        noise: what is added.
        samples: draws, 1 or more.
        vote: how they are taken together.
        halves: h and f, where the noise is added inside the network; by default it is added to the
            images.
        sensitivity: gives how far h moves apart what is 1 apart, for the norm of a noise; by
            default 1.
    """

    def __init__(
        self,
        inner: Classifier,
        noise: Noise,
        samples: int,
        *,
        vote: Vote = "mean",
        halves: tuple[Callable[[Any], Any], Callable[[Any], Logits]] | None = None,
        sensitivity: Callable[[NoiseName], float] = lambda _: 1.0,
    ) -> None:
        super().__init__(
            inner,
            stochastic=True,
            passes=samples * inner.passes,
            differentiable=inner.differentiable and vote == "mean",
        )
        self.noise, self.samples, self.vote, self.halves = noise, samples, vote, halves
        self.sensitivity = sensitivity

    def __call__(self, images: Images) -> Logits:
        """Return log of the mean softmax, or of the share of votes, float32 `(batch, classes)`."""
        return self._taken_together(self.draws(images))

    def draws(self, images: Images) -> Logits:
        """Return the logits of each draw, float32 `(samples, batch, classes)`."""
        given = self.halves[0](images) if self.halves else images
        if self.samples * math.prod(given.shape[1:]) <= _WIDEST:
            many = tf.repeat(given[None], self.samples, axis=0)
            rows = tf.reshape(many, (-1, *given.shape[1:]))
            return tf.reshape(self._once(rows), (self.samples, -1, self.num_classes))

        def once(number: Any) -> Logits:
            with repeated(number):
                return self._once(given)

        return tf.map_fn(
            once, tf.range(self.samples), fn_output_signature=tf.float32, parallel_iterations=1
        )

    def votes(self, images: Images) -> Any:
        """Return how many of `samples` draws each class wins, int32 `(batch, classes)`.

        Calls are independent, so that a certifier adds up as many as it likes.
        """
        return votes_of(self.draws(images))

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return logits, probabilities and `votes`, int32 `(batch, classes)`, of the same draws."""
        draws = self.draws(images)
        logits = self._taken_together(draws)
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "votes": votes_of(draws),
        }

    def by_mean(self) -> Smoothed:
        """Return the same classifier, which answers by the mean and has a gradient."""
        return Smoothed(
            self.inner,
            self.noise,
            self.samples,
            halves=self.halves,
            sensitivity=self.sensitivity,
        )

    def trackables(self) -> list[Any]:
        """Return what the network and the noise need kept."""
        return [*super().trackables(), self.noise.draws.state]

    def _once(self, given: Any) -> Logits:
        noisy = given + self.noise(tf.shape(given))
        return self.halves[1](noisy) if self.halves else self.inner(noisy)

    def _taken_together(self, draws: Logits) -> Logits:
        mean = log_mean(draws)
        return mean if self.vote == "mean" else log_share(votes_of(draws), mean)


def log_mean(draws: Logits) -> Logits:
    """Return log of the mean softmax of draws `(samples, batch, classes)`, `(batch, classes)`."""
    count = tf.cast(tf.shape(draws)[0], tf.float32)
    return tf.reduce_logsumexp(tf.nn.log_softmax(draws), axis=0) - tf.math.log(count)


def votes_of(draws: Logits) -> Any:
    """Return how many draws each class wins, int32 `(batch, classes)`."""
    classes = tf.range(tf.shape(draws, tf.int64)[2])
    # tf2onnx converts no `one_hot` in a loop.
    winners = tf.argmax(draws, axis=2)[..., tf.newaxis] == classes
    return tf.reduce_sum(tf.cast(winners, tf.int32), axis=0)


def log_share(votes: Any, mean: Logits) -> Logits:
    """Return log of each class's share of the votes, finite and in the order of the votes.

    The mean softmax p decides between classes of equal votes, and stands for less than half a vote
    where there is none. So the values do not stop at a least one, as those of probabilities do,
    which are refused when a classifier is loaded.

    Args:
        votes: `(batch, classes)`.
        mean: log p, `(batch, classes)`.
    """
    counts = tf.cast(votes, tf.float32)
    samples = tf.reduce_sum(counts, axis=1, keepdims=True)
    some = tf.math.log(tf.maximum(counts, 1.0) / samples) + tf.exp(mean) / (2.0 * samples)
    return tf.where(votes > 0, some, mean - tf.math.log(2.0 * samples))
