"""Training on noisy images, and on adversarial images of the network that is averaged over noise.

Gaussian: min_θ E_δ CE(f(x + δ), y)
Adversarial: min_θ mean_i CE(f(x′ + δ_i), y), where x′, ‖x′ − x‖₂ ≤ ε, maximises
    −log mean_i softmax_y f(x′ + δ_i) at the same δ_i
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.random import fold, normal
from tfrobust.training.task import TrainingTask, cross_entropy
from tfrobust.types import Images, Labels, Logits, PerImage, Seeds
from tfrobust_smoothing.smoothed import log_mean

_NOISE = 7919  # folded into seeds for the noise, far from any count of restarts


def gaussian(sigma: float) -> TrainingTask:
    """Return the training on images with Gaussian noise; pixels may leave [0, 1]."""

    def noisy(classifier: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Images:
        return images + _noise(seeds, images, sigma, 1)[:, 0]

    return TrainingTask(perturb=noisy)


def adversarial(attack: Attack, sigma: float, draws: int) -> TrainingTask:
    """Return the training of the network averaged over noise (SmoothAdv).

    Args:
        attack: on the averaged network, of whole batches.
        sigma: standard deviation of the noise.
        draws: m, of each image; all of them are trained on.
    """

    def attacked(classifier: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Any:
        noise = _noise(seeds, images, sigma, draws)
        found = attack(AtNoise(classifier, noise), images, labels, seed=seeds)
        return found[:, None] + noise

    def all_draws(classifier: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Images:
        noisy = attacked(classifier, images, labels, seeds)
        return tf.reshape(noisy, (-1, *images.shape[1:]))

    def first_draw(classifier: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Images:
        return attacked(classifier, images, labels, seeds)[:, 0]

    def objective(
        classifier: Any, images: Images, noisy: Images, labels: Labels
    ) -> tuple[PerImage, Logits]:
        logits = classifier.logits_in_training(noisy)
        logits = tf.reshape(logits, (-1, draws, logits.shape[-1]))
        losses = cross_entropy(tf.repeat(labels[:, None], draws, axis=1), logits)
        return tf.reduce_mean(losses, axis=1), log_mean(tf.transpose(logits, (1, 0, 2)))

    return TrainingTask(perturb=all_draws, objective=objective, validate_on=first_draw)


class AtNoise(Wrapped):
    """log of the mean softmax at given noise: what the inner attack of a step ascends.

    Args:
        inner: the network.
        noise: `(batch, draws, height, width, channels)`, of one batch.
    """

    def __init__(self, inner: Classifier, noise: Any) -> None:
        super().__init__(inner)
        self.noise = noise

    def __call__(self, images: Images) -> Logits:
        """Return the mean's logits of that batch."""
        # In an attack's loop the number of images is unknown; that of the noise would be compared.
        noise = tf.gather(self.noise, tf.range(tf.shape(images)[0]))
        noisy = images[:, None] + noise
        logits = self.inner(tf.reshape(noisy, (-1, *self.image_shape)))
        logits = tf.reshape(logits, (-1, self.noise.shape[1], self.num_classes))
        return log_mean(tf.transpose(logits, (1, 0, 2)))


def _noise(seeds: Seeds, images: Images, sigma: float, draws: int) -> Any:
    """Return Gaussian noise, `(batch, draws, …)`, each image's from its own seed."""
    return sigma * normal(fold(seeds, _NOISE), (draws, *images.shape[1:]))
