"""Options of `tfrobust export`: what is exported, and in which form."""

from __future__ import annotations

from tfrobust.serving.settings import FileFormat, Quantize, check_together


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
    check_together(
        only=only,
        form=form,
        quantize=quantize,
        detector=detector,
        attack=attack,
        defenses=defense or (),
        called=lambda field: "--defense" if field == "defenses" else f"--{field}",
    )
