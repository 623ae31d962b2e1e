"""Lengths of time as people say them."""

from __future__ import annotations

_MINUTE, _HOUR = 60, 3600


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it.

    Example:
        >>> duration(5.21), duration(600), duration(36_000)
        ('5.2 s', '10 min', '10.0 h')
    """
    if seconds < 2 * _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:,.1f} h"
