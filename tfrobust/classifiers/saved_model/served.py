"""What a SavedModel serves, brought into the one form that a classifier has.

Images go in as float32 and logits come out as float32, whatever the signature's own types are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifiers.bounded import DOUBTFUL, NoLogitsError, logarithms, looks_bounded
from tfrobust.classifiers.keras.ending import BOUNDING, LINEAR
from tfrobust.classifiers.loading import UNIT, LoadOptions
from tfrobust.classifiers.logits import TWO
from tfrobust.classifiers.saved_model.flattening import flat_graph
from tfrobust.classifiers.saved_model.served_graph import FlatGraph, ServedEnding, cut
from tfrobust.classifiers.saved_model.signatures import image_input, logits_output, signature_of
from tfrobust.errors import ClassifierError, one_line
from tfrobust.types import Images, ImageShape

_FUNCTIONS = {
    "softmax": tf.nn.softmax,
    "sigmoid": tf.sigmoid,
    "tanh": tf.tanh,
    "softsign": tf.nn.softsign,
    "atan": tf.atan,
    "erf": tf.math.erf,
}
_TO_LOGITS = "export it without its last activation, or convert it: --to-logits"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served:
    """A signature that classifies.

    Attributes:
        function: the signature.
        images: its input's name.
        dtype: its input's.
        image_shape: of the images.
        output: the name of what it classifies by.
        num_classes: how many.
        pixel_range: what images in [0, 1] are scaled to.
        instead: images → logits that stand for what it serves; `None`: it serves logits.
        gives_logits: whether the graph shows that it does.
        reads_bytes: whether the images are first brought from 0 … 255 to the size of 1.
        notices: what was converted.
    """

    function: Any
    images: str
    dtype: tf.DType
    image_shape: ImageShape
    output: str
    num_classes: int
    pixel_range: tuple[float, float] = UNIT
    instead: Callable[[Images], Any] | None = None
    gives_logits: bool = False
    reads_bytes: bool = False
    notices: tuple[str, ...] = ()

    def shown(self, images: Images) -> Any:
        """Return images as the signature takes them: its own pixels and type."""
        least, most = self.pixel_range
        if self.pixel_range != UNIT:
            images = least + (most - least) * images
        return tf.cast(images, self.dtype)

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return all that is served, float32 where it is a floating-point number."""
        served = self.function(**{self.images: self.shown(images)})
        return {
            name: tf.cast(value, tf.float32) if value.dtype.is_floating else value
            for name, value in served.items()
        }

    def logits(self, images: Images) -> Any:
        """Return the logits, float32 `(batch, classes)`."""
        if self.instead is None:
            return self.outputs(images)[self.output]
        return tf.cast(self.instead(self.shown(images)), tf.float32)


def served(loaded: Any, folder: Path, options: LoadOptions) -> Served:
    """Return what a SavedModel serves, as logits of images in [0, 1].

    Raises:
        ClassifierError: no signature classifies images, or it serves probabilities that cannot be
            converted, or are not to be.
    """
    function = signature_of(loaded, folder)
    name, spec, image_shape = image_input(function, folder, options)
    output, num_classes = logits_output(function, folder)
    signature = Served(
        function=function,
        images=name,
        dtype=spec.dtype,
        image_shape=image_shape,
        output=output,
        num_classes=num_classes or 0,
        pixel_range=options.pixel_range,
    )
    if num_classes is None:
        signature = dataclasses.replace(signature, num_classes=_counted(signature, folder))
    return _as_logits(signature, folder, options)


def _counted(signature: Served, folder: Path) -> int:
    """Return how many classes there are, by calling it."""
    try:
        answer = np.asarray(signature.logits(tf.zeros((1, *signature.image_shape))))
    except Exception as error:  # a third-party graph may raise anything
        raise ClassifierError(f"{folder}: cannot be called ({one_line(error)})") from error
    if answer.ndim != 2:
        raise ClassifierError(
            f"{folder}: expected an output 'logits' (batch, classes); "
            f"received: {signature.output} {answer.shape}; export the logits alone"
        )
    return answer.shape[1]


