"""Which output of an endpoint is read, and as what: decided by its first answer.

Probabilities and their logarithms are told from logits by their numbers. Logarithms of
probabilities differ from the logits by one number an image, and serve as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfrobust.classifiers.remote.class_names import Names, beside, in_order, read_names
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.protocol import Description
from tfrobust.classifiers.remote.reading import (
    SUM,
    Kind,
    Reading,
    are_probabilities,
    labels,
    output,
)
from tfrobust.errors import EndpointError, one_line

_FLOATING = {"DT_FLOAT", "DT_HALF", "DT_DOUBLE", "DT_BFLOAT16"}
_WHOLE = {"DT_INT32", "DT_INT64"}
_KNOWN: tuple[str, ...] = ("logits", "probabilities")  # outputs that are read unasked


def reading_of(
    description: Description,
    outputs: Mapping[str, np.ndarray],
    images: int,
    options: RemoteOptions,
    scenario: Sequence[str] = (),
) -> Reading:
    """Return what to read of the answers of an endpoint, from the first one.

    Args:
        description: what the model says of itself.
        outputs: of the first answer.
        images: how many it is about.
        options: how it is asked.
        scenario: the names of the classes of the images that it is asked about.

    Raises:
        UsageError: the file with the names of the classes cannot be read.
        EndpointError: it holds no scores and no labels, or an output of another name.
    """
    name = options.output if options.output is not None else _chosen(description, outputs)
    values = output(outputs, name)
    names = () if options.labels is None else read_names(options.labels)
    if values.ndim == 2 and values.shape[1] > 0 and values.dtype.kind in "fiu":
        if (named := beside(outputs, name)) is not None:
            names = in_order(outputs[named], named, names, scenario)
        if named is not None and values.shape[1] < len(names):
            return Reading(name, "labels", len(names), names, named)
        if values.shape[1] > 1:
            _check_described(description, name, values)
            _check_names(names, values.shape[1])
            return Reading(name, _kind_of(name, values, outputs), values.shape[1], names, named)
    if values.dtype.kind in "SUO":
        names = names or tuple(scenario)
    labels(values, images, names)
    classes = len(names) or options.num_classes
    if classes is None:
        raise EndpointError(
            f"output {name!r}: holds labels and no scores; say how many classes there are by "
            "--num-classes, or what they are called by --labels FILE"
        )
    return Reading(name, "labels", classes, names)


def _kind_of(name: str, values: np.ndarray, outputs: Mapping[str, np.ndarray]) -> Kind:
    """Return what the numbers of a first answer are."""
    rows = values.astype(np.float32)
    if are_probabilities(rows):
        others = outputs.get("probabilities")
        if name == "logits" and others is not None and _are_softmax(rows, others):
            return "logits"
        return "probabilities"
    with np.errstate(over="ignore"):
        return "log-probabilities" if are_probabilities(np.exp(rows)) else "logits"


def _check_names(names: Names, classes: int) -> None:
    if names and len(names) != classes:
        raise EndpointError(
            f"labels: expected names of the model's {classes} classes; received: {len(names)}"
        )


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
    scores = [name for name, values in outputs.items() if values.dtype.kind == "f"]
    if len(outputs) == 1 or len(scores) == 1:
        return scores[0] if scores else next(iter(outputs))
    raise EndpointError(
        "the signature has no output 'logits' or 'probabilities' (there are: "
        f"{', '.join(one_line(name, 80) for name in outputs)}); choose one by --output, or another "
        "signature by --signature"
    )


def _are_softmax(rows: np.ndarray, probabilities: np.ndarray) -> bool:
    """Tell whether probabilities are the softmax of rows, which then are logits."""
    if rows.shape != probabilities.shape or probabilities.dtype.kind != "f":
        return False
    exponents = np.exp(rows)
    softmax = exponents / exponents.sum(axis=1, keepdims=True)
    return bool(np.allclose(softmax, probabilities, atol=SUM))
