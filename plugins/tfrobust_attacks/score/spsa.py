"""SPSA: gradients estimated from pairs of random probes, followed by Adam.

g = mean_j (L(x + δ v_j) − L(x − δ v_j)) / 2δ · v_j,  v_j ∈ {−1, 1}^d;  x ← Π_ε(x + Adam(g))

Uesato, O'Donoghue, van den Oord & Kohli, "Adversarial risk and the dangers of evaluating against
weak attacks" (2018). Threat: score-based, Linf.
Departures: all images of a step try the same directions v_j. Every iterate is judged, the clean
image too, so that a step costs `samples_per_step` + 1 queries; `queries` cuts the steps to what it
has room for. An image is left alone once it is adversarial (`early_stop`; the paper stops at a
margin); otherwise its last adversarial iterate is returned. The loss may be another one than the
margin. The estimate is noisy: on a linear classifier of d pixels its error is √(2d / samples) of
the gradient before Adam averages it, and a hundred steps end within 2 % of the inner maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.classifiers.asking import tiled
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import LossName, is_adversarial, loss_and_slope
from tfrobust.norms import Linf, Region
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds, run_seed
from tfrobust.types import Flags, Images, Labels, Logits, PerImage

_BETA1, _BETA2, _TINY = 0.9, 0.999, 1e-8  # Adam's
_ROWS = 256  # probes classified at a time: enough to keep two cores busy, and little memory


class _State(NamedTuple):
    region: Region
    labels: Labels
    current: Images
    mean: Images  # Adam's
    variance: Images
    adversarial: Images  # the last adversarial iterate
    fooled: Flags  # whether there is one
    done: Flags


@plugin
class Spsa(Attack):
    """Simultaneous perturbation stochastic approximation: ascent on estimated gradients."""

    eps: float = option(
        "radius of the Linf ball, in pixel values", default=0.1, ge=0, trace="input"
    )
    steps: int = option("steps of Adam", default=100, ge=1)
    learning_rate: float = option("learning rate of Adam", default=0.01, gt=0, trace="input")
    delta: float = option("δ: size of a probe in every pixel", default=0.01, gt=0)
    samples_per_step: int = option(
        "probes per estimate, an even number", default=128, ge=2, multiple_of=2
    )
    queries: int | None = option(
        "maximum forward passes per image; none: what the steps need", default=None, ge=1
    )
    loss: LossName = option("loss to maximise: ce, margin (C&W) or dlr", default="margin")
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)
    early_stop: bool = option("stop on an image once it is adversarial", default=True)

    @property
    def threat(self) -> Threat:
        """Score-based, within the Linf ball."""
        return Threat("score", "linf", self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        fooled = is_adversarial(classifier(images), labels, targeted=self.targeted)
        state = _State(
            region=Linf().region(images, self.eps),
            labels=labels,
            current=images,
            mean=tf.zeros_like(images),
            variance=tf.zeros_like(images),
            adversarial=images,
            fooled=fooled,
            done=fooled if self.early_stop else tf.zeros_like(fooled),
        )
        shared = run_seed(image_seeds(seed, tf.shape(images)[0]))
        state = iterate(
            lambda state, number: self._step(classifier, state, number, shared),
            state,
            steps=affordable(self.steps, self.samples_per_step + 1, self.queries),
            early_stop=self.early_stop,
            outcome=("adversarial", "fooled"),
        )
        return blend(state.fooled, state.adversarial, state.current)

    def _step(self, classifier: Classifier, state: _State, number: Any, seed: Any) -> _State:
        """Estimate the gradient, follow it, and judge where that leads."""
        gradient = self._estimate(classifier, state, tf.stack([seed, number]))
        mean = _BETA1 * state.mean + (1 - _BETA1) * gradient
        variance = _BETA2 * state.variance + (1 - _BETA2) * tf.square(gradient)
        time = tf.cast(number + 1, tf.float32)
        rate = self.learning_rate * tf.sqrt(1 - _BETA2**time) / (1 - _BETA1**time)
        moved = state.current + rate * mean / (tf.sqrt(variance) + _TINY)
        moved = Linf().project(moved, state.region)
        fooled = is_adversarial(classifier(moved), state.labels, targeted=self.targeted)
        fooled &= ~state.done
        return state._replace(
            current=moved,
            mean=mean,
            variance=variance,
            adversarial=blend(fooled, moved, state.adversarial),
            fooled=state.fooled | fooled,
            done=state.done | fooled if self.early_stop else state.done,
        )

    def _estimate(self, classifier: Classifier, state: _State, seed: Any) -> Images:
        pairs = self.samples_per_step // 2
        drawn = tf.random.stateless_uniform((pairs, *classifier.image_shape), seed, -1.0, 1.0)
        directions = 1.0 - 2.0 * tf.cast(drawn < 0, tf.float32)
        slopes = slopes_along(
            classifier,
            state.current,
            lambda first, last: directions[first:last],
            count=pairs,
            score=lambda logits, copies: self._loss(logits, tf.tile(state.labels, [copies])),
            reach=self.delta,
        )
        return tf.tensordot(slopes, directions, [[0], [0]]) / pairs

    def _loss(self, logits: Logits, labels: Labels) -> PerImage:
        return loss_and_slope(logits, labels, targeted=self.targeted, loss=self.loss)[0]


def affordable(steps: int, cost: int, queries: int | None) -> int:
    """Return how many steps of `cost` queries there is room for, after the clean image's query."""
    return steps if queries is None else min(steps, (queries - 1) // cost)


def slopes_along(
    classifier: Classifier,
    images: Images,
    directions: Callable[[Any, Any], Images],
    *,
    count: int,
    score: Callable[[Logits, Any], PerImage],
    reach: float,
) -> Any:
    """Return central differences (S(x + r d) − S(x − r d)) / 2r of every image.

    Images and directions are classified together, some hundred probes at a time.

    Args:
        classifier: asked twice an image and direction.
        images: x, `(batch, height, width, channels)`.
        directions: first and last + 1 → those directions, `(directions, height, width, channels)`.
        count: of all directions.
        score: logits `(copies · batch, classes)` and `copies` → S `(copies · batch,)`.
        reach: r, in pixel values.

    Returns:
        float32 `(count, batch)`.
    """
    batch = tf.shape(images)[0]
    together = tf.maximum(1, _ROWS // (2 * tf.maximum(batch, 1)))

    def some(first: Any, slopes: Any) -> Any:
        last = tf.minimum(count, first + together)
        way = reach * directions(first, last)[:, None]
        probes = tf.reshape(tf.stack([images + way, images - way]), (-1, *classifier.image_shape))
        copies = 2 * (last - first)
        with tiled(copies):
            logits = classifier(probes)
        scores = tf.reshape(score(logits, copies), (2, last - first, batch))
        return last, tf.concat([slopes, (scores[0] - scores[1]) / (2.0 * reach)], 0)

    free = tf.TensorShape([None, None])
    return tf.while_loop(
        lambda first, _: first < count,
        some,
        (0, tf.zeros((0, batch))),
        shape_invariants=(tf.TensorShape([]), free),
        parallel_iterations=1,
    )[1]
