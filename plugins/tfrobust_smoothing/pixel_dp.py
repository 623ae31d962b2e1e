"""PixelDP: noise that makes the mean answer differentially private with respect to the pixels.

g(x) = E softmax f(h(x) + noise);  Gaussian noise σ = √(2 ln(1.25/δ)) Δ L / ε for changes of L2
length L, Laplacian noise of scale Δ L / ε for L1; Δ: how far h can move apart what is 1 apart

Lecuyer, Atlidakis, Geambasu, Hsu & Jana, "Certified robustness to adversarial examples with
differential privacy" (2019). Threat: white-box, L2 or L1. The noise is added to the image (Δ = 1),
or to what the first layer gives, whose kernel is kept at Δ ≤ 1 while it is trained. It is not
broken, and its guarantee holds for small changes: randomized smoothing (Cohen et al. 2019) proves a
larger radius of the same noise. What stands here is the mean over `samples` draws, which certifies
nothing by itself: the certifiers `pixel_dp` and `smoothing` draw by themselves. Departures: Δ of a
convolution is bounded by its kernel's largest singular value and the number of windows that a pixel
lies in, where the paper projects the kernel as a matrix; there is no autoencoder. The best epoch is
that of the highest accuracy on noisy validation images.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import ClassVar, Literal

import keras

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.defense import NOTHING, Changes, Defended, Defense, Stage
from tfrobust.options import option, plugin
from tfrobust.pipeline.fine_tuning import check_tunable
from tfrobust.random import normal, uniform
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, KerasLayer, KerasModel, Labels, Seeds
from tfrobust_smoothing.noise import Noise, NoiseName, laplacian
from tfrobust_smoothing.noise_layer import NoiseLayer
from tfrobust_smoothing.sensitivity import first_layer, halves, length_of, within_one
from tfrobust_smoothing.smoothed import Smoothed


@plugin
class PixelDp(Defense):
    """Trains a network through calibrated noise, and answers by the mean softmax of many draws.

    Example:
        >>> private = create("defenses", "pixel_dp", bound=0.1, after="first_layer")
        >>> train(create("models", "lenet"), scenario, Trainer(), [private])
    """

    stage: ClassVar[Stage] = Stage.TRAINING
    undone_by: ClassVar[Changes] = NOTHING

    bound: float = option(
        "L: length of the changes that the noise is made for, in pixel values", default=0.1, gt=0
    )
    privacy: float = option("ε of differential privacy for such a change", default=1.0, gt=0, le=1)
    delta: float = option("δ of differential privacy, of Gaussian noise", default=0.05, gt=0, lt=1)
    noise: NoiseName = option("gaussian (changes in L2) or laplace (in L1)", default="gaussian")
    after: Literal["image", "first_layer"] = option(
        "what the noise is added to: the image, or what the first layer gives", default="image"
    )
    samples: int = option("draws of noise that answer", default=25, ge=1)

    @property
    def wraps(self) -> bool:
        """It stands around the network."""
        return True

    @property
    def changes(self) -> Changes:
        """The weights; and the answers are random."""
        return frozenset({"weights", "randomness"})

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Ascent on the mean softmax, in the norm that the noise is made for; see `Defense`."""
        norm = "l2" if self.noise == "gaussian" else "l1"
        why = "ascends the mean softmax over the draws"
        options = {"norm": norm, "steps": 100}
        return (AdaptiveAttack("pgd", options, why, "Lecuyer et al. 2019", ("linf",)),)

    @property
    def scale(self) -> float:
        """The scale of the noise, for Δ = 1; σ where it is Gaussian.

        Example:
            >>> PixelDp(bound=0.1).scale
            0.2537272482359105
        """
        length = self.bound / self.privacy
        if self.noise == "laplace":
            return length
        return math.sqrt(2.0 * math.log(1.25 / self.delta)) * length

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse what shows no Keras model, or none that begins as it must; see `Defense`.

        Raises:
            UsageError: says which.
        """
        network = check_tunable(classifier, "pixel_dp")
        if self.after == "first_layer":
            halves(network.model, "pixel_dp")

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train the classifier through noise, and average over it; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        self.check(classifier, scenario)
        network = check_tunable(classifier, "pixel_dp")
        if self.after == "image":
            trainer.fit(network, scenario, perturb=self._noisy)
        else:
            with trainer.strategy.scope():
                through = self._through(network)
            with self._shortening(first_layer(network.model, "pixel_dp")):
                trainer.fit(through, scenario)
        return Defended(self._averaged(network, network.model))

    def restore(self, classifier: Classifier, model: KerasModel) -> Classifier:
        """Return the averaging classifier of a network that was trained; see `Defense`."""
        return self._averaged(classifier, model)

    def _averaged(self, classifier: Classifier, model: KerasModel) -> Smoothed:
        noise = Noise(self.noise, self.scale)
        if self.after == "image":
            return Smoothed(classifier, noise, self.samples)
        before, after = halves(model, "pixel_dp")
        parts = (
            (lambda images: before(images, training=False)),
            (lambda given: after(given, training=False)),
        )
        layer = first_layer(model, "pixel_dp")
        return Smoothed(
            classifier,
            noise,
            self.samples,
            halves=parts,
            sensitivity=lambda kind: length_of(layer, kind),
        )

    def _noisy(
        self, classifier: Classifier, images: Images, labels: Labels, seeds: Seeds
    ) -> Images:
        shape = images.shape[1:]
        if self.noise == "gaussian":
            return images + self.scale * normal(seeds, shape)
        return images + laplacian(uniform(seeds, shape), self.scale)

    def _through(self, network: KerasClassifier) -> KerasClassifier:
        """Return a network of the same layers with noise behind the first one."""
        before, after = halves(network.model, "pixel_dp")
        noisy = NoiseLayer(self.noise, self.scale)(before.outputs[0])
        model = keras.Model(before.inputs[0], after(noisy))
        return KerasClassifier(model, class_names=network.class_names, stochastic=True)

    @contextlib.contextmanager
    def _shortening(self, layer: KerasLayer) -> Iterator[None]:
        """Keep a layer's sensitivity at 1 or below: now, and after each step."""
        constraint = within_one(layer, "l2" if self.noise == "gaussian" else "l1")
        earlier, layer.kernel.constraint = layer.kernel.constraint, constraint
        layer.kernel.assign(constraint(layer.kernel))
        try:
            yield
        finally:
            layer.kernel.constraint = earlier
