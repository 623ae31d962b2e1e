"""The `Classifier` contract: images in, logits out. Core code never asks which adapter it has."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.errors import ClassifierError
from tfrobust.files.record_types import Text
from tfrobust.meter import Meter
from tfrobust.types import TRACES, Images, ImageShape, KerasModel, Logits

if TYPE_CHECKING:
    from tfrobust.classifiers.loading import LoadOptions


@dataclasses.dataclass(frozen=True)
class AppliedDefense:
    """A defence that a classifier carries, as cards and results record it.

    Attributes:
        name: of the plugin.
        params: its options.
        found: what it measured when it was applied, such as how many labels it got right.
        adaptive: attacks of somebody who knows it; see `tfrobust.defense.Defense.adaptive`.
    """

    name: Text
    params: dict[str, Any]
    found: dict[str, Any] = dataclasses.field(default_factory=dict)
    adaptive: tuple[AdaptiveAttack, ...] = ()


_OWN = {"carried": False}  # a trait that what is put around a classifier does not take over


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Traits:
    """What is known of a classifier apart from its function; listed here alone.

    Whatever is put around a classifier starts from its traits (`carried`), and cards record them.
    They are given to the constructor and never assigned; see `Classifier.replace`.

    Attributes:
        image_shape: `(height, width, channels)`.
        num_classes: how many logits.
        class_names: one name a class; by default their numbers.
        differentiable: whether gradients of the logits with respect to the images mean anything.
        stochastic: whether two calls on the same images may differ.
        passes: how many independent draws one call of a stochastic classifier averages.
        batch_dependent: whether the answer to an image depends on the other images of the call, as
            where batch normalisation uses the statistics of the batch. Batches are then kept whole.
        defenses: what stands between the plain model and the attacker, in the order applied.
        megabytes: of 10⁶ bytes, that a compressed one takes; `None`: 4 bytes a parameter.
        source: the file or folder it was loaded from, or the empty string.
        meter: counts what is asked, where each answer costs; `None`: answers cost nothing.
        decisions_only: whether its logits tell the predicted class and nothing else.
        pixel_levels: how many levels of brightness a pixel has when this classifier sees it: 256
            where it takes picture files; `None`: those of floating point.
        reads_bytes: whether its first layer brings pixels of 0 … 255 to the size of 1.
        surrogate: a differentiable classifier close to this one, whose gradients white-box attacks
            follow instead (BPDA); `None` if there is none. All follow it where this one is not
            differentiable; where it is, only those that know the defence (`evaluate --adaptive`).
        gives_logits: whether its graph shows that it answers in logits; else the values are asked.
        imitates: the address or name of what a surrogate was trained to answer like; empty: of no
            surrogate.
        notices: what was converted when it was loaded, and doubts, a sentence each.
        loaded_with: what the user said about its file; `None`: nothing.
    """

    image_shape: ImageShape
    num_classes: int
    class_names: tuple[str, ...] = ()
    differentiable: bool = True
    stochastic: bool = False
    passes: int = 1
    batch_dependent: bool = False
    defenses: tuple[AppliedDefense, ...] = ()
    megabytes: float | None = None
    source: str = ""
    reads_bytes: bool = False
    meter: Meter | None = None
    decisions_only: bool = False
    pixel_levels: int | None = None
    surrogate: Classifier | None = dataclasses.field(default=None, metadata=_OWN)
    gives_logits: bool = dataclasses.field(default=False, metadata=_OWN)
    imitates: str = dataclasses.field(default="", metadata=_OWN)
    notices: tuple[str, ...] = dataclasses.field(default=(), metadata=_OWN)
    loaded_with: LoadOptions | None = dataclasses.field(default=None, metadata=_OWN)

    def __post_init__(self) -> None:
        height, width, channels = self.image_shape
        self._set(
            image_shape=(height, width, channels),
            class_names=tuple(self.class_names or map(str, range(self.num_classes))),
            defenses=tuple(self.defenses),
            notices=tuple(self.notices),
        )

    def _set(self, **traits: Any) -> None:
        """Set traits, which nobody else can assign.

        Raises:
            ClassifierError: the number of names is not that of the classes.
        """
        for name, value in traits.items():
            object.__setattr__(self, name, value)
        if len(self.class_names) != self.num_classes:
            raise ClassifierError(
                f"class_names: expected {self.num_classes} names; received: {len(self.class_names)}"
            )

    def carried(self) -> dict[str, Any]:
        """Return the traits that a classifier put around this one has too, by name."""
        return {name: getattr(self, name) for name in CARRIED}


_TRAITS = frozenset(field.name for field in dataclasses.fields(Traits))
CARRIED = tuple(
    field.name for field in dataclasses.fields(Traits) if field.metadata.get("carried", True)
)


class Classifier(Traits, tf.Module):
    """Images in, logits out; see `Traits` for what else is known of it.

    A subclass gives its traits to the constructor, `super().__init__(image_shape=…,
    num_classes=…)`, and defines `__call__`.

    Attributes:
        members: name → a classifier inside, which can be judged and attacked by itself.
        inner: the classifier that this one is put around; `None`: it stands alone.
        model: the Keras model inside that is its own; `None`: it shows none.
    """

    _TF_MODULE_IGNORED_PROPERTIES = tf.Module._TF_MODULE_IGNORED_PROPERTIES | {TRACES}

    members: Mapping[str, Classifier] = MappingProxyType({})
    inner: Classifier | None = None
    model: KerasModel = None

    def __post_init__(self) -> None:
        super().__post_init__()
        tf.Module.__init__(self)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute that is no trait, which TensorFlow then tracks.

        Raises:
            ClassifierError: it is a trait.
        """
        if name in _TRAITS:
            raise ClassifierError(
                f"{type(self).__name__}: {name} is a trait: give it to the constructor, or call "
                f".replace({name}=…)"
            )
        super().__setattr__(name, value)

    def replace(self, **traits: Any) -> Self:
        """Return the same classifier with other traits; weights and all else are shared.

        Args:
            **traits: see `Traits`.

        Returns:
            A shallow copy, which is traced anew; itself where nothing differs.

        Raises:
            ClassifierError: the number of names is not that of the classes.
            TypeError: there is no such trait.

        Example:
            >>> classifier.replace(source="saved_models/d1/1").source
            'saved_models/d1/1'
        """
        if unknown := traits.keys() - _TRAITS:
            raise TypeError(f"a classifier has no trait {', '.join(sorted(unknown))}")
        if all(getattr(self, name) == value for name, value in traits.items()):
            return self
        other = copy.copy(self)
        other.__dict__.pop(TRACES, None)  # they hold this classifier
        other._set(**traits)
        return other

    def weights_changed(self) -> None:
        """Forget what was measured of weights that are trained further: `megabytes`."""
        self._set(megabytes=None)

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
        """Return the TensorFlow objects an export must keep, apart from the variables it reads."""
        return []


class Wrapped(Classifier):
    """A classifier around another one; defences and counters start from it.

    Args:
        inner: the other one, whose traits it carries on.
        **changes: traits that differ from those.
    """

    def __init__(self, inner: Classifier, **changes: Any) -> None:
        super().__init__(**(inner.carried() | changes))
        self.inner: Classifier = inner

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

    def around(self, inner: Classifier) -> Self:
        """Return the same thing around another classifier of the same images and classes.

        Surrogates of chained defences are made of it. Override it where `inner` is called by
        something else than this object.
        """
        other = copy.copy(self)
        other.__dict__.pop(TRACES, None)  # they hold the other classifier
        other.inner = inner
        return other


@runtime_checkable
class Trainable(Protocol):
    """A classifier that a `Trainer` can train.

    Attributes:
        model: the Keras model, of either generation, whose weights are trained; there may be more
            to the classifier, which then stays as it is.
    """

    model: KerasModel

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
