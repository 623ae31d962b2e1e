"""The `Classifier` contract and its adapter for Keras models, of either generation.

`tfrobust.classifiers.saved_model.classifier` has the one for SavedModels. Core code never asks
which adapter it has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from tfrobust.classifiers.bounded import check_values, masked_classes
from tfrobust.classifiers.identity import agree
from tfrobust.classifiers.keras.forms import check_structure, plain, reads_bytes
from tfrobust.classifiers.keras.graph import hidden
from tfrobust.classifiers.keras.models import has_finite_weights, keras_of, random_state
from tfrobust.classifiers.loading import AS_IT_IS
from tfrobust.classifiers.logits import check_ending
from tfrobust.classifiers.traces import ATTRIBUTE
from tfrobust.errors import ClassifierError, one_line
from tfrobust.files.record_types import Text
from tfrobust.types import Images, ImageShape, Logits


@dataclasses.dataclass(frozen=True)
class AppliedDefense:
    """A defence that a classifier carries, as cards and results record it.

    Attributes:
        name: of the plugin.
        params: its options.
        found: what it measured when it was applied, such as how many labels it got right.
    """

    name: Text
    params: dict[str, Any]
    found: dict[str, Any] = dataclasses.field(default_factory=dict)


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
        passes: how many independent draws one call of a stochastic classifier averages.
        defenses: what stands between the plain model and the attacker, in the order applied.
        source: the file or folder it was loaded from, or the empty string.
        members: name → a classifier inside, which can be judged and attacked by itself.
        megabytes: of 10⁶ bytes, that a compressed one takes; `None`: 4 bytes a parameter.
        found: what the outermost defence measured when it was applied, for the card.
        gives_logits: whether its graph shows that it answers in logits; else the values are asked.
        notices: what was converted when it was loaded, and doubts, a sentence each.
        loaded_with: what the user said about its file.
        reads_bytes: whether its first layer brings pixels of 0 … 255 to the size of 1.
    """

    _TF_MODULE_IGNORED_PROPERTIES = tf.Module._TF_MODULE_IGNORED_PROPERTIES | {ATTRIBUTE}

    source = ""
    gives_logits = False
    notices: tuple[str, ...] = ()
    loaded_with = AS_IT_IS
    reads_bytes = False
    found: Mapping[str, Any] = MappingProxyType({})
    members: Mapping[str, Classifier] = MappingProxyType({})

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_classes: int,
        class_names: Sequence[str] | None = None,
        differentiable: bool = True,
        stochastic: bool = False,
        passes: int = 1,
        defenses: Sequence[AppliedDefense] = (),
        surrogate: Classifier | None = None,
        megabytes: float | None = None,
    ) -> None:
        super().__init__()
        self.image_shape: ImageShape = image_shape[0], image_shape[1], image_shape[2]
        self.num_classes = num_classes
        self.class_names = tuple(class_names or map(str, range(num_classes)))
        if len(self.class_names) != num_classes:
            raise ClassifierError(
                f"class_names: expected {num_classes} names; received: {len(self.class_names)}"
            )
        self.differentiable = differentiable
        self.stochastic = stochastic
        self.passes = passes
        self.defenses = tuple(defenses)
        self.surrogate = surrogate
        self.megabytes = megabytes

    def __call__(self, images: Images) -> Logits:
        """Return logits, float32 `(batch, num_classes)`."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__")

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return what the exported model serves: `logits`, `probabilities` and a defence's own."""
        logits = self(images)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def features(self, images: Images) -> Any:
        """Return what the last layer with a kernel reads, float32 `(batch, units)`.

        What normalises, scales or activates the logits is passed over. Two calls give the same:
        dropout is off, and weights that are drawn at inference stand at their mean, clip(w, −1, 1)
        for a drawn sign. Only a stranger's layer that draws at inference draws here too.

        Raises:
            ClassifierError: it shows no hidden layer.
        """
        raise ClassifierError(
            "the classifier shows no hidden layer, and this needs one: take a Keras model, or a "
            "SavedModel that tfrobust exported from one"
        )

    def trackables(self) -> list[Any]:
        """Return the TensorFlow objects an export must keep besides the variables it reads."""
        return []


_INHERITED = (
    "image_shape",
    "num_classes",
    "class_names",
    "differentiable",
    "stochastic",
    "passes",
    "defenses",
    "megabytes",
)


class Wrapped(Classifier):
    """A classifier round another one; defences and counters start from it."""

    def __init__(self, inner: Classifier, **changes: Any) -> None:
        attributes = {name: getattr(inner, name) for name in _INHERITED}
        super().__init__(**(attributes | changes))
        self.inner = inner
        self.source = inner.source
        self.reads_bytes = inner.reads_bytes

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits."""
        return self.inner(images)

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return the inner classifier's other outputs, beside these logits."""
        return self.inner.outputs(images) | super().outputs(images)

    def features(self, images: Images) -> Any:
        """Return the inner classifier's."""
        return self.inner.features(images)

    def trackables(self) -> list[Any]:
        """Return what the inner classifier needs kept."""
        return self.inner.trackables()


