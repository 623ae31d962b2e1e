"""Monte Carlo dropout: leave dropout on at inference and average many passes.

p(y | x) = mean over t of softmax(f_t(x)),  f_t: the network under the t-th draw

Gal & Ghahramani, "Dropout as a Bayesian approximation" (2016); as a defence Feinman, Curtin,
Shintre & Gardner, "Detecting adversarial samples from artifacts" (2017), and Guan, "Adversarial
example defense and detection using quantized neural networks with inference time dropout".
Departures: the layers before the first random one run once; masks are drawn with 16 bits per unit
(`masks`); any other randomness of the network, such as random weights, is drawn in every pass too;
batch normalisation keeps its running statistics unless `batch_statistics` is `batch`, which is what
a network called as `model(x, training=True)` computes, but for the running statistics it updates.
"""

from __future__ import annotations

from typing import ClassVar

from tfrobust.adaptive import AdaptiveAttack, descent
from tfrobust.classifier import Classifier
from tfrobust.defense import NOTHING, Changes, Defended, Defense, Need
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust_uncertainty.batch_statistics import BatchStatistics
from tfrobust_uncertainty.monte_carlo import MonteCarlo
from tfrobust_uncertainty.passes import passes_through


@plugin
class McDropout(Defense):
    """Averages the softmax over passes with dropout, and measures their variance."""

    undone_by: ClassVar[Changes] = NOTHING

    samples: int = option("number of passes to average", default=50, ge=1)
    rate: float | None = option(
        "rate of every dropout layer; none: their own; if there is no dropout, it is inserted",
        default=None,
        ge=0,
        lt=1,
    )
    batch_statistics: BatchStatistics = option(
        "batch normalisation by running statistics, or by the batch's (answers then depend on it)",
        default="running",
    )

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Projected gradient descent on the mean of the passes; see `Defense`."""
        return descent(
            "the mean of the passes has gradients, along running statistics: EOT over its draws",
            "Athalye, Carlini & Wagner 2018",
        )

    @property
    def changes(self) -> Changes:
        """It leaves dropout on."""
        return frozenset({"randomness"})

    @property
    def needs(self) -> frozenset[Need]:
        """The layers, to find the dropout among them."""
        return frozenset({"network"})

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse what no pass could draw from, before it is trained. See `Defense`.

        Raises:
            UsageError: as `apply` does.
        """
        passes_through(classifier, 1, self.rate, self.batch_statistics)

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Return the averaging classifier; nothing is trained. See `Defense`.

        Raises:
            UsageError: the classifier is not random, and no rate is given or nothing can be
                inserted; or it has no batch normalisation that could use the batch's statistics.
        """
        passes = passes_through(classifier, self.samples, self.rate, self.batch_statistics)
        by_batch = self.batch_statistics == "batch"
        return Defended(MonteCarlo(classifier, passes, batch_dependent=by_batch))

    def surrogate(self, defended: Classifier) -> Classifier | None:
        """Return it on running statistics: a gradient through the batch's misleads. See `Defense`.

        One large step along that gradient leads astray; along running statistics it does not.
        """
        if self.batch_statistics == "running" or defended.inner is None:
            return super().surrogate(defended)
        return MonteCarlo(defended.inner, passes_through(defended.inner, self.samples, self.rate))
