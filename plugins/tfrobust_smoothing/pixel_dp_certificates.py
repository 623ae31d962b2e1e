"""PixelDP's certificates: how far the expected answers of a private network stay in their order.

max L such that E_k ≥ e^{2ε} max_{i≠k} E_i + (1 + e^ε) δ, at an (ε, δ) of the noise for length L:
Gaussian, L2: σ = √(2 ln(1.25/δ)) Δ L / ε, ε ≤ 1;  Laplace, L1: b = Δ L / ε, δ = 0

Lecuyer, Atlidakis, Geambasu, Hsu & Jana, "Certified robustness to adversarial examples with
differential privacy" (2019). The expectations E are bounded from both sides by n draws, all classes
together with probability 1 − α: the mean softmax by Hoeffding's inequality, or the share of votes
by Clopper & Pearson's interval, each at α / 2K of K classes. The largest L is sought over ε and δ,
as in the paper; it abstains where the best class is not told from the second. What is certified is
what the classifier answers by, the mean of infinitely many draws or their vote; of a network
without noise, the mean. It proves less than `smoothing` does of the same Gaussian noise, but
also of Laplacian noise. Departures: δ is sought on a grid, which proves no more than the best one;
the images of a run share their draws, each turned around and with signs of its own (`draws`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from tfrobust.certifier import Certificates
from tfrobust.classifier import Classifier
from tfrobust.options import option, plugin
from tfrobust.types import Images, Labels, Norm, PerImage, Seed
from tfrobust_smoothing.confidence import hoeffding_margin, lower_share, upper_share
from tfrobust_smoothing.draws import Counted, NoisyNetwork
from tfrobust_smoothing.equivalence import equivalent
from tfrobust_smoothing.noise import NoiseName
from tfrobust_smoothing.noise_certifier import NoiseCertifier
from tfrobust_smoothing.smoothed import Smoothed

_DRAWS = 3  # purpose of the draws, another one than those of `smoothing`
_DELTAS = np.geomspace(1e-9, 0.499, 300)  # δ ≥ 1/2 leaves no gap between the classes


@plugin
class PixelDpCertificates(NoiseCertifier):
    """Certifies the mean answer to noise by differential privacy.

    Example:
        >>> private = create("certifiers", "pixel_dp", n=10_000)
        >>> private.certify(load_network("private"), images, labels, seed=0).radii
        array([0.1312, 0.    ], dtype=float32)
    """

    interval: Literal["hoeffding", "clopper_pearson"] | None = option(
        "hoeffding: of the mean softmax; clopper_pearson: of the votes; none: as it answers",
        default=None,
    )
    alpha: float = option("α: probability that a radius is wrong", default=0.05, gt=0, lt=1)

    @property
    def confidence(self) -> float:
        """1 − α, η in the paper; see `Certifier`."""
        return 1.0 - self.alpha

    def certify(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Seed
    ) -> Certificates:
        """Bound the expected answers, and return how long a change they withstand.

        See `Certifier`.
        """
        noisy = self._noisy(classifier)
        what = self._counted(noisy)
        totals = self._counter(noisy, images, seed)(self.n, what, purpose=_DRAWS)
        low, high, answers = self._best_and_second(totals, what)
        radii = noisy.scale * unit_radius(low, high, noisy.noise) / noisy.sensitivity
        abstained = low <= high
        radii = np.where(abstained | (answers != np.asarray(labels)), 0.0, radii)
        own: Norm = "l2" if noisy.noise == "gaussian" else "l1"
        radii = equivalent(radii, own, self.norm, classifier.image_shape)
        return Certificates(radii=radii, abstained=abstained, answers=answers)

    def _counted(self, noisy: NoisyNetwork) -> Counted:
        if self.interval is None:
            smoothed = isinstance(noisy.owner, Smoothed)
            return noisy.answers if smoothed else "probabilities"
        return "probabilities" if self.interval == "hoeffding" else "votes"

    def _best_and_second(
        self, totals: np.ndarray, what: Counted
    ) -> tuple[PerImage, PerImage, Labels]:
        """Return a lower bound of the best class, an upper one of all others, and the best class.

        Args:
            totals: sums of probabilities, or votes, `(batch, classes)`.
            what: which of the two.
        """
        share = self.alpha / (2 * totals.shape[1])
        if what == "probabilities":
            margin = hoeffding_margin(self.n, share)
            low = np.maximum(totals / self.n - margin, 0.0)
            high = np.minimum(totals / self.n + margin, 1.0)
        else:
            votes = np.rint(totals)
            low, high = lower_share(votes, self.n, share), upper_share(votes, self.n, share)
        answers = totals.argmax(axis=1)
        rows = np.arange(len(totals))
        best = low[rows, answers]
        high[rows, answers] = 0.0
        return best, high.max(axis=1), answers


def unit_radius(low: PerImage, high: PerImage, noise: NoiseName) -> PerImage:
    """Return the longest change that noise of scale 1 behind a layer of Δ = 1 withstands.

    Of Gaussian noise, ε solves e^{2ε} high + (1 + e^ε) δ = low, a square equation in e^ε.

    Args:
        low: lower bound of the answer's expectation, `(batch,)`.
        high: upper bound of every other class's, above 0.
        noise: of which kind.

    Example:
        >>> unit_radius(np.array([0.9]), np.array([0.1]), "laplace")  # ln(low / high) / 2
        array([1.09861229])
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if noise == "laplace":
        return np.where(low > high, 0.5 * np.log(np.maximum(low, high) / high), 0.0)
    low, high = low[:, None], high[:, None]
    root = np.sqrt(_DELTAS**2 + 4.0 * high * np.maximum(low - _DELTAS, 0.0))
    growth = (root - _DELTAS) / (2.0 * high)
    epsilon = np.minimum(np.log(np.maximum(growth, 1.0)), 1.0)
    return (epsilon / np.sqrt(2.0 * np.log(1.25 / _DELTAS))).max(axis=1)
