"""The contracts of models, defences and detectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tensorflow as tf

from tfrobust import store
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import arrays
from tfrobust.defense import Defended, Defense
from tfrobust.detector import Detector
from tfrobust.model import ModelBuilder
from tfrobust.registry import create
from tfrobust.testing.classifiers import small_classifier
from tfrobust.training.trainer import Trainer, TrainingOptions


def model_checks() -> Sequence[Callable[[ModelBuilder], None]]:
    """Return the checks every model must pass; each takes a built `ModelBuilder`."""
    return (fits_any_images, gives_gradients)


def fits_any_images(builder: ModelBuilder) -> None:
    """Build for grey and colour images of several sizes, and return logits.

    The smallest have the builder's `smallest_side`, or 8 pixels.
    """
    more = max(0, builder.smallest_side - 8)
    for (height, width, channels), classes in (((8, 8, 1), 10), ((13, 9, 3), 2), ((32, 32, 3), 7)):
        shape = (height + more, width + more, channels)
        classifier = KerasClassifier(builder.build(shape, classes))
        assert (classifier.image_shape, classifier.num_classes) == (shape, classes)
        logits = classifier(tf.zeros((3, *shape)))
        assert logits.shape == (3, classes), f"expected (3, {classes}); got {logits.shape}"


def gives_gradients(builder: ModelBuilder) -> None:
    """Have a gradient with respect to the images that is not zero everywhere."""
    side = max(8, builder.smallest_side)
    shape = (side, side, 1)
    classifier = KerasClassifier(builder.build(shape, 4))
    images = tf.random.stateless_uniform((2, *shape), (0, 1))
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_sum(classifier(images)[:, 0])
    gradient = tape.gradient(loss, images)
    assert gradient is not None, "there is no gradient"
    assert float(tf.reduce_max(tf.abs(gradient))) > 0, "the gradient is zero everywhere"


def defense_checks() -> Sequence[Callable[[Defense], None]]:
    """Return the checks every defence must pass; each takes a built defence."""
    return (returns_a_classifier_that_exports, declares_adaptive_attacks_that_exist)


def returns_a_classifier_that_exports(defense: Defense) -> None:
    """Defend a small network on digits; what comes out has the same form and can be served."""
    scenario = create("scenarios", "digits")
    plain = small_classifier(scenario.image_shape, scenario.num_classes)
    after = defense.apply(plain, scenario, Trainer(TrainingOptions(epochs=1)))
    assert isinstance(after, Defended), f"returned {type(after).__name__}, and not Defended(…)"
    defended = after.classifier
    assert defended.image_shape == plain.image_shape, "changed the image shape"
    assert defended.num_classes == plain.num_classes, "changed the number of classes"
    images, _ = arrays(scenario, "test", 16)
    logits = predict(defended, images)
    assert np.isfinite(logits).all(), "its logits are not finite"
    with TemporaryDirectory() as folder:
        served = store.load(store.export(defended, Path(folder) / "1"))
        if not defended.stochastic:
            assert np.allclose(predict(served, images), logits, atol=1e-4), "serves other logits"


def declares_adaptive_attacks_that_exist(defense: Defense) -> None:
    """Declare adaptive attacks of registered names, with options and norms that they have."""
    for declared in defense.adaptive:
        options = dict(declared.options)
        assert "eps" not in options, f"{declared.attack}: expected options without the budget"
        attack = create("attacks", declared.attack, **options)
        for norm in declared.norms:
            other = create("attacks", declared.attack, **{**options, "norm": norm})
            assert other.threat.norm == norm != attack.threat.norm, f"{norm} is its own norm"
        assert declared.why, f"{declared.attack}: expected why it is strong"
        assert declared.source, f"{declared.attack}: expected the paper"


def detector_checks() -> Sequence[Callable[[Detector], None]]:
    """Return the checks every detector must pass; each takes a built detector."""
    return (scores_every_image,)


def scores_every_image(detector: Detector) -> None:
    """Return one finite score an image, whatever the batch."""
    classifier = small_classifier()
    draw = np.random.default_rng(0)
    clean = draw.uniform(size=(40, *classifier.image_shape)).astype(np.float32)
    noisy = np.clip(clean + draw.normal(0, 0.3, clean.shape), 0, 1).astype(np.float32)
    fitted = detector.fit(classifier, clean, noisy)
    for count in (1, 7):
        scores = np.asarray(fitted.score(clean[:count]))
        assert scores.shape == (count,), f"expected ({count},) scores; got {scores.shape}"
        assert np.isfinite(scores).all(), "a score is not finite"
