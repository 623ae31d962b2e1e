"""SavedModels: written from any classifier, and read back as one.

What is served is what is attacked, gradients and all. Signatures:

| signature | gives |
|---|---|
| `serving_default` | `images` → `logits`, `probabilities` and what a defence or detector adds |
| `features` | `images` → what the last layer reads; only where the classifier shows it |
| `surrogate` | `images` → `logits` whose gradients attackers follow; only where one is declared |
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.loading import AS_IT_IS, UNIT, LoadOptions
from tfrobust.classifiers.saved_model.operations import check_saved_model
from tfrobust.classifiers.saved_model.served import served
from tfrobust.classifiers.saved_model.signatures import SERVE
from tfrobust.errors import ClassifierError, one_line
from tfrobust.types import Images, ImageShape, Logits

_FEATURES, _SURROGATE, _LOGITS = "features", "surrogate", "logits"
MoreSignatures = Callable[[Callable[[Images], dict[str, Any]]], dict[str, Any]]


class SavedModelClassifier(Classifier):
    """A SavedModel folder as a classifier.

    Args:
        folder: a SavedModel whose `serving_default`, or only signature, takes one batch of
            floating-point images and returns `logits`, or a single output of that form.
        members: outputs that are the logits of classifiers inside.
        options: what the user says about it.
        **traits: see `tfrobust.classifier.Traits`.

    Raises:
        ClassifierError: it cannot be read, serves something else, or holds operations that touch
            files, sockets or processes.

    Example:
        >>> SavedModelClassifier("served/lenet/1").num_classes
        10
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        members: Sequence[str] = (),
        options: LoadOptions = AS_IT_IS,
        **traits: Any,
    ) -> None:
        self._loaded = _loaded(Path(folder), trust=options.trust)
        self._served = served(self._loaded, Path(folder), options)
        super().__init__(
            image_shape=self._served.image_shape,
            num_classes=self._served.num_classes,
            gives_logits=self._served.gives_logits,
            reads_bytes=self._served.reads_bytes and options.pixel_range == UNIT,
            notices=self._served.notices,
            **traits,
        )
        if _serves_surrogate(self._loaded, self.num_classes):
            self._set(surrogate=_ServedSurrogate(self))
        _check_members(self._loaded, members, self.num_classes, folder)
        self.members = {name: _Member(self, name) for name in members}

    def __call__(self, images: Images) -> Logits:
        """Return the served logits, float32."""
        return self._served.logits(images)

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return everything that is served; the logits are those of a call."""
        others = self._served.outputs(images)
        served_logits = others.pop(self._served.output)
        if self._served.instead is None:
            return {"logits": served_logits, "probabilities": tf.nn.softmax(served_logits)} | others
        return others | super().outputs(images)

    def features(self, images: Images) -> Any:
        """Return what the signature `features` serves; see `Classifier`."""
        if _FEATURES not in self._loaded.signatures:
            return super().features(images)
        shown = self._served.shown(images)
        return tf.cast(self._loaded.signatures[_FEATURES](images=shown)[_FEATURES], tf.float32)

    def surrogate_logits(self, images: Images) -> Logits:
        """Return what the signature `surrogate` serves; only where there is one."""
        shown = self._served.shown(images)
        return self._loaded.signatures[_SURROGATE](images=shown)[_LOGITS]

    def trackables(self) -> list[Any]:
        """Return the loaded object, which owns the variables."""
        return [self._loaded]


class _Member(Wrapped):
    """A classifier inside a SavedModel, which serves its logits by its name."""

    def __init__(self, inner: SavedModelClassifier, name: str) -> None:
        super().__init__(inner, megabytes=None, source="")  # it lies in no file of its own
        self._output = name

    def __call__(self, images: Images) -> Logits:
        """Return the member's logits."""
        return self.inner.outputs(images)[self._output]

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return the member's logits and probabilities alone."""
        return Classifier.outputs(self, images)

    def features(self, images: Images) -> Any:
        """Refuse: the signature `features` is that of the whole."""
        return Classifier.features(self, images)


