"""The `Classifier` contract and its adapters: Keras 3, Keras 2 (`tf_keras`), SavedModel.

Core code never asks which adapter it has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import ClassifierError, one_line
from tfrobust.keras_models import check_structure, has_finite_weights
from tfrobust.types import Images, ImageShape, Logits


@dataclasses.dataclass(frozen=True)
class AppliedDefense:
    """A defence that a classifier carries, as cards and results record it."""

    name: str
    params: dict[str, Any]


class Classifier(tf.Module):
    """Images in, logits out.

    Attributes:
        image_shape: `(height, width, channels)`.
        num_classes: how many logits.
        class_names: one name a class.
        differentiable: whether gradients of the logits with respect to the images mean anything.
        surrogate: for one that is not, a differentiable classifier close to it, whose gradients
            white-box attacks use instead (BPDA); `None` if there is none.
        stochastic: whether two calls on the same images may differ.
        defenses: what stands between the plain model and the attacker, in the order applied.
        source: the file or folder it was loaded from, or the empty string.
    """

    source = ""

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_classes: int,
        class_names: Sequence[str] | None = None,
        differentiable: bool = True,
        stochastic: bool = False,
        defenses: Sequence[AppliedDefense] = (),
        surrogate: Classifier | None = None,
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self.class_names = tuple(class_names or map(str, range(num_classes)))
        if len(self.class_names) != num_classes:
            raise ClassifierError(
                f"class_names: expected {num_classes} names; received: {len(self.class_names)}"
            )
        self.differentiable = differentiable
        self.stochastic = stochastic
        self.defenses = tuple(defenses)
        self.surrogate = surrogate

    def __call__(self, images: Images) -> Logits:
        """Return logits, float32 `(batch, num_classes)`."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__")

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return what the exported model serves: `logits`, `probabilities` and a defence's own."""
        logits = self(images)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def trackables(self) -> list[Any]:
        """Return the TensorFlow objects an export must keep besides the variables it reads."""
        return []


class Wrapped(Classifier):
    """A classifier round another one; defences and counters start from it."""

    def __init__(self, inner: Classifier, **changes: Any) -> None:
        same = ("image_shape", "num_classes", "class_names", "differentiable", "stochastic")
        attributes = {name: getattr(inner, name) for name in (*same, "defenses")}
        super().__init__(**(attributes | changes))
        self.inner = inner

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits."""
        return self.inner(images)

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return the inner classifier's other outputs, beside these logits."""
        return self.inner.outputs(images) | super().outputs(images)

    def trackables(self) -> list[Any]:
        """Return what the inner classifier needs kept."""
        return self.inner.trackables()


class KerasClassifier(Classifier):
    """A Keras 3 or `tf_keras` model that maps images in [0, 1] to logits.

    Args:
        model: one input `(batch, height, width, channels)` of fixed size, one output
            `(batch, classes)` without a softmax.
        **attributes: see `Classifier`.

    Raises:
        ClassifierError: the model has another form, or ends in a softmax.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(10)])
        >>> KerasClassifier(model).num_classes
        10
    """

    def __init__(self, model: Any, **attributes: Any) -> None:
        image_shape, num_classes = check_structure(model)
        super().__init__(image_shape=image_shape, num_classes=num_classes, **attributes)
        self.model = model

    def __call__(self, images: Images) -> Logits:
        """Return the model's logits in inference mode."""
        return tf.cast(self.model(images, training=False), tf.float32)


class SavedModelClassifier(Classifier):
    """A SavedModel folder: what is served is what is attacked, gradients and all.

    Args:
        folder: a SavedModel whose `serving_default` takes one float32 image batch and returns
            `logits`, or a single output.
        **attributes: see `Classifier`.

    Raises:
        ClassifierError: it cannot be read, or serves something else.
    """

    def __init__(self, folder: Path | str, **attributes: Any) -> None:
        self._loaded, self._serve = _load_signature(Path(folder))
        self._input, image_shape = _image_input(self._serve, folder)
        self._output, num_classes = _logits_output(self._serve, folder)
        super().__init__(image_shape=image_shape, num_classes=num_classes, **attributes)

    def __call__(self, images: Images) -> Logits:
        """Return the served logits."""
        return self._serve(**{self._input: images})[self._output]

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return everything that is served."""
        served = dict(self._serve(**{self._input: images}))
        logits = served.pop(self._output)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)} | served

    def trackables(self) -> list[Any]:
        """Return the loaded object, which owns the variables."""
        return [self._loaded]


def _load_signature(folder: Path) -> tuple[Any, Any]:
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises a dozen kinds for a damaged file
        raise ClassifierError(
            f"{folder}: not a readable SavedModel ({one_line(error)}); export it again"
        ) from error
    serve = loaded.signatures.get("serving_default")
    if serve is None:
        raise ClassifierError(f"{folder}: the SavedModel has no signature 'serving_default'")
    return loaded, serve


def _image_input(serve: Any, folder: Path | str) -> tuple[str, ImageShape]:
    specs = serve.structured_input_signature[1]
    if len(specs) == 1:
        name, spec = next(iter(specs.items()))
        shape = spec.shape
        images = spec.dtype == tf.float32 and shape.rank == 4 and shape[0] is None
        if images and shape[1:].is_fully_defined():
            return name, tuple(shape[1:])
    raise ClassifierError(
        f"{folder}: expected one float32 input (batch, height, width, channels), batch left open; "
        f"received: {', '.join(f'{n} {s.dtype.name} {s.shape}' for n, s in specs.items())}"
    )


def _logits_output(serve: Any, folder: Path | str) -> tuple[str, int]:
    outputs = serve.structured_outputs
    name = "logits" if "logits" in outputs else next(iter(outputs))
    if ("logits" in outputs or len(outputs) == 1) and outputs[name].shape.rank == 2:
        return name, int(outputs[name].shape[1])
    raise ClassifierError(
        f"{folder}: expected an output 'logits' (batch, classes); received: {', '.join(outputs)}"
    )


def check_sound(classifier: Classifier, name: str) -> None:
    """Try a classifier on eight random images before anything is built on it.

    Raises:
        ClassifierError: logits that are not finite, of the wrong shape, or probabilities.
    """
    shape = (8, *classifier.image_shape)
    probe = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    try:
        logits = np.asarray(classifier(tf.constant(probe)))
    except Exception as error:  # a stranger's model may raise anything
        raise ClassifierError(f"{name}: cannot be called ({one_line(error)})") from error
    model = getattr(classifier, "model", None)
    if not np.isfinite(logits).all() or not (model is None or has_finite_weights(model)):
        raise ClassifierError(f"{name}: its weights or logits hold NaN or infinity; train it again")
    if logits.shape != (8, classifier.num_classes):
        raise ClassifierError(
            f"{name}: expected logits (8, {classifier.num_classes}); received: {logits.shape}"
        )
    if np.all(logits >= 0) and np.allclose(logits.sum(1), 1.0, atol=1e-3):
        raise ClassifierError(
            f"{name}: returns probabilities, and attacks on those are weaker than they look; "
            "export it without its softmax"
        )
