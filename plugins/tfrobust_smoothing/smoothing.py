"""Smoothing: the radius within which the average over noisy copies gives the same class.

g(x) = argmax_c E f_c(x + δ), δ ~ N(0, σ²I), is constant within σ Φ⁻¹(p), 1/2 < p ≤ E f_g(x)(x + δ)

Cohen, Rosenfeld & Kolter, "Certified adversarial robustness via randomized smoothing" (2019), as
their CERTIFY: few draws guess the class, many others bound its expectation from below, and it
abstains where the bound is not above one half. What is certified is what the classifier answers by,
of infinitely many draws. Of one that answers by votes, f_c is 1 for the class of a copy and 0
elsewhere, bounded by Clopper & Pearson's interval; a network without noise is certified so, too. Of
one that answers by the mean softmax, f is the softmax: Φ⁻¹(E f_c) changes by 1/σ a unit of length
at most for every f in [0, 1] (Salman et al., "Provably robust deep learning via adversarially
trained smoothed classifiers", 2019, lemma 2); its bound is Hoeffding's, by the relative entropy
(theorem 1). Each radius holds with probability 1 − α, for any f, and against any attack. Other
norms: by equivalence, ‖δ‖₂ ≤ ‖δ‖₁ and ‖δ‖₂ ≤ √d ‖δ‖∞. Behind a first layer that moves things apart
by Δ at most (`pixel_dp`), a radius is divided by Δ. Departures: the images of a run
share their draws, each turned around and with signs of its own (`draws`).
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from tfrobust.certifier import Certificates
from tfrobust.classifier import Classifier
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.types import Images, Labels, Seed
from tfrobust_smoothing.confidence import lower_mean, lower_share
from tfrobust_smoothing.draws import NoisyNetwork
from tfrobust_smoothing.equivalence import equivalent
from tfrobust_smoothing.noise_certifier import NoiseCertifier

_GUESS, _ESTIMATE = 1, 2  # purposes of draws


@plugin
class Smoothing(NoiseCertifier):
    """Certifies the mean softmax of noisy copies, or their vote: what the classifier answers by.

    Example:
        >>> smoothing = create("certifiers", "smoothing", n=10_000)
        >>> smoothing.certify(load_network("smoothed"), images, labels, seed=0).radii
        array([0.6124, 0.    ], dtype=float32)
    """

    n0: int = option("draws that guess the class", default=100, ge=1)
    alpha: float = option("α: probability that a radius is wrong", default=0.001, gt=0, lt=1)

    @property
    def confidence(self) -> float:
        """1 − α; see `Certifier`."""
        return 1.0 - self.alpha

    @property
    def passes(self) -> int:
        """Draws an image; see `Certifier`."""
        return self.n0 + self.n

    def certify(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Seed
    ) -> Certificates:
        """Guess the class, bound its expectation, and abstain or return a radius.

        See `Certifier`.
        """
        noisy = self._noisy(classifier)
        count, what = self._counter(noisy, images, seed), self._counted(noisy)
        guess = count(self.n0, what, purpose=_GUESS).argmax(axis=1)
        totals = count(self.n, what, purpose=_ESTIMATE)
        total = totals[np.arange(len(guess)), guess]
        if what == "votes":
            lower = lower_share(total, self.n, self.alpha)
        else:
            lower = lower_mean(total / self.n, self.n, self.alpha)
        abstained = lower <= 0.5
        certain = ~abstained & (guess == np.asarray(labels))
        radii = noisy.scale * stats.norm.ppf(np.where(certain, lower, 0.5)) / noisy.sensitivity
        radii = equivalent(radii, "l2", self.norm, classifier.image_shape)
        return Certificates(radii=radii, abstained=abstained, answers=totals.argmax(axis=1))

    def _noisy(self, classifier: Classifier) -> NoisyNetwork:
        noisy = super()._noisy(classifier)
        if noisy.noise != "gaussian":
            raise UsageError(
                f"smoothing: expected Gaussian noise; received: {noisy.noise}; take "
                "--certifier pixel_dp, or give sigma"
            )
        return noisy
