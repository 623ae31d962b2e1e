"""What of an endpoint's answers is read: logits, probabilities or labels, checked row by row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from tfrobust.classifiers.bounded import TINY
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.protocol import Description, TensorInfo
from tfrobust.errors import EndpointError, one_line
from tfrobust.types import Images, ImageShape, Logits

Kind = Literal["logits", "probabilities", "labels"]
_FLOATING = {"DT_FLOAT", "DT_HALF", "DT_DOUBLE", "DT_BFLOAT16"}
_WHOLE = {"DT_INT32", "DT_INT64"}
_DTYPES: dict[str, type[np.generic]] = {
    "DT_FLOAT": np.float32,
    "DT_HALF": np.float16,
    "DT_DOUBLE": np.float64,
    "DT_UINT8": np.uint8,
}
_KNOWN: tuple[str, ...] = ("logits", "probabilities")  # outputs that are read unasked
_SUM = 1e-2  # that rows of probabilities in half precision miss 1 by, with room

_MOST_SIDE, _MOST_NUMBERS = 2**16, 2**26  # of one image that a server may ask for


@dataclasses.dataclass(frozen=True)
class Question:
    """How images are put to an endpoint.

    Attributes:
        signature: its name.
        name: of the input; empty where the server describes none.
        dtype: of the input.
        most: images a request, where the input's shape limits them.
    """

    signature: str
    name: str
    dtype: type[np.generic]
    most: int | None = None

    def put(self, images: Images) -> np.ndarray:
        """Return images in the type of the input; those of bytes are rounded."""
        if self.dtype is np.uint8:
            return np.clip(np.rint(images), 0, 255).astype(np.uint8)
        return images.astype(self.dtype)


def in_range(images: Images, pixel_range: tuple[float, float]) -> Images:
    """Return images in [0, 1] with the pixels that the model was made for."""
    least, most = pixel_range
    if (least, most) == (0.0, 1.0):
        return images
    return images * np.float32(most - least) + np.float32(least)


def question_of(
    description: Description, options: RemoteOptions, image_shape: ImageShape | None
) -> tuple[Question, ImageShape]:
    """Return how images are put to an endpoint, and their shape.

    Args:
        description: what the model says of itself.
        options: how it is asked.
        image_shape: where the endpoint leaves it open.

    Raises:
        EndpointError: its input takes no images.
    """
    if not description.inputs:
        if image_shape is None:
            raise EndpointError(
                "the server describes no input; name a scenario, whose images it then gets"
            )
        return Question(options.signature, "", np.float32), image_shape
    if len(description.inputs) != 1:
        raise EndpointError(
            f"expected a signature of one input; received: {', '.join(description.inputs)}; choose "
            "another one by --signature"
        )
    ((name, tensor),) = description.inputs.items()
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise EndpointError(
            f"input {name!r}: expected numbers; received: {tensor.dtype}; choose a signature that "
            "takes float images by --signature"
        )
    shape = _sides(name, tensor, image_shape)
    most = tensor.shape[0] if tensor.shape else -1
    if most > 1:
        raise EndpointError(
            f"input {name!r}: takes exactly {most} images a request; export it for any number"
        )
    return Question(options.signature, name, dtype, 1 if most == 1 else None), shape


def _sides(name: str, tensor: TensorInfo, image_shape: ImageShape | None) -> ImageShape:
    """Return the shape of the images that an input takes."""
    sizes = tensor.shape[1:] if tensor.shape else (-1, -1, -1)
    if len(sizes) != 3:
        raise EndpointError(
            f"input {name!r}: expected images (batch, height, width, channels); received the "
            f"shape {tensor.shape}"
        )
    known = image_shape or (-1, -1, -1)
    height, width, channels = (
        size if size > 0 else given for size, given in zip(sizes, known, strict=True)
    )
    if min(height, width, channels) < 1:
        raise EndpointError(f"input {name!r}: leaves its size open; name a scenario of that size")
    if max(height, width, channels) > _MOST_SIDE or height * width * channels > _MOST_NUMBERS:
        raise EndpointError(
            f"input {name!r}: expected images of at most {_MOST_NUMBERS} numbers, and no side "
            f"above {_MOST_SIDE}; received: {height} × {width} × {channels}; check the served model"
        )
    return height, width, channels


@dataclasses.dataclass(frozen=True)
class Reading:
    """Which output is read, and as what.

    Attributes:
        output: its name; empty: the only one.
        kind: what its numbers are.
        num_classes: how many.
    """

    output: str
    kind: Kind
    num_classes: int

    def logits(self, outputs: Mapping[str, np.ndarray], images: int) -> Logits:
        """Return an answer as logits, float32 `(images, num_classes)`.

        Those of probabilities are their logarithms; those of labels are 1 for the label and else 0.

        Raises:
            EndpointError: it lacks the output, or its shape, type or numbers are wrong.
        """
        values = _output(outputs, self.output)
        if self.kind == "labels":
            labels = _labels(values, images)
            if images and not 0 <= labels.min() <= labels.max() < self.num_classes:
                raise EndpointError(
                    f"output {self.output!r}: expected labels below {self.num_classes}; received: "
                    f"{labels.max()}; say how many classes there are by --num-classes"
                )
            return np.eye(self.num_classes, dtype=np.float32)[labels]
        expected = images, self.num_classes
        if values.shape != expected or values.dtype.kind not in "fiu":
            raise EndpointError(
                f"output {self.output!r}: expected numbers of shape {expected}; received: "
                f"{values.dtype} of shape {values.shape}"
            )
        numbers = values.astype(np.float32)
        if not np.isfinite(numbers).all():
            raise EndpointError(
                f"output {self.output!r}: holds NaN or infinity; look at the model that is served"
            )
        if self.kind == "logits":
            return numbers
        if not _are_probabilities(numbers):
            raise EndpointError(
                f"output {self.output!r}: expected probabilities, rows with the sum 1; received "
                f"the sums {numbers.sum(axis=1).min():g} to {numbers.sum(axis=1).max():g}"
            )
        return np.log(np.maximum(numbers, TINY)).astype(np.float32)


def reading_of(
    description: Description,
    outputs: Mapping[str, np.ndarray],
    images: int,
    options: RemoteOptions,
) -> Reading:
    """Return what to read of the answers of an endpoint, from the first one.

    Args:
        description: what the model says of itself.
        outputs: of the first answer.
        images: how many it is about.
        options: how it is asked.

    Raises:
        EndpointError: it holds no scores and no labels, or an output of another name.
    """
    name = options.output if options.output is not None else _chosen(description, outputs)
    values = _output(outputs, name)
    if values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind in "fiu":
        _check_described(description, name, values)
        kind: Kind = "logits"
        if name != "logits" and _are_probabilities(values.astype(np.float32)):
            kind = "probabilities"
        return Reading(name, kind, values.shape[1])
    _labels(values, images)
    if options.num_classes is None:
        raise EndpointError(
            f"output {name!r}: holds labels and no scores; say how many classes there are by "
            "--num-classes"
        )
    return Reading(name, "labels", options.num_classes)


def _check_described(description: Description, name: str, values: np.ndarray) -> None:
    """Refuse an answer of another number of classes than the model describes."""
    tensor = description.outputs.get(name)
    shape = tensor.shape if tensor else None
    if shape and len(shape) == 2 and shape[1] not in (-1, values.shape[1]):
        raise EndpointError(
            f"output {name!r}: expected numbers of shape (images, {shape[1]}), as the model says; "
            f"received the shape {values.shape}"
        )


def _chosen(description: Description, outputs: Mapping[str, np.ndarray]) -> str:
    """Return the output to read where the user names none."""
    for name in (*_KNOWN, ""):
        if name in outputs:
            return name
    described = {name: tensor.dtype for name, tensor in description.outputs.items()}
    for types in (_FLOATING, _WHOLE):
        fitting = [name for name in outputs if described.get(name, "") in types]
        if len(fitting) == 1:
            return fitting[0]
    if len(outputs) == 1:
        return next(iter(outputs))
    raise EndpointError(
        "the signature has no output 'logits' or 'probabilities' (there are: "
        f"{', '.join(one_line(name, 80) for name in outputs)}); choose one by --output, or another "
        "signature by --signature"
    )


def _output(outputs: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in outputs and len(outputs) == 1 and "" in outputs:
        return outputs[""]  # a server leaves out the name of an only output
    if name not in outputs:
        known = ", ".join(one_line(known, 80) for known in outputs) or "none"
        raise EndpointError(f"the answer has no output {name!r} (there are: {known})")
    return outputs[name]


def _labels(values: np.ndarray, images: int) -> np.ndarray:
    """Return labels, int64 `(images,)`; numbers that are written as text are labels too.

    Raises:
        EndpointError: they are none.
    """
    flat = values.reshape(-1) if values.shape in ((images,), (images, 1)) else None
    try:
        if flat is not None and flat.dtype.kind in "iu":
            return flat.astype(np.int64)
        if flat is not None and flat.dtype.kind in "SUO":
            return np.array([int(text) for text in flat], np.int64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise EndpointError(
        f"expected scores (images, classes) or one whole number an image; received: {values.dtype} "
        f"of shape {values.shape}; choose another output by --output"
    )


def _are_probabilities(rows: np.ndarray) -> bool:
    """Tell whether rows are in [0, 1] with the sum 1."""
    inside = bool((rows >= 0).all() and (rows <= 1 + _SUM).all())
    return inside and bool(np.abs(rows.sum(axis=1) - 1).max(initial=0.0) < _SUM)
