"""Options of `tfrobust export`: what is exported, and in which form."""

from __future__ import annotations

from tfrobust.errors import UsageError
from tfrobust.serving.settings import FileFormat, Quantize


def check_options(
    *,
    only: str | None,
    form: FileFormat,
    quantize: Quantize | None,
    detector: str | None,
    attack: str | None,
    defense: list[str] | None,
) -> None:
    """Refuse options that exclude each other, before TensorFlow is imported.

    Raises:
        UsageError: names them.
    """
    if (detector is None) != (attack is None):
        raise UsageError("export: a detector learns from an attack; give both or neither")
    if only and (detector or defense):
        raise UsageError("--only: exports a defence alone; leave out --defense and --detector")
    if quantize and form != "tflite":
        raise UsageError("--quantize: expected --format tflite with it")
    if detector and form == "tflite":
        raise UsageError("--format tflite: has logits only; leave out --detector and --attack")
