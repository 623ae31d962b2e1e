"""Which signature of a SavedModel classifies, what it takes and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.errors import ClassifierError
from tfrobust.types import ImageShape

SERVE, LOGITS = "serving_default", "logits"


def signature_of(loaded: Any, folder: Path) -> Any:
    """Return `serving_default`, or the only signature that takes images and gives logits.

    Raises:
        ClassifierError: there is none, or there are several.
    """
    signatures: Mapping[str, Any] = loaded.signatures
    if SERVE in signatures:
        return signatures[SERVE]
    fitting = [name for name, signature in signatures.items() if _may_classify(signature)]
    if len(fitting) == 1:
        return signatures[fitting[0]]
    there_are = ", ".join(sorted(signatures)) or "none"
    raise ClassifierError(
        f"{folder}: the SavedModel has no signature {SERVE!r}; received: {there_are}; save it "
        f"with tf.saved_model.save(model, folder, signatures={{{SERVE!r}: …}})"
    )


def _may_classify(function: Any) -> bool:
    specs = list(function.structured_input_signature[1].values())
    return len(specs) == 1 and specs[0].shape.rank == 4 and bool(_scores(function))


def image_input(
    function: Any, folder: Path, options: LoadOptions
) -> tuple[str, tf.TensorSpec, ImageShape]:
    """Return the name and form of a signature's only input, and the shape of its images.

    Raises:
        ClassifierError: it takes something else, or leaves open what `options` do not say.
    """
    specs = function.structured_input_signature[1]
    received = ", ".join(f"{n} {s.dtype.name} {s.shape}" for n, s in specs.items()) or "nothing"
    if len(specs) != 1 or (spec := next(iter(specs.values()))).shape.rank != 4:
        raise ClassifierError(
            f"{folder}: expected one float32 input (batch, height, width, channels), batch left "
            f"open; received: {received}; export a function of the images alone"
        )
    if not spec.dtype.is_floating:
        raise ClassifierError(
            f"{folder}: expected one float32 input, through which gradients pass; "
            f"received: {received}; export a function of float32 images and say by "
            "--pixel-range 0,255 which pixels it takes"
        )
    if spec.shape[0] is not None:
        raise ClassifierError(
            f"{folder}: expected one float32 input with the batch left open; "
            f"received: {received}; export it with tf.TensorSpec((None, …))"
        )
    height, width, channels = _sides(tuple(spec.shape)[1:], options.image_shape)
    if None in (height, width, channels):
        raise ClassifierError(
            f"{folder}: expected images of a fixed size; received: {received}; name a scenario, "
            "whose size it takes (load from Python with LoadOptions(image_shape=…))"
        )
    return next(iter(specs)), spec, (height, width, channels)


def _sides(known: tuple[Any, ...], given: ImageShape | None) -> tuple[Any, ...]:
    return tuple(k or g for k, g in zip(known, given or (None,) * 3, strict=True))


def _scores(function: Any) -> dict[str, Any]:
    """Return the outputs that may hold a number a class; those with several first choice."""
    may = {
        name: spec
        for name, spec in function.structured_outputs.items()
        if spec.dtype.is_floating and spec.shape.rank in (2, None)
    }
    several = {n: e for n, e in may.items() if e.shape.rank is None or e.shape[1] != 1}
    return several or may


def logits_output(function: Any, folder: Path) -> tuple[str, int | None]:
    """Return the name of the output that classifies, and how many classes it has, if it tells.

    Raises:
        ClassifierError: there is none, or there are several.
    """
    scores = _scores(function)
    if LOGITS in scores or len(scores) == 1:
        name = LOGITS if LOGITS in scores else next(iter(scores))
        return name, scores[name].shape[1] if scores[name].shape.rank else None
    outputs = sorted(function.structured_outputs.items())
    received = ", ".join(f"{name} {spec.dtype.name} {spec.shape}" for name, spec in outputs)
    raise ClassifierError(
        f"{folder}: expected an output 'logits' (batch, classes), or a single one of that form; "
        f"received: {received}; export the logits alone, or under that name"
    )
