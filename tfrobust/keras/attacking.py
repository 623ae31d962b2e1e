"""Attack and evaluate a Keras model on arrays or on a dataset, in one call."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.evaluation.evaluator import evaluate as evaluate_classifiers
from tfrobust.keras.given import (
    UNIT,
    Given,
    PixelRange,
    attacks_of,
    classifier_of,
    images_and_labels,
    shape_of,
)
from tfrobust.norms.distances import distances, within_budget
from tfrobust.results.records import Results
from tfrobust.types import KerasModel


def attack(
    model: KerasModel,
    x: Any,
    y: Any = None,
    attack: Any = "pgd",
    *,
    eps: float | None = None,
    pixel_range: PixelRange = UNIT,
    seed: int = 0,
    batch_size: int = 128,
    **options: Any,
) -> np.ndarray:
    """Return adversarial images.

    Args:
        model: of Keras 3 or `tf_keras`, with a head of logits, a softmax or a sigmoid.
        x: images `(n, height, width, channels)`, or a `tf.data.Dataset` of images and labels.
        y: class numbers or one-hot rows; none with a dataset.
        attack: a name (`tfrobust plugins attacks` lists them), or an attack.
        eps: the budget, of pixels in [0, 1] whatever `pixel_range` is: 8/255, not 8. `None`: the
            attack's own. What an attack that minimises a distance finds beyond it comes back as
            the clean image.
        pixel_range: the least and the largest pixel of `x` and of the model.
        seed: decides everything random.
        batch_size: images at a time.
        **options: of the attack, such as `steps=40` or `norm="l2"`.

    Returns:
        float32 `(n, height, width, channels)` in `pixel_range`.

    Raises:
        UsageError: an unknown attack or option, or a value out of range.
        ClassifierError: nothing shows the model's logits, or it takes other images.
        DataError: pixels lie outside the range, or labels do not fit.

    Example:
        >>> adversarial = attack(model, x_test, y_test, "pgd", eps=8 / 255, pixel_range=(0, 255))
        >>> model.evaluate(adversarial, y_test)
    """
    images, labels = images_and_labels(x, y, pixel_range=pixel_range)
    [chosen, *others] = attacks_of(attack, eps, options)
    if others:
        raise UsageError("attack: expected one attack and one budget; use tfrobust.keras.evaluate")
    classifier = classifier_of(model, shape_of(model, images), pixel_range)
    crafted = run_attack(chosen, classifier, images, labels, seed=seed, batch_size=batch_size)
    least, most = pixel_range
    beyond = ~within_budget(
        distances(images, crafted.images)[chosen.threat.norm or "linf"], chosen.budget
    )
    crafted.images[beyond] = images[beyond]  # of an attack that minimises a distance
    return np.clip(crafted.images * (most - least) + least, least, most).astype(np.float32)


def evaluate(
    model: KerasModel,
    x: Any,
    y: Any = None,
    attack: Any = "pgd",
    *,
    eps: Any = None,
    pixel_range: PixelRange = UNIT,
    name: str = "model",
    limit: int | None = None,
    class_names: tuple[str, ...] = (),
    seed: int = 0,
    batch_size: int = 128,
    **options: Any,
) -> Results:
    """Return the accuracy of a model under attacks, audited, with intervals.

    Args:
        model: of Keras 3 or `tf_keras`, with a head of logits, a softmax or a sigmoid.
        x: images `(n, height, width, channels)`, or a `tf.data.Dataset` of images and labels.
        y: class numbers or one-hot rows; none with a dataset.
        attack: names or attacks, one or several.
        eps: a budget or several, of pixels in [0, 1]; by norm for attacks of several norms:
            `{"linf": [4 / 255, 8 / 255], "l2": [0.5]}`. `None`: each attack's own.
        pixel_range: the least and the largest pixel of `x` and of the model.
        name: of the model in the results.
        limit: only the first so many images.
        class_names: one a class; none: their numbers.
        seed: decides everything random.
        batch_size: images at a time.
        **options: of the attacks that are given by name, each for those that have it.

    Returns:
        Results: printed in three lines, a table in a notebook, `results.to_pandas()`,
        `results.plot.curves()`.

    Raises:
        UsageError, ClassifierError, DataError: as `attack`.

    Example:
        >>> results = evaluate(model, x_test, y_test, ["fgsm", "pgd"], eps=[4 / 255, 8 / 255])
        >>> results.evaluations[0].worst_case.accuracy
    """
    images, labels = images_and_labels(x, y, pixel_range=pixel_range, limit=limit)
    attacks = attacks_of(attack, eps, options)
    classifier = classifier_of(model, shape_of(model, images), pixel_range)
    names = class_names or tuple(map(str, range(classifier.num_classes)))
    return evaluate_classifiers(
        {name: classifier}, Given(images, labels, names), attacks, split="test", seed=seed,
        batch_size=batch_size,
    ).results  # fmt: skip
