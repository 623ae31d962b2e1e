"""What the certifiers by noise share: its options, and how they reach the network inside."""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
import tensorflow as tf

from tfrobust.certifier import Certifier
from tfrobust.classifier import Classifier
from tfrobust.options import option, plugin
from tfrobust.registry import name_of
from tfrobust.types import Images, Seed
from tfrobust_smoothing.draws import GROUP, Counted, NoisyNetwork, has_its_noise, noisy_network

_AT_ONCE = 2_000_000  # draws of all images that `certify` is given at a time


@plugin
class NoiseCertifier(Certifier):
    """A certifier that asks a network about many noisy copies of an image."""

    n: int = option("draws that estimate", default=100_000, ge=1)
    sigma: float | None = option(
        "σ: standard deviation of Gaussian noise, in pixel values; none: that of the classifier",
        default=None,
        gt=0,
    )
    norm: Literal["l2", "linf", "l1"] = option("norm of the radii", default="l2")
    batch: int = option("noisy copies in a forward pass", default=1024, ge=GROUP)

    @property
    def images_at_once(self) -> int:
        """As many as give two million draws, from 1 to 64; see `Certifier`."""
        return max(1, min(64, _AT_ONCE // self.n))

    @property
    def passes(self) -> int:
        """Draws an image; see `Certifier`."""
        return self.n

    def certifies_answers(self, classifier: Classifier) -> bool:
        """Tell whether the classifier answers by that noise, and by the mean or vote of it.

        See `Certifier`.
        """
        if not has_its_noise(classifier, self.sigma):
            return False
        noisy = self._noisy(classifier)
        return self._counted(noisy) == noisy.answers

    def variant(self, classifier: Classifier) -> str | None:
        """Return with which noise it certifies the classifier, where that is not its own.

        See `Certifier`.
        """
        if self.certifies_answers(classifier):
            return None
        noisy = self._noisy(classifier)
        if noisy.network is classifier:
            return f"+ noise σ={noisy.scale:g}"
        what = "by votes" if self._counted(noisy) == "votes" else "by the mean softmax"
        return what if self.sigma is None else f"with noise σ={self.sigma:g}, {what}"

    def check(self, classifier: Classifier) -> None:
        """Refuse a classifier without noise, and one whose network is out of reach.

        See `Certifier`.

        Raises:
            UsageError: says which.
        """
        self._noisy(classifier)

    def _counted(self, noisy: NoisyNetwork) -> Counted:
        """Return which answers to draws are certified: by default those that its owner takes."""
        return noisy.answers

    def _noisy(self, classifier: Classifier) -> NoisyNetwork:
        return noisy_network(classifier, self.sigma, name_of(self))

    def _counter(
        self, noisy: NoisyNetwork, images: Images, seed: Seed
    ) -> functools.partial[np.ndarray]:
        """Return what counts the answers to draws: how many, what, and for which purpose."""
        noisy.prepare(np.asarray(seed).tolist())
        return functools.partial(
            noisy.count, tf.convert_to_tensor(images, tf.float32), seed=seed, rows=self.batch
        )
