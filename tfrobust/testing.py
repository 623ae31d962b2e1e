"""The contract suite that plugin authors run on their own plugins.

Every check is a function that takes a built plugin and raises `AssertionError` with a sentence
that says what was expected. A test joins with one parametrised function:

    @pytest.mark.parametrize("check", attack_checks(), ids=lambda check: check.__name__)
    def test_darken_keeps_the_contract(check):
        check(Darken(eps=0.1))
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.audit import audit, clean_predictions
from tfrobust.classifier import Classifier, KerasClassifier
from tfrobust.engine import run_attack
from tfrobust.errors import DataError
from tfrobust.model import ModelBuilder
from tfrobust.options import record
from tfrobust.scenario import Scenario, check_images
from tfrobust.types import Images, ImageShape, Labels

Check = Callable[[Any], None]
_SHAPE = (6, 5, 2)
_CLASSES = 4


class LinearClassifier(Classifier):
    """z = Wx + b, whose closed forms attacks are measured by.

    Attributes:
        weights: float32 `(pixels, classes)`.
        bias: float32 `(classes,)`.
    """

    def __init__(
        self, image_shape: ImageShape = _SHAPE, num_classes: int = _CLASSES, seed: int = 0
    ) -> None:
        super().__init__(image_shape=image_shape, num_classes=num_classes)
        draw = np.random.default_rng(seed)
        pixels = int(np.prod(image_shape))
        weights = draw.normal(size=(pixels, num_classes)) / np.sqrt(pixels)
        self.weights = tf.Variable(weights.astype(np.float32))
        self.bias = tf.Variable(-0.5 * tf.reduce_sum(self.weights, 0))  # grey is undecided

    def __call__(self, images: Images) -> Any:
        """Return Wx + b."""
        return tf.reshape(images, (-1, self.weights.shape[0])) @ self.weights + self.bias

    def least_perturbation(self, images: Images, labels: Labels, norm: str) -> np.ndarray:
        """Return the distance to the nearest other class, `(batch,)`; the box must not bind.

        min_{k≠y} (z_y − z_k) / ‖w_y − w_k‖_q, q dual to the norm.
        """
        order = {"linf": 1, "l2": 2, "l1": np.inf}[norm]
        logits, weights = self(images).numpy(), self.weights.numpy()
        least = np.full(len(labels), np.inf)
        for k in range(self.num_classes):
            slope = np.linalg.norm(weights[:, labels] - weights[:, [k]], order, axis=0)
            gap = logits[np.arange(len(labels)), labels] - logits[:, k]
            other = labels != k
            least[other] = np.minimum(least[other], gap[other] / slope[other])
        return least


def small_classifier(image_shape: ImageShape = _SHAPE, num_classes: int = _CLASSES) -> Classifier:
    """Return an untrained convolutional network with fixed weights."""
    import keras

    init = keras.initializers.GlorotNormal(seed=7)
    layers = [
        keras.Input(image_shape),
        keras.layers.Conv2D(8, 3, activation="tanh", padding="same", kernel_initializer=init),
        keras.layers.Flatten(),
        keras.layers.Dense(num_classes, kernel_initializer=init),
    ]
    return KerasClassifier(keras.Sequential(layers))


def grey_images(
    classifier: Classifier, count: int = 11, *, spread: float = 0.1, seed: int = 0
) -> tuple[Images, Labels]:
    """Return images near grey, far from the box's walls, and what the classifier calls them."""
    draw = np.random.default_rng(seed)
    shape = (count, *classifier.image_shape)
    images = (0.5 + draw.uniform(-spread, spread, size=shape)).astype(np.float32)
    return images, clean_predictions(classifier, images)


def attack_checks() -> Sequence[Check]:
    """Return the checks every attack must pass; each takes a built attack."""
    return (
        keeps_to_the_ball_and_the_box,
        without_budget_returns_the_image,
        same_seed_same_result,
        batch_size_changes_no_verdict,
        randomness_belongs_to_the_image,
        does_not_touch_its_inputs,
        has_a_json_record,
        reaches_its_targets,
    )


