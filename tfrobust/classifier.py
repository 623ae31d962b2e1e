"""The `Classifier` contract: images in, logits out. Core code never asks which adapter it has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import tensorflow as tf

from tfrobust.errors import ClassifierError
from tfrobust.files.record_types import Text
from tfrobust.types import TRACES, Images, ImageShape, Logits

if TYPE_CHECKING:
    from tfrobust.classifiers.loading import LoadOptions


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
        loaded_with: what the user said about its file; `None`: nothing.
        reads_bytes: whether its first layer brings pixels of 0 … 255 to the size of 1.
    """

    _TF_MODULE_IGNORED_PROPERTIES = tf.Module._TF_MODULE_IGNORED_PROPERTIES | {TRACES}

    source = ""
    gives_logits = False
    notices: tuple[str, ...] = ()
    loaded_with: LoadOptions | None = None
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
        for a drawn sign. Only a third-party layer that draws at inference draws here too.

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
