"""What is typed after `--sweep` and `--eps`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import get_args

from tfrobust.errors import UsageError, did_you_mean
from tfrobust.types import Norm

NORMS: tuple[Norm, ...] = get_args(Norm)


def budgets(typed: Sequence[str]) -> list[float] | dict[Norm, list[float]]:
    """Return the budgets of `--eps`: numbers for all attacks, or numbers by norm.

    Args:
        typed: `0.1` or `linf=0.1,0.2`, each as often as wanted, not both.

    Raises:
        UsageError: it is not of that form, or both forms are mixed.

    Example:
        >>> budgets(["linf=0.03,0.06", "l2=0.5"])
        {'linf': [0.03, 0.06], 'l2': [0.5]}
    """
    by_norm: dict[Norm, list[float]] = {}
    bare = [text for text in typed if "=" not in text]
    if bare and len(bare) < len(typed):
        raise UsageError(
            f"--eps: expected a norm with every number, or with none; received: "
            f"{' '.join(typed)}; write --eps linf={bare[0]}"
        )
    if bare:
        return [number for text in bare for number in _numbers(text, text)]
    for text in typed:
        name, _, values = text.partition("=")
        if name not in NORMS:
            raise UsageError(
                f"--eps: expected one of {', '.join(NORMS)} before =; received: {text!r}"
                f"{did_you_mean(name, NORMS)}"
            )
        by_norm.setdefault(name, []).extend(_numbers(values, text))
    return by_norm


def _numbers(values: str, text: str) -> list[float]:
    try:
        return [float(value) for value in values.split(",")]
    except ValueError:
        raise UsageError(
            f"--eps: expected numbers, such as 0.1 or linf=0.03,0.06; received: {text!r}"
        ) from None


def swept(text: str) -> tuple[str | None, str, list[int | float | str]]:
    """Return the attack, the option and the values of `--sweep`.

    Args:
        text: `option=values` for every attack that has the option, or `attack.option=values`.

    Raises:
        UsageError: it is not of that form.

    Example:
        >>> swept("white_to_black.count=0,40")
        ('white_to_black', 'count', [0, 40])
    """
    key, equals, values = text.partition("=")
    attack, dot, option = key.rpartition(".")
    if not (equals and option) or (dot and not attack):
        raise UsageError(f"--sweep: expected option=values, such as count=0,40; received: {text!r}")
    return attack or None, option, [_value(value) for value in values.split(",")]


def _value(text: str) -> int | float | str:
    """Return a number where it is one; the attack checks what it is given."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
