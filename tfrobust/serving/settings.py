"""What is exported, and in which form."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfrobust.classifiers.loading import AS_IT_IS, LoadOptions
from tfrobust.errors import UsageError

if TYPE_CHECKING:
    from tfrobust.attack import Attack
    from tfrobust.defense import Defense
    from tfrobust.detector import Detector
    from tfrobust.scenario import Scenario

FileFormat = Literal["saved_model", "tflite", "onnx"]
ServedInput = Literal["image_bytes", "uint8"]
DrawKind = Literal["fresh", "content"]
Quantize = Literal["int8"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What is exported, and in which form.

    Attributes:
        classifier: a name in the store, a SavedModel folder, or a `.keras` or `.h5` file.
        version: number of the version folder; `None`: the next free one.
        only: the name of a defence that is exported without the classifier behind it.
        format: a SavedModel for TensorFlow Serving, a file for LiteRT, or one for ONNX runtimes.
        quantize: post-training quantization of a LiteRT file; `None`: float32.
        defenses: are put around the classifier first, in this order; they train nothing.
        detector: whose `adversarial_score` is served too.
        attack: what the detector learns to recognise.
        scenario: the data that detectors and quantization learn from; `None`: those of the
            classifier's training.
        scenario_name: the scenario as the user wrote it; recorded where no card names one.
        images: training images that detectors and quantization learn from, 1 or more.
        seed: decides everything random.
        loading: what the user says about the classifier's file.
        inputs: forms of images that further signatures of a SavedModel take: files, or 8 bits.
        classify: whether a SavedModel has a signature for TensorFlow Serving's Classify API.
        draws: of a random classifier: `fresh` at each call, or by the `content` of the image, so
            that it has one answer; a signature `seeded` then takes seeds for other draws.
        warmup: batch sizes of requests that TensorFlow Serving replays when it loads a SavedModel,
            one of each for every signature.
        evaluated: the folder of a run that evaluated this classifier, for the model card of a
            SavedModel; `None`: the card says that nothing is known of its robustness.

    Raises:
        UsageError: a number below 1, or options that exclude each other.

    Example:
        >>> ExportSettings(classifier="d1", format="tflite", quantize="int8")
    """

    classifier: str
    version: int | None = None
    only: str | None = None
    format: FileFormat = "saved_model"
    quantize: Quantize | None = None
    defenses: Sequence[Defense] = ()
    detector: Detector | None = None
    attack: Attack | None = None
    scenario: Scenario | None = None
    scenario_name: str | None = None
    images: int = 500
    seed: int = 0
    loading: LoadOptions = AS_IT_IS
    inputs: Sequence[ServedInput] = ()
    classify: bool = False
    warmup: Sequence[int] = ()
    draws: DrawKind = "fresh"
    evaluated: Path | None = None

    def __post_init__(self) -> None:
        if self.images < 1:
            raise UsageError(f"images: expected 1 or more; received: {self.images}")
        if self.version is not None and self.version < 1:
            raise UsageError(f"version: expected 1 or more; received: {self.version}")
        check_together(
            only=self.only,
            form=self.format,
            quantize=self.quantize,
            detector=self.detector,
            attack=self.attack,
            defenses=self.defenses,
            served={
                "inputs": self.inputs,
                "classify": self.classify,
                "warmup": self.warmup,
                "evaluated": self.evaluated,
            },
            draws=self.draws,
        )


def check_together(
    *,
    only: str | None,
    form: FileFormat,
    quantize: Quantize | None,
    detector: Detector | str | None,
    attack: Attack | str | None,
    defenses: Sequence[Defense | str],
    served: Mapping[str, object],
    draws: DrawKind = "fresh",
    called: Callable[[str], str] = str,
) -> None:
    """Refuse fields of `ExportSettings` that exclude each other.

    Args:
        only: as the field, like all that follow; plugins may be given by name.
        form: its `format`.
        quantize: see `ExportSettings`.
        detector: see `ExportSettings`.
        attack: see `ExportSettings`.
        defenses: see `ExportSettings`.
        served: fields that only a SavedModel of a whole classifier has, by name.
        draws: see `ExportSettings`.
        called: gives what the user calls a field, for messages.

    Raises:
        UsageError: names them.
    """
    if (detector is None) != (attack is None):
        raise UsageError(f"{called('detector')}: learns from an attack; give both or neither")
    if only and (detector or defenses):
        raise UsageError(
            f"{called('only')}: exports a defence alone; leave out {called('defenses')} and "
            f"{called('detector')}"
        )
    if quantize and form != "tflite":
        raise UsageError(f"{called('quantize')}: expected {called('format')} tflite with it")
    if detector and form == "tflite":
        raise UsageError(
            f"{called('format')} tflite: has logits only; leave out {called('detector')} and "
            f"{called('attack')}"
        )
    if draws != "fresh" and only:
        raise UsageError(f"{called('draws')}: are those of a whole classifier; leave it out")
    given = [field for field, value in served.items() if value]
    if given and (only or form != "saved_model"):
        other = called("only") if only else f"{called('format')} {form}"
        raise UsageError(
            f"{called(given[0])}: is of a SavedModel that classifies; leave it out, or leave out "
            f"{other}"
        )
