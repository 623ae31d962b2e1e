"""A classifier, or a defence before it, as a LiteRT file; and what eight bits cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from tempfile import gettempdir

import numpy as np

from tfrobust.classifiers.inference import in_batches
from tfrobust.data.image_blocks import accuracy
from tfrobust.errors import UsageError
from tfrobust.files.atomic import atomic_folder, disk_errors
from tfrobust.files.leftovers import scratch_folder
from tfrobust.serving.litert import LiteModel, lite
from tfrobust.serving.servable import Servable, write_servable_card
from tfrobust.serving.settings import Quantize
from tfrobust.store.layout import check_place
from tfrobust.types import Images, Labels

FILE = "model.tflite"  # as TensorFlow Serving expects it


@dataclasses.dataclass(frozen=True)
class Measured:
    """Size and accuracy of a LiteRT file.

    Attributes:
        name: `float32` or `int8`; `none` is the classifier without the exported defence.
        megabytes: of the file, 10⁶ bytes; `None` where there is none.
        accuracy: of the classifier with it, through the interpreter; `None` if not measured.
    """

    name: str
    megabytes: float | None
    accuracy: float | None


def export_lite(
    part: Servable,
    folder: Path | str,
    *,
    quantize: Quantize | None = None,
    samples: Images | None = None,
    tested: Iterable[tuple[Images, Labels]] | None = None,
) -> list[Measured]:
    """Write `model.tflite` into a new version folder, and measure it and the float32 file.

    Args:
        part: what is written; see `tfrobust.serving.servable`.
        folder: the version folder to make.
        quantize: to 8 bits, or not.
        samples: images that show the ranges of activations; for 8 bits.
        tested: blocks of images with labels to measure accuracy on, which can be gone through
            several times; none: only sizes.

    Returns:
        What was measured without the part, in float32, and in 8 bits, as far as they apply.

    Raises:
        UsageError: 8 bits without samples.
        ClassifierError: an operation that LiteRT has not.
        StoreError: the folder exists already, or the disk refuses.
    """
    folder = Path(folder)
    check_place(folder, serves=part.output, file=FILE)
    if quantize and samples is None:
        raise UsageError(
            "quantize: expected a scenario, whose images show the ranges of activations; name one"
        )
    contents = {"float32": lite_file(part)} | (
        {quantize: lite_file(part, samples)} if quantize else {}
    )
    measured = [Measured("none", None, _accuracy(part, None, tested))] if part.bare else []
    for name, content in contents.items():
        model = LiteModel(content)
        measured.append(Measured(name, model.megabytes, _accuracy(part, model, tested)))
    with atomic_folder(folder, new=True) as temporary:
        (temporary / FILE).write_bytes(contents[quantize or "float32"])
        write_servable_card(part, temporary)
    return measured


def lite_file(part: Servable, samples: Images | None = None) -> bytes:
    """Return a part as a LiteRT file: of 8 bits where samples are given, else of float32.

    Raises:
        ClassifierError: an operation that LiteRT has not.
    """
    with disk_errors(f"temporary files in {gettempdir()}"), scratch_folder() as folder:
        part.write(folder)
        return lite(folder, samples)


def _accuracy(
    part: Servable, model: LiteModel | None, tested: Iterable[tuple[Images, Labels]] | None
) -> float | None:
    if tested is None:
        return None

    def predicted(images: Images) -> Labels:
        served = images if model is None else in_batches(model, images)
        return np.argmax(part.logits(served), axis=1)

    return accuracy(predicted, tested)
