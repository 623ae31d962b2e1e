"""A callback for `model.fit`: the accuracy under attack, epoch by epoch."""

from __future__ import annotations

from typing import Any

import keras
import tf_keras

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predicted_classes
from tfrobust.data.reading import arrays
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.evaluation.audit import CleanImages, audit_images
from tfrobust.keras.given import (
    UNIT,
    PixelRange,
    attacks_of,
    classifier_of,
    images_and_labels,
    shape_of,
)
from tfrobust.scenario import Scenario


class RobustAccuracy(keras.callbacks.Callback, tf_keras.callbacks.Callback):
    """Measures robust accuracy at the end of epochs; for `fit` of Keras 3 and of `tf_keras`.

    It adds `robust_accuracy` to the epoch's logs: to what the progress bar prints, to the history,
    and to what callbacks after this one see, such as `TensorBoard` and `EarlyStopping`
    (`monitor="robust_accuracy"`, `mode="max"`).

    Args:
        data: images and labels to attack: `(x, y)`, a `tf.data.Dataset` of pairs, or a scenario,
            of which the validation split is taken, or the test split where it has none.
        attack: a name or an attack, or several: an image counts as right if it is under all.
        eps: the budget, of pixels in [0, 1]; `None`: the attack's own.
        every: epochs from one measurement to the next, 1 or more; the first is after so many.
        limit: only the first so many images, 1 or more.
        pixel_range: the least and the largest pixel of `x` and of the model.
        name: of the figure in the logs.
        seed: decides everything random: the same in every epoch.
        batch_size: images at a time.
        **options: of the attacks that are given by name, each for those that have it.

    Raises:
        UsageError: an unknown attack or option, a value out of range.
        DataError: pixels lie outside the range, or labels do not fit.

    Example:
        >>> watch = RobustAccuracy((x_val, y_val), attack="pgd", eps=8 / 255, steps=10, limit=500)
        >>> history = model.fit(x, y, epochs=5, callbacks=[watch])
        >>> history.history["robust_accuracy"]
    """

    def __init__(
        self,
        data: Any,
        attack: Any = "pgd",
        *,
        eps: float | None = None,
        every: int = 1,
        limit: int = 200,
        pixel_range: PixelRange = UNIT,
        name: str = "robust_accuracy",
        seed: int = 0,
        batch_size: int = 128,
        **options: Any,
    ) -> None:
        super().__init__()
        for option, value in (("every", every), ("limit", limit)):
            if value < 1:
                raise UsageError(f"{option}: expected 1 or more; received: {value}")
        self._attacks = attacks_of(attack, eps, options)
        self._images, self._labels = _read(data, pixel_range, limit)
        self._every, self._name, self._range = every, name, pixel_range
        self._run = {"seed": seed, "batch_size": batch_size}
        self._classifier: Classifier | None = None

    def set_model(self, model: Any) -> None:
        """Take the model that is fitted; of another one nothing is kept."""
        if self._classifier is not None and model is not self.model:
            self._classifier = None
        super().set_model(model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Attack, and add the accuracy to the logs."""
        if (epoch + 1) % self._every == 0 and logs is not None:
            logs[self._name] = self.measure()

    def measure(self) -> float:
        """Return the accuracy of the model as it is, under all attacks together."""
        classifier = self._current()
        right = predicted_classes(classifier, self._images) == self._labels
        for attack in self._attacks:
            if not right.any():
                break
            images, labels = self._images[right], self._labels[right]
            crafted = run_attack(attack, classifier, images, labels, **self._run)  # type: ignore[arg-type]
            clean = CleanImages(images, labels, labels)
            found = audit_images(classifier, attack, clean, crafted.images)
            right[right] = found.prediction == labels
        return float(right.mean())

    def _current(self) -> Classifier:
        """Return the model as a classifier: traced once, with the weights of now."""
        if self._classifier is None:
            shape = shape_of(self.model, self._images)
            self._classifier = classifier_of(self.model, shape, self._range)
        judged = self._classifier.model
        if judged is not self.model:  # without its softmax it is another model
            judged.set_weights(self.model.get_weights())
        return self._classifier


def _read(data: Any, pixel_range: PixelRange, limit: int) -> tuple[Any, Any]:
    if isinstance(data, Scenario):
        return arrays(data, "validation" if "validation" in data.splits else "test", limit)
    if isinstance(data, tuple):
        if len(data) != 2:
            raise UsageError(f"data: expected (x, y); received: a tuple of {len(data)}")
        return images_and_labels(*data, pixel_range=pixel_range, limit=limit)
    return images_and_labels(data, pixel_range=pixel_range, limit=limit)
