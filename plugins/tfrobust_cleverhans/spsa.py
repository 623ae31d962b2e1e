"""SPSA: gradients estimated from pairs of random probes, followed by Adam.

g ≈ mean_j (L(x + δ v_j) − L(x − δ v_j)) / 2δ · v_j,  v_j ∈ {−1, 1}^d

Uesato, O'Donoghue, van den Oord & Kohli, "Adversarial risk and the dangers of evaluating against
weak attacks" (2018). Threat: score-based, Linf.

The attack code is CleverHans's. Departures: it takes one image at a time, so `tf.map_fn` applies it
to the batch; its random numbers come from a generator that is reset to each image's own seed; its
learning rate takes effect (today's Keras 2 ignores it as `lr`).
"""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import tensorflow as tf
from cleverhans.tf2.attacks.spsa import SPSAAdam, margin_logit_loss, projected_optimization

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.errors import PluginError
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds
from tfrobust.types import Images, Labels, PerImage


@plugin
class CleverHansSpsa(Attack):
    """Simultaneous perturbation stochastic approximation: no gradients needed."""

    autograph = True
    eps: float = option("radius of the Linf ball, in pixel values", default=0.1, ge=0)
    nb_iter: int = option("steps of Adam", default=20, ge=1)
    learning_rate: float = option("learning rate of Adam", default=0.01, gt=0)
    delta: float = option("size of a probe in every pixel", default=0.01, gt=0)
    spsa_samples: int = option(
        "probes per estimate, an even number", default=128, ge=2, multiple_of=2
    )
    spsa_iters: int = option("estimates per step", default=1, ge=1)
    early_stop_loss_threshold: float | None = option(
        "stop below this loss (−margin if untargeted); none: never", default=None
    )
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def threat(self) -> Threat:
        """Score-based, within the Linf ball."""
        return Threat("score", "linf", self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        generator = _generator()
        optimizer = _optimizer(self.learning_rate, self.delta, self.spsa_samples, self.spsa_iters)
        sign = 1.0 if self.targeted else -1.0

        def loss(images: Images, label: Labels) -> PerImage:
            return sign * margin_logit_loss(classifier(images), label, classifier.num_classes)

        def attack_one(example: Any) -> Any:
            image, label, own_seed = example
            generator.reset(tf.concat([[0], tf.cast(own_seed, tf.int64)], axis=0))
            return projected_optimization(
                loss,
                image[None],
                label[None],
                self.eps,
                self.nb_iter,
                optimizer,
                clip_min=0.0,
                clip_max=1.0,
                early_stop_loss_threshold=self.early_stop_loss_threshold,
            )[0]

        seeds = image_seeds(seed, tf.shape(images)[0])
        with mock.patch.object(tf.random, "uniform", generator.uniform):
            return tf.map_fn(
                attack_one,
                (images, labels, seeds),
                parallel_iterations=1,
                fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32),
            )


@functools.cache
def _generator() -> Any:
    with tf.init_scope():
        return tf.random.Generator.from_seed(0, alg="philox")


@functools.lru_cache(maxsize=16)
def _optimizer(learning_rate: float, delta: float, samples: int, iters: int) -> Any:
    """Build CleverHans's optimizer outside the traced function, since it owns a variable."""
    if tf.optimizers.Adam.__module__.startswith("keras."):
        raise PluginError(
            "cleverhans_spsa needs Keras 2 behind TensorFlow: import tfrobust before tensorflow, "
            "or set TF_USE_LEGACY_KERAS=1"
        )
    with tf.init_scope():
        optimizer = SPSAAdam(delta=delta, num_samples=samples, num_iters=iters)
        # CleverHans passes its rate as `lr`, which Keras 2.21 ignores: 0.001 would be used.
        optimizer.learning_rate = learning_rate
    return optimizer
