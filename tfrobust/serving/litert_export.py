"""A classifier, or what stands before it, as a LiteRT file; and what eight bits cost."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from tempfile import gettempdir

import numpy as np

from tfrobust.classifiers.inference import in_batches
from tfrobust.errors import UsageError
from tfrobust.files.atomic import atomic_folder, disk_errors
from tfrobust.files.leftovers import scratch_folder
from tfrobust.serving.litert import LiteModel, Quantize, lite
from tfrobust.serving.servable import Servable, write_servable_card
from tfrobust.store.models import check_place
from tfrobust.types import Images, Labels

FILE = "model.tflite"  # as TensorFlow Serving expects it


@dataclasses.dataclass(frozen=True)
class Sized:
    """What a file is like.

    Attributes:
        name: `float32` or `int8`; `none` is the classifier without the part.
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
    tested: tuple[Images, Labels] | None = None,
) -> list[Sized]:
    """Write `model.tflite` into a new version folder, and measure it beside the float one.

    Args:
        part: what is written; see `tfrobust.serving.servable`.
        folder: the version folder to make.
        quantize: to 8 bits, or not.
        samples: images that show the ranges of activations; for 8 bits.
        tested: images with labels to measure accuracy on; none: only sizes.

    Returns:
        Without the part, in float32, and in 8 bits, as far as they apply.

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
    found = [] if part.bare is None else [Sized("none", None, _accuracy(part, None, tested))]
    for name, content in contents.items():
        model = LiteModel(content)
        found.append(Sized(name, model.megabytes, _accuracy(part, model, tested)))
    with atomic_folder(folder, new=True) as beside:
        (beside / FILE).write_bytes(contents[quantize or "float32"])
        write_servable_card(part, beside)
    return found


def lite_file(part: Servable, samples: Images | None = None) -> bytes:
    """Return a part as a LiteRT file: of 8 bits where samples are given, else of float32.

    Raises:
        ClassifierError: an operation that LiteRT has not.
    """
    with disk_errors(f"temporary files in {gettempdir()}"), scratch_folder() as made:
        part.write(made)
        return lite(made, samples)


def _accuracy(
    part: Servable, model: LiteModel | None, tested: tuple[Images, Labels] | None
) -> float | None:
    if tested is None:
        return None
    images, labels = tested
    served = images if model is None else in_batches(model, images)
    return float((np.argmax(part.logits(served), axis=1) == labels).mean())
