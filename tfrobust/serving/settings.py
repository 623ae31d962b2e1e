"""What is exported, and in which form."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from tfrobust.classifiers.loading import AS_IT_IS, LoadOptions
from tfrobust.errors import UsageError

if TYPE_CHECKING:
    from tfrobust.attack import Attack
    from tfrobust.defense import Defense
    from tfrobust.detector import Detector
    from tfrobust.scenario import Scenario

FileFormat = Literal["saved_model", "tflite"]
Quantize = Literal["int8"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What is exported, and in which form.

    Attributes:
        classifier: a name in the store, a SavedModel folder, or a `.keras` or `.h5` file.
        version: number of the version folder; `None`: the next free one.
        only: the name of a defence that is exported without the classifier behind it.
        format: a SavedModel for TensorFlow Serving, or a file for LiteRT.
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

    Raises:
        UsageError: options that exclude each other.

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

    def __post_init__(self) -> None:
        if (self.detector is None) != (self.attack is None):
            raise UsageError("detector: learns from an attack; give both or neither")
        if self.only and (self.detector or self.defenses):
            raise UsageError("only: exports a defence alone; leave out defenses and detector")
        if self.quantize and self.format != "tflite":
            raise UsageError("quantize: expected the format tflite with it")
        if self.detector and self.format == "tflite":
            raise UsageError("format: a tflite file has logits only; leave out detector and attack")