def keeps_to_the_ball_and_the_box(attack: Attack) -> None:
    """Return images of the same shape, inside the ball and [0, 1], without NaN."""
    classifier = small_classifier()
    draw = np.random.default_rng(3)
    images = draw.uniform(size=(9, *_SHAPE)).astype(np.float32)
    images[0], images[1] = 0.0, 1.0
    labels = clean_predictions(classifier, images)
    crafted = run_attack(attack, classifier, images, labels, batch_size=4)
    assert crafted.images.dtype == np.float32, f"expected float32; got {crafted.images.dtype}"
    judged = _audited(attack, classifier, images, labels, crafted)
    assert not judged.violation.any(), (
        f"images {np.flatnonzero(judged.violation).tolist()} leave the ball or [0, 1], or hold NaN"
    )


def without_budget_returns_the_image(attack: Attack) -> None:
    """Return the very image where `eps` is 0; skipped for attacks that have no budget."""
    if attack.minimum_norm or not hasattr(attack, "eps"):
        return
    changes = {"eps": 0.0}
    if hasattr(attack, "eps_iter"):
        changes["eps_iter"] = 0.0
    nothing = dataclasses.replace(attack, **changes)  # type: ignore[type-var]
    classifier = small_classifier()
    images, labels = grey_images(classifier)
    crafted = run_attack(nothing, classifier, images, labels)
    assert np.abs(crafted.images - images).max() <= 1e-6, "eps = 0 changed an image"


def same_seed_same_result(attack: Attack) -> None:
    """Return the same bits twice for one seed."""
    classifier = small_classifier()
    images, labels = grey_images(classifier)
    first, second = (run_attack(attack, classifier, images, labels, seed=5) for _ in range(2))
    assert np.array_equal(first.images, second.images), "one seed gave two results"


def batch_size_changes_no_verdict(attack: Attack) -> None:
    """Break the same images whatever the batch size."""
    classifier = small_classifier()
    images, labels = grey_images(classifier)
    verdicts = []
    for batch_size in (1, 4, len(images)):
        crafted = run_attack(attack, classifier, images, labels, batch_size=batch_size)
        verdicts.append(_audited(attack, classifier, images, labels, crafted).success)
    assert np.array_equal(verdicts[0], verdicts[1]), "batch sizes 1 and 4 disagree"
    assert np.array_equal(verdicts[0], verdicts[2]), "batch size 1 and one batch disagree"


def randomness_belongs_to_the_image(attack: Attack) -> None:
    """Make nearly the same images whatever the batch size: draw from each image's own seed."""
    classifier = LinearClassifier()
    images, labels = grey_images(classifier)
    alone, together = (
        run_attack(attack, classifier, images, labels, batch_size=size).images for size in (1, 11)
    )
    apart = float(np.abs(alone - together).max())
    assert apart <= 0.02, f"batch sizes 1 and 11 give images {apart:.3f} apart; see tfrobust.random"


def does_not_touch_its_inputs(attack: Attack) -> None:
    """Leave the caller's images and labels as they were."""
    classifier = small_classifier()
    images, labels = grey_images(classifier)
    before = images.copy(), labels.copy()
    run_attack(attack, classifier, images, labels)
    assert np.array_equal(images, before[0]), "the attack wrote into its images"
    assert np.array_equal(labels, before[1]), "the attack wrote into its labels"


def has_a_json_record(attack: Attack) -> None:
    """Have options that `results.json` can record."""
    json.dumps(record(attack), allow_nan=False)