class _ServedSurrogate(Classifier):
    """The classifier whose gradients attackers follow, as a SavedModel serves it."""

    def __init__(self, beside: SavedModelClassifier) -> None:
        super().__init__(image_shape=beside.image_shape, num_classes=beside.num_classes)
        self._beside = beside

    def __call__(self, images: Images) -> Logits:
        """Return its logits."""
        return self._beside.surrogate_logits(images)

    def trackables(self) -> list[Any]:
        """Return the loaded object, which owns the variables."""
        return self._beside.trackables()


def _serves_surrogate(loaded: Any, num_classes: int) -> bool:
    """Tell whether a SavedModel has the signature that `write_saved_model` writes."""
    if _SURROGATE not in loaded.signatures:
        return False
    signature = loaded.signatures[_SURROGATE]
    output = signature.structured_outputs.get(_LOGITS)
    takes = list(signature.structured_input_signature[1])
    return takes == ["images"] and output is not None and output.shape[-1] == num_classes


def write_saved_model(
    classifier: Classifier, folder: Path, more: MoreSignatures = lambda _: {}
) -> None:
    """Write a classifier as a SavedModel into an existing folder.

    Custom gradients, such as straight-through ones, are written too.

    Args:
        classifier: any.
        folder: where.
        more: makes further signatures of the function that `serving_default` is.
    """
    spec = tf.TensorSpec((None, *classifier.image_shape), tf.float32, name="images")
    serve = tf.function(classifier.outputs, input_signature=[spec])
    signatures = {SERVE: serve, **more(serve)}
    features = tf.function(
        lambda images: {_FEATURES: classifier.features(images)}, input_signature=[spec]
    )
    with contextlib.suppress(ClassifierError):  # it shows none
        features.get_concrete_function()
        signatures[_FEATURES] = features
    kept = classifier.trackables()
    if (surrogate := classifier.surrogate) is not None:
        signatures[_SURROGATE] = tf.function(
            lambda images: {_LOGITS: surrogate(images)}, input_signature=[spec]
        )
        kept = [*kept, *surrogate.trackables()]
    _write(signatures, kept, folder)


def write_function(
    function: Callable[[Images], dict[str, Any]],
    image_shape: ImageShape,
    folder: Path,
    parts: Sequence[Any] = (),
) -> None:
    """Write one function of images into an existing folder.

    Args:
        function: images → what is served.
        image_shape: of the images.
        folder: where.
        parts: objects it needs, apart from the variables that it reads.
    """
    spec = tf.TensorSpec((None, *image_shape), tf.float32, name="images")
    _write({SERVE: tf.function(function, input_signature=[spec])}, parts, folder)


def _write(signatures: dict[str, Any], parts: Sequence[Any], folder: Path) -> None:
    module = tf.Module()
    module.signatures_kept = signatures
    module.state = [
        variable
        for signature in signatures.values()
        for variable in signature.get_concrete_function().graph.variables
    ]
    module.parts = list(parts)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    with _quiet():
        tf.saved_model.save(module, str(folder), signatures, options)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out "Assets written to": it names a folder that is about to be renamed."""
    noise = logging.getLogger("absl")
    level = noise.level
    noise.setLevel(logging.ERROR)
    try:
        yield
    finally:
        noise.setLevel(level)


def _loaded(folder: Path, *, trust: bool) -> Any:
    check_saved_model(folder, trust=trust)
    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises a dozen kinds for a damaged file
        raise ClassifierError(
            f"{folder}: not a readable SavedModel ({one_line(error)}); export it again"
        ) from error


def _check_members(
    loaded: Any, members: Sequence[str], num_classes: int, folder: Path | str
) -> None:
    """Refuse members that are not served, or that answer for other classes."""
    for name in members:
        signature = loaded.signatures.get(SERVE)
        output = signature.structured_outputs.get(name) if signature else None
        if output is None or output.shape.rank != 2 or output.shape[1] != num_classes:
            raise ClassifierError(
                f"{folder}: its card names a member {name!r}; expected an output of this name "
                f"(batch, {num_classes}); export it again, or delete the card"
            )
