"""Networks that are masked, each with the cause that a diagnosis has to name, and honest ones.

All are trained on scikit-learn's digits, in seconds each. `make diagnosis` diagnoses every one of
them with five seeds.

Example:
    >>> zoo = Zoo(seed=0)
    >>> specimen = zoo.specimens["gradient replaced by noise"]
    >>> specimen.causes
    ('gradients do not tell how answers change',)
    >>> specimen.build().num_classes
    10
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.data.reading import arrays
from tfrobust.pipeline.build import train
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.serving.rejecting import with_rejection
from tfrobust.testing import masked
from tfrobust.training.options import TrainingOptions
from tfrobust.training.trainer import Trainer

EPS = 0.15  # L∞, at which a plain LeNet keeps about 5 % of the digits
_WIDE = 0.3  # at which training against one step overfits


@dataclasses.dataclass(frozen=True)
class Specimen:
    """A network of the zoo.

    Attributes:
        build: trains it.
        causes: of which a diagnosis has to name one at least; none: the network is honest.
        eps: the radius at which it is diagnosed, in L∞.
        attack: the attack in doubt; `None`: the default.
    """

    build: Callable[[], Classifier]
    causes: tuple[str, ...] = ()
    eps: float = EPS
    attack: Attack | None = None


class Zoo:
    """Masked and honest networks.

    Args:
        seed: of all trainings.

    Attributes:
        scenario: what they are trained and diagnosed on.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.scenario: Scenario = create("scenarios", "digits")

    @functools.cached_property
    def specimens(self) -> Mapping[str, Specimen]:
        """All networks by name, the honest ones first."""
        return {**self._honest(), **self._masked(), **self._defended()}

    def _honest(self) -> dict[str, Specimen]:
        return {
            "linear": Specimen(lambda: self._trained("linear")),
            "LeNet": Specimen(lambda: self._lenet),
            "ResNet": Specimen(lambda: self._resnet),
            "PGD training": Specimen(lambda: self._trained("lenet", "pgd_training", eps=EPS)),
            "TRADES": Specimen(lambda: self._trained("lenet", "trades", eps=EPS)),
            "MART": Specimen(lambda: self._trained("lenet", "mart", eps=EPS)),
            "smoothing": Specimen(
                lambda: self._trained("lenet", "randomized_smoothing", sigma=0.1)
            ),
            "weights of two bits": Specimen(lambda: self._trained("lenet_quantized", bits=2)),
        }

    def _masked(self) -> dict[str, Specimen]:
        wrong = ("gradients do not tell how answers change",)
        return {
            "gradient replaced by noise": Specimen(
                lambda: masked.NoiseGradient(self._lenet), wrong
            ),
            "gradient divided by a million": Specimen(
                lambda: masked.ShortGradient(self._lenet), ("gradients of another size",)
            ),
            "distilled, logits": Specimen(lambda: self._distilled, ("cross-entropy is saturated",)),
            "distilled, behind its softmax": Specimen(
                lambda: masked.SoftmaxAnswers(self._distilled), ("answers are probabilities",)
            ),
            "random shifts, undeclared": Specimen(
                lambda: masked.UndeclaredDraws(self._lenet), ("random answers",)
            ),
            "batch statistics": Specimen(
                lambda: masked.InTrainingMode(self._resnet), ("answers depend on the batch",)
            ),
            "ensemble with a broken member": Specimen(self._ensemble, wrong),
            "detector that rejects": Specimen(
                self._rejecting, ("the attack only gets itself rejected",)
            ),
            "trained against one step": Specimen(
                lambda: self._trained("lenet", "fgsm_training", epochs=40, eps=_WIDE),
                ("fitted to one step", "too weak an attack"),
                eps=_WIDE,
                attack=create("attacks", "fgsm", eps=_WIDE),
            ),
            "binary activations": Specimen(
                lambda: self._trained("lenet_bnn", binary_activations=True), wrong
            ),
            "activations of two bits": Specimen(
                lambda: self._trained("lenet_quantized", bits=2, activation_bits=2), wrong
            ),
            "gradient of the head replaced": Specimen(
                lambda: masked.NoiseBehindFeatures(self._lenet), wrong
            ),
            "optimises at inference": Specimen(
                lambda: masked.Purified(self._lenet), ("gradients are missing",)
            ),
            "feature squeezing that rejects": Specimen(
                self._squeezing, ("the attack only gets itself rejected",)
            ),
            "rounded inputs": Specimen(
                lambda: masked.RoundedInputs(self._lenet), ("gradients are missing",)
            ),
        }

    def _defended(self) -> dict[str, Specimen]:
        """Return defences whose gradients mean nothing, without the surrogate that they declare."""
        missing = (
            "gradients are missing",
            "gradients are zero",
            "gradients do not tell how answers change",
        )
        return {
            name: Specimen(functools.partial(self._undeclared, name), causes)
            for name, causes in {
                "bit_depth": missing,
                "jpeg": missing,
                "thermometer": missing,
                "kwta": (*missing, "the loss surface is rough", "black box beats white box"),
                "random_resize_pad": ("random answers",),
            }.items()
        }

    def _undeclared(self, defense: str) -> Classifier:
        defended = self._trained("lenet", defense)
        return defended.replace(surrogate=None, differentiable=True, stochastic=False)

    def _trained(
        self, model: str, defense: str | None = None, *, epochs: int = 15, **options: Any
    ) -> Classifier:
        """Train a network; the options are the defence's, or the model's where there is none."""
        trainer = Trainer(TrainingOptions(epochs=epochs, seed=self.seed))
        if defense is None:
            return train(create("models", model, **options), self.scenario, trainer)
        defenses = [create("defenses", defense, **options)]
        return train(create("models", model), self.scenario, trainer, defenses)

    @functools.cached_property
    def _lenet(self) -> Classifier:
        return self._trained("lenet")

    @functools.cached_property
    def _resnet(self) -> Classifier:
        return self._trained("resnet", epochs=5)

    @functools.cached_property
    def _distilled(self) -> Classifier:
        return self._trained("lenet", "defensive_distillation", epochs=40, temperature=100.0)

    def _ensemble(self) -> Classifier:
        others = [Zoo(self.seed + 50)._lenet, Zoo(self.seed + 51)._lenet]
        return masked.BrokenMember([self._lenet, *others])

    def _squeezing(self) -> Classifier:
        detector, attack = (
            create("detectors", "feature_squeezing"),
            create("attacks", "pgd", eps=EPS),
        )
        return with_rejection(self._lenet, detector, attack, self.scenario, seed=self.seed)

    def _rejecting(self) -> Classifier:
        images, labels = arrays(self.scenario, "train")
        return masked.Rejecting(self._lenet, images, labels)