def _as_logits(signature: Served, folder: Path, options: LoadOptions) -> Served:
    """Return what serves logits, converted where that was asked for."""
    graph = _flat(signature.function)
    end = graph.ending(signature.output) if graph else ServedEnding("", "")
    reads = graph is not None and graph.reads_bytes()
    signature = dataclasses.replace(signature, gives_logits=end.bound == LINEAR, reads_bytes=reads)
    if not options.to_logits:
        if end.bound in BOUNDING:
            raise NoLogitsError(
                f"{folder}: returns probabilities or the like: its output {signature.output!r} "
                f"ends in a {end.bound}, and attacks on those are weaker than they look; "
                f"{_TO_LOGITS}"
            )
        if signature.num_classes == 1:
            raise NoLogitsError(
                f"{folder}: expected an output (batch, classes) with 2 classes or more; received: "
                "(None, 1); one number that decides between two classes becomes two logits, 0 and "
                "itself: --to-logits"
            )
        return signature
    return _converted(signature, graph, end, folder)


def _flat(function: Any) -> FlatGraph | None:
    try:
        return flat_graph(function)
    except ClassifierError:
        return None


def _converted(
    signature: Served, graph: FlatGraph | None, end: ServedEnding, folder: Path
) -> Served:
    notice, bound = "", end.bound
    if graph is not None and bound in BOUNDING:
        inside = cut(signature.function, graph, end.inner)
        if inside is not None and _agrees(signature, inside, end, graph.precision()):
            shaped = _shaped(inside, signature.num_classes, falls=end.factor < 0)
            signature = dataclasses.replace(signature, instead=shaped)
            notice = f"its last {bound} is left out"
        elif (
            bound != "softmax" or end[2:] != (1.0, 0.0) or _is_half(signature)
        ):  # the logarithms of what is left say nothing
            raise ClassifierError(
                f"{folder}: what its last {bound} reads cannot be taken out of the graph; export "
                "it without its last activation"
            )
    if signature.instead is None and signature.num_classes > 1 and not signature.gives_logits:
        kind = looks_bounded(signature.logits, signature.image_shape)
        if kind == "softmax" or bound == "softmax":
            signature = dataclasses.replace(signature, instead=_log_of(signature))
            notice = "its logits are the logarithms of its probabilities"
    if signature.num_classes == 1:
        kind = "" if signature.instead else looks_bounded(signature.logits, signature.image_shape)
        if kind not in ("", DOUBTFUL):
            raise ClassifierError(
                f"{folder}: returns one number in [0, 1], and nothing shows which logit it was "
                "made of; export it without its last activation"
            )
        signature = _of_two_classes(signature)
        notice = f"{notice}; {TWO}" if notice else TWO
    return dataclasses.replace(signature, notices=(notice,) if notice else ())


def _is_half(signature: Served) -> bool:
    return bool(signature.function.structured_outputs[signature.output].dtype == tf.float16)


def _shaped(
    inside: Callable[[Images], Any], num_classes: int, *, falls: bool
) -> Callable[[Images], Any]:
    sign = -1 if falls else 1
    return lambda images: sign * tf.reshape(inside(images), (-1, num_classes))


def _log_of(signature: Served) -> Callable[[Images], Any]:
    return lambda shown: logarithms(
        signature.function(**{signature.images: shown})[signature.output]
    )


def _of_two_classes(signature: Served) -> Served:
    plain = signature.instead or (
        lambda shown: signature.function(**{signature.images: shown})[signature.output]
    )
    return dataclasses.replace(
        signature,
        num_classes=2,
        gives_logits=True,
        instead=lambda shown: tf.pad(tf.cast(plain(shown), tf.float32), [[0, 0], [1, 0]]),
    )


def _agrees(
    signature: Served, inside: Callable[[Images], Any], end: ServedEnding, precision: float
) -> bool:
    """Tell whether the cut graph gives the served probabilities, and finite gradients."""
    draw = np.random.default_rng(0)
    images = tf.constant(draw.uniform(size=(4, *signature.image_shape)).astype(np.float32))
    try:
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = inside(signature.shown(images))
        gradient = tape.gradient(logits, images)
        again = end.factor * tf.cast(_FUNCTIONS[end.bound](logits), tf.float32) + end.offset
        first, second = _flat_row(signature, images), _flat_row(signature, images)
        missed = tf.reduce_max(tf.abs(tf.reshape(again, (-1,)) - first))
    except Exception:  # a third-party graph may raise anything
        return False
    finite = gradient is not None and bool(tf.reduce_all(tf.math.is_finite(gradient)))
    room = precision * max(1.0, abs(end.factor))
    draws = float(tf.reduce_max(tf.abs(first - second))) > room  # then nothing can be compared
    return finite and (draws or float(missed) < room)


def _flat_row(signature: Served, images: Images) -> Any:
    return tf.reshape(signature.outputs(images)[signature.output], (-1,))