@runtime_checkable
class Trainable(Protocol):
    """A classifier that a `Trainer` can train.

    Attributes:
        model: the Keras model, of either generation, whose weights are trained; there may be more
            to the classifier, which then stays as it is.
    """

    model: Any

    def logits_in_training(self, images: Images) -> Logits:
        """Return logits, float32 `(batch, num_classes)`, with `model` in training mode."""


@runtime_checkable
class Separable(Protocol):
    """A classifier whose defence can be served by itself, before it: on another processor, say.

    Attributes:
        inner: the classifier that it stands before.
        defenses: its own, the last of which this is.
        shown_as: the name that what it shows the classifier is served by.
    """

    inner: Classifier
    defenses: tuple[AppliedDefense, ...]
    shown_as: str

    def before(self, images: Images) -> Images:
        """Return what the classifier inside is shown."""


class KerasClassifier(Classifier):
    """A Keras 3 or `tf_keras` model that maps images in [0, 1] to logits.

    Args:
        model: one input `(batch, height, width, channels)` of fixed size, one output
            `(batch, classes)` without a softmax; a list or dict of one will do. A subclassed model
            must have been called.
        **attributes: see `Classifier`.

    Raises:
        ClassifierError: the model has another form, or ends in a softmax, a sigmoid or the like.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(10)])
        >>> KerasClassifier(model).num_classes
        10
    """

    def __init__(self, model: Any, **attributes: Any) -> None:
        model = plain(model)
        image_shape, num_classes = check_structure(model)
        shown = check_ending(model, num_classes)
        super().__init__(image_shape=image_shape, num_classes=num_classes, **attributes)
        self.model = model
        self.gives_logits = shown
        self.reads_bytes = reads_bytes(model)
        self._hidden: Any = None
        if not shown:
            states = random_state(model)  # which a call moves
            before = [state.numpy() for state in states]
            try:
                self.notices = check_values(self, image_shape, "the model")
            finally:
                for state, value in zip(states, before, strict=True):
                    state.assign(value)

    def __call__(self, images: Images) -> Logits:
        """Return the model's logits in inference mode."""
        return tf.cast(self.model(images, training=False), tf.float32)

    def logits_in_training(self, images: Images) -> Logits:
        """Return the model's logits in training mode; see `Trainable`."""
        return tf.cast(self.model(images, training=True), tf.float32)

    def features(self, images: Images) -> Any:
        """Return what the model's last layer with a kernel reads, flattened; see `Classifier`."""
        if self._hidden is None:
            self._hidden = hidden(self.model)
        return self._hidden(images)

    def trackables(self) -> list[Any]:
        """Return the state that random layers draw from."""
        return random_state(self.model)


def copied(classifier: KerasClassifier) -> KerasClassifier:
    """Return a classifier with a model of its own, of the same weights; without its defences."""
    model = keras_of(classifier.model).models.clone_model(classifier.model)
    model.set_weights(classifier.model.get_weights())
    return KerasClassifier(
        model, class_names=classifier.class_names, stochastic=classifier.stochastic
    )


def check_sound(classifier: Classifier, name: str) -> None:
    """Try a classifier on eight random images before anything is built on it.

    One that answers differently the second time is marked as `stochastic`.

    Raises:
        ClassifierError: logits that are not finite, of the wrong shape, or probabilities.
    """
    shape = (8, *classifier.image_shape)
    probe = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    try:
        logits = np.asarray(classifier(tf.constant(probe)))
    except Exception as error:  # a third-party model may raise anything
        raise ClassifierError(f"{name}: cannot be called ({one_line(error)})") from error
    model = getattr(classifier, "model", None)
    if masked := masked_classes(logits):
        raise ClassifierError(
            f"{name}: expected finite logits; received: -inf for every image in classes {masked}; "
            "mask them with a number such as -1e4, or leave them out of the outputs"
        )
    if not np.isfinite(logits).all() or not (model is None or has_finite_weights(model)):
        raise ClassifierError(f"{name}: its weights or logits hold NaN or infinity; train it again")
    if logits.shape != (8, classifier.num_classes):
        raise ClassifierError(
            f"{name}: expected logits (8, {classifier.num_classes}); received: {logits.shape}"
        )
    if not classifier.gives_logits:
        doubts = check_values(classifier, classifier.image_shape, name)
        classifier.notices += tuple(each for each in doubts if each not in classifier.notices)
    classifier.stochastic = classifier.stochastic or answers_differ(classifier)


def answers_differ(classifier: Classifier) -> bool:
    """Tell whether a classifier answers twice differently, by more than rounding."""
    shape = (8, *classifier.image_shape)
    probe = tf.constant(np.random.default_rng(0).uniform(size=shape).astype(np.float32))
    first, second = np.asarray(classifier(probe)), np.asarray(classifier(probe))
    return not agree(first, second, 1e-4).all()