def reaches_its_targets(attack: Attack) -> None:
    """Reach the target, not just leave the label, given a generous budget.

    Skipped for attacks without the option `targeted`, and without a budget to widen.
    """
    if not hasattr(attack, "targeted") or not hasattr(attack, "eps"):
        return
    wide = {"linf": 0.5, "l2": 6.0, "l1": 60.0}.get(attack.threat.norm or "", 0.5)
    changes: dict[str, Any] = {"targeted": True}
    if not attack.minimum_norm:
        changes["eps"] = wide
    aimed = dataclasses.replace(attack, **changes)  # type: ignore[type-var]
    classifier = LinearClassifier()
    images, labels = grey_images(classifier)
    crafted = run_attack(aimed, classifier, images, labels, targets="next")
    reached = clean_predictions(classifier, crafted.images) == crafted.targets
    assert reached.mean() > 0.5, f"reached only {reached.mean():.0%} of its targets"


def _audited(
    attack: Attack, classifier: Classifier, images: Images, labels: Labels, crafted: Any
) -> Any:
    clean = clean_predictions(classifier, images)
    return audit(
        classifier, attack, images, labels, crafted.images, clean=clean, targets=crafted.targets
    )


def scenario_checks() -> Sequence[Check]:
    """Return the checks every scenario must pass; each takes a built scenario."""
    return (
        has_training_and_test_images,
        brings_images_as_agreed,
        keeps_its_order,
        fits_its_description,
    )


def has_training_and_test_images(scenario: Scenario) -> None:
    """Have the splits `train` and `test`."""
    assert {"train", "test"} <= set(scenario.splits), f"splits are {scenario.splits}"


def brings_images_as_agreed(scenario: Scenario) -> None:
    """Bring float32 images in [0, 1] and labels that name classes."""
    for split in scenario.splits:
        images, labels = _first(scenario, split)
        try:
            check_images(images, labels, scenario.num_classes)
        except DataError as error:
            raise AssertionError(f"split {split}: {error}") from error


def keeps_its_order(scenario: Scenario) -> None:
    """Bring the same images in the same order each time."""
    for first, second in zip(_first(scenario, "test"), _first(scenario, "test"), strict=True):
        assert np.array_equal(first, second), "two readings of `test` differ"


def fits_its_description(scenario: Scenario) -> None:
    """Bring images of the shape, and as many classes, as it says."""
    images, _ = _first(scenario, "train")
    assert images.shape[1:] == scenario.image_shape, (
        f"says {scenario.image_shape}, brings {images.shape[1:]}"
    )
    assert scenario.num_classes == len(scenario.class_names) >= 2


def _first(scenario: Scenario, split: str) -> tuple[Images, Labels]:
    batch = next(scenario.load(split).batch(64).as_numpy_iterator())
    return batch["image"], batch["label"]


def model_checks() -> Sequence[Check]:
    """Return the checks every model must pass; each takes a built `ModelBuilder`."""
    return (fits_any_images, gives_gradients)


def fits_any_images(builder: ModelBuilder) -> None:
    """Build for grey and colour images of several sizes, and return logits."""
    for shape, classes in (((8, 8, 1), 10), ((13, 9, 3), 2), ((32, 32, 3), 7)):
        classifier = KerasClassifier(builder.build(shape, classes))
        assert (classifier.image_shape, classifier.num_classes) == (shape, classes)
        logits = classifier(tf.zeros((3, *shape)))
        assert logits.shape == (3, classes), f"expected (3, {classes}); got {logits.shape}"


def gives_gradients(builder: ModelBuilder) -> None:
    """Have a gradient with respect to the images that is not zero everywhere."""
    classifier = KerasClassifier(builder.build((8, 8, 1), 4))
    images = tf.random.stateless_uniform((2, 8, 8, 1), (0, 1))
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_sum(classifier(images)[:, 0])
    gradient = tape.gradient(loss, images)
    assert gradient is not None, "there is no gradient"
    assert float(tf.reduce_max(tf.abs(gradient))) > 0, "the gradient is zero everywhere"
