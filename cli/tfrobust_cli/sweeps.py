"""What is typed after `--sweep`."""

from __future__ import annotations

import contextlib

from tfrobust.errors import UsageError


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
