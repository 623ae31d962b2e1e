"""Randomized smoothing: the answer is that of most noisy copies of an image.

g(x) = argmax_c P(f(x + δ) = c),  δ ~ N(0, σ²I)

Cohen, Rosenfeld & Kolter, "Certified adversarial robustness via randomized smoothing" (2019); with
`training=adversarial`, Salman, Yang, Li, Zhang, Zhang, Razenshteyn & Bubeck, "Provably robust deep
learning via adversarially trained smoothed classifiers" (2019). Threat: white-box, L2. It is not
broken: its gradient is right once it is averaged over the noise, and within σ Φ⁻¹(p) of an image no
attack changes the answer of the true average, p being the class's mean softmax (or share of votes,
with `vote=majority`). What stands
here is the average over `samples` draws, which an attack may meet at an unlucky draw; it certifies
nothing by itself: the certifier `smoothing` draws by itself.
Departures: the answer is by default the mean softmax, which Salman et al. attack, and with
`vote=majority` Cohen's vote, without abstention. The best epoch is that of the highest accuracy on
noisy validation images. In adversarial training ε does not grow over the first epochs.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.defense import NOTHING, Changes, Defended, Defense, Need, Stage
from tfrobust.options import option, plugin
from tfrobust.pipeline.fine_tuning import check_tunable
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import KerasModel
from tfrobust_smoothing.noise import Noise
from tfrobust_smoothing.smoothed import Smoothed, Vote
from tfrobust_smoothing.training import adversarial, gaussian


@plugin
class RandomizedSmoothing(Defense):
    """Trains a network on noisy images, and answers by the mean or the majority of noisy copies.

    Example:
        >>> smooth = create("defenses", "randomized_smoothing", sigma=0.25)
        >>> train(create("models", "resnet18"), scenario, Trainer(), [smooth])
    """

    undone_by: ClassVar[Changes] = NOTHING

    sigma: float = option("σ: standard deviation of the noise, in pixel values", default=0.25, gt=0)
    samples: int = option("noisy copies of an image that answer", default=50, ge=1)
    vote: Vote = option(
        "answer: mean of the softmax, or majority of the copies' classes", default="mean"
    )
    training: Literal["gaussian", "adversarial", "off"] = option(
        "train on noisy images, on adversarial ones of the smoothed network, or not (off)",
        default="gaussian",
    )
    eps: float = option("L2 radius of adversarial training, in pixel values", default=0.5, ge=0)
    steps: int = option("steps of PGD in adversarial training", default=4, ge=1)
    draws: int = option("m: draws of noise an image in adversarial training", default=2, ge=1)

    @property
    def stage(self) -> Stage:  # type: ignore[override]
        """In training, unless it trains nothing."""
        return Stage.INFERENCE if self.training == "off" else Stage.TRAINING

    @property
    def wraps(self) -> bool:
        """It stands around the network, trained or not."""
        return True

    @property
    def changes(self) -> Changes:
        """The answers are random; and the weights, where it trains."""
        return frozenset({"randomness", *(("weights",) if self.fits else ())})

    @property
    def needs(self) -> frozenset[Need]:
        """The network, where it trains."""
        return frozenset({"network"} if self.fits else ())

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Ascent on the mean softmax of the noisy copies; see `Defense`."""
        return (
            AdaptiveAttack(
                "pgd",
                {"norm": "l2", "steps": 100},
                "ascends the mean softmax of the noisy copies",
                "Salman et al. 2019",
                ("linf",),
            ),
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse what shows no Keras model to train, and a budget larger than any perturbation.

        See `Defense`.

        Raises:
            UsageError: says which.
        """
        if self.fits:
            check_tunable(classifier, "randomized_smoothing")
        if self.training == "adversarial":
            self._inner_attack().check(classifier)

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train the classifier on noisy images, and smooth it; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        self.check(classifier, scenario)
        if self.training == "gaussian":
            trainer.fit(classifier, scenario, gaussian(self.sigma))
        elif self.training == "adversarial":
            task = adversarial(self._inner_attack(), self.sigma, self.draws)
            trainer.fit(classifier, scenario, task)
        return Defended(self._smoothed(classifier))

    def restore(self, classifier: Classifier, model: KerasModel) -> Classifier:
        """Return the smoothed classifier of a network that was trained; see `Defense`."""
        return self._smoothed(classifier)

    def surrogate(self, defended: Classifier) -> Classifier | None:
        """Return the mean of the softmax for a majority, which has no gradient; see `Defense`."""
        if isinstance(defended, Smoothed) and self.vote == "majority":
            return defended.by_mean()
        return super().surrogate(defended)

    def _smoothed(self, classifier: Classifier) -> Smoothed:
        return Smoothed(classifier, Noise("gaussian", self.sigma), self.samples, vote=self.vote)

    def _inner_attack(self) -> Attack:
        attack: Attack = create(
            "attacks", "pgd", norm="l2", eps=self.eps, steps=self.steps, early_stop=False
        )
        return attack
