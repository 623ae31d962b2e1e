"""Options of `tfrobust export`: what is exported, and in which form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from tfrobust.errors import UsageError, did_you_mean
from tfrobust.serving.settings import DrawKind, FileFormat, Quantize, ServedInput, check_together


def check_options(
    *,
    only: str | None,
    form: FileFormat,
    quantize: Quantize | None,
    detector: str | None,
    attack: str | None,
    defense: list[str] | None,
    served: Mapping[str, object],
    draws: DrawKind,
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
        draws=draws,
        called=lambda field: "--defense" if field == "defenses" else f"--{field}",
    )


def served_inputs(given: Sequence[str] | None) -> tuple[ServedInput, ...]:
    """Return the forms of images that `--inputs` names, each once.

    Raises:
        UsageError: there is no such form; the nearest is given.
    """
    forms: tuple[ServedInput, ...] = get_args(ServedInput)
    for name in given or ():
        if name not in forms:
            raise UsageError(
                f"--inputs: expected {' or '.join(forms)}; received: {name!r}"
                f"{did_you_mean(name, forms)}"
            )
    return tuple(form for form in forms if form in (given or ()))


def warmup_sizes(given: Sequence[int] | None, *, warmup: bool) -> tuple[int, ...]:
    """Return the batch sizes of warm-up requests; none where none are asked for.

    Raises:
        UsageError: there are sizes, and nothing to write with them.
    """
    if given and not warmup:
        raise UsageError("--warmup-batch: is the size of warm-up requests; add --warmup")
    return tuple(dict.fromkeys(given or (1,))) if warmup else ()
