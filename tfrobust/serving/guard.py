"""A classifier with a detector beside it, which is served too: how suspicious an image is."""

from __future__ import annotations

from typing import Any

from tfrobust.attack import Attack
from tfrobust.classifier import AppliedDefense, Classifier, Wrapped
from tfrobust.data.reading import check_fits
from tfrobust.detector import Detector, FittedDetector
from tfrobust.errors import UsageError
from tfrobust.evaluation.detection import fitted_on, threshold
from tfrobust.evaluation.fitting_images import attacked_training_images
from tfrobust.evaluation.settings import Progress
from tfrobust.registry import name_of, signature
from tfrobust.scenario import Scenario
from tfrobust.types import Images


class Guarded(Wrapped):
    """The classifier's outputs, and `adversarial_score`: higher is more suspicious.

    Args:
        inner: the protected classifier.
        fitted: the detector.
        applied: how it is recorded.
    """

    def __init__(self, inner: Classifier, fitted: FittedDetector, applied: AppliedDefense) -> None:
        super().__init__(inner, defenses=(*inner.defenses, applied), surrogate=inner.surrogate)
        self.fitted = fitted

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return the inner classifier's outputs and the score, float32 `(batch,)`."""
        outputs = self.inner.outputs(images)
        return outputs | {"adversarial_score": self.fitted.score(images, outputs)}

    def trackables(self) -> list[Any]:
        """Return the objects of classifier and detector that a SavedModel must keep."""
        return [*self.inner.trackables(), *self.fitted.trackables()]


def guard(
    classifier: Classifier,
    detector: Detector,
    attack: Attack,
    scenario: Scenario,
    *,
    images: int = 500,
    seed: int = 0,
    progress: Progress | None = None,
) -> Guarded:
    """Fit a detector on attacked training images and put it beside a classifier.

    Args:
        classifier: to be protected.
        detector: unfitted.
        attack: whose images it learns to distinguish from clean ones.
        scenario: for its training split.
        images: how many of its images, 1 or more.
        seed: decides everything random; Python's and TensorFlow's global seeds are set to it.
        progress: receives how many images are attacked.

    Returns:
        A classifier that serves `adversarial_score` too. Its card records the threshold.

    Raises:
        ClassifierError: the scenario has other images.
        UsageError: no images; or the detector cannot run in TensorFlow, and so cannot be served.

    Example:
        >>> guarded = guard(classifier, create("detectors", "mahalanobis"),
        ...                 create("attacks", "fgsm"), create("scenarios", "digits"))
        >>> export(guarded, "served/guarded/1")
    """
    import keras

    check_fits(classifier, scenario, "the classifier")
    if images < 1:
        raise UsageError(f"images: expected 1 or more; received: {images}")
    keras.utils.set_random_seed(seed)  # attacks may draw from generators of their own
    to_fit = attacked_training_images(
        attack, classifier, scenario, images, seed=seed, progress=progress
    )
    fitted = fitted_on(to_fit, detector, classifier, seed=seed)
    if fitted.eager:
        raise UsageError(
            f"detector {name_of(detector)} does not run in TensorFlow, and so can neither be "
            "exported nor attacked"
        )
    record = signature(detector)
    learned = {
        "fitted_on": {
            "attack": signature(attack),
            "images": len(to_fit.clean),
            "seed": seed,
            **to_fit.record.model_dump(include={"adversarial", "fooling", "only_fooling"}),
        },
        "threshold": threshold(fitted, to_fit),
    }
    applied = AppliedDefense(record["name"], record["params"] | learned)
    return Guarded(classifier, fitted, applied)
