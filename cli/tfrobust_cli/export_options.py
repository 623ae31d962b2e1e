"""Options of `tfrobust export`: what is exported, and in which form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfrobust.errors import UsageError
from tfrobust.serving.settings import FileFormat, Quantize, check_together


def check_options(
    *,
    only: str | None,
    form: FileFormat,
    quantize: Quantize | None,
    detector: str | None,
    attack: str | None,
    defense: list[str] | None,
    served: Mapping[str, object],
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
        served=served,
        called=lambda field: "--defense" if field == "defenses" else f"--{field}",
    )


def warmup_sizes(given: Sequence[int] | None, *, warmup: bool) -> tuple[int, ...]:
    """Return the batch sizes of warm-up requests; none where none are asked for.

    Raises:
        UsageError: there are sizes, and nothing to write with them.
    """
    if given and not warmup:
        raise UsageError("--warmup-batch: is the size of warm-up requests; add --warmup")
    return tuple(dict.fromkeys(given or (1,))) if warmup else ()
