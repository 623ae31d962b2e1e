"""Types of the values in records, with bounds that every file must keep to.

Models built of them refuse what no run ever writes: shares above one, figures that are not finite,
texts with control characters.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import pydantic

from tfrobust.errors import CONTROLS

_LONGEST = 1000  # characters of a text
_MOST = 2**53  # counts; beyond, JSON's readers disagree
_LARGEST = 2**16  # pixels of a side
_ROUNDING = 1e-9


def is_text(text: str) -> bool:
    r"""Tell whether a text can stand in a record: it is short, and controls no terminal.

    Example:
        >>> is_text("naïve 🙂"), is_text("red \x1b[31m"), is_text("a" * 1001)
        (True, False, False)
    """
    return len(text) <= _LONGEST and not CONTROLS.search(text)


def _shown(text: str) -> str:
    if CONTROLS.search(text):
        raise ValueError("expected a text without control characters")
    return text


def _kept_inside(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _numbers(params: dict[str, Any]) -> dict[str, Any]:
    """Refuse numbers that no option holds, and a budget that is no number: reports draw them."""
    eps = params.get("eps")
    if eps is not None and not _is_finite(eps):
        raise ValueError("eps: expected a finite number or none")
    for name, value in params.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not _is_bounded(number):
                raise ValueError(f"{name}: expected a finite number")
    return params


def _is_finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and _is_bounded(value)


def _is_bounded(number: float) -> bool:
    return math.isfinite(number) and abs(number) <= _MOST


Text = Annotated[str, pydantic.Field(max_length=_LONGEST), pydantic.AfterValidator(_shown)]
Place = Annotated[str, pydantic.Field(max_length=5000), pydantic.AfterValidator(_shown)]  # a path
Finite = Annotated[float, pydantic.Field(allow_inf_nan=False)]
Share = Annotated[
    float,
    pydantic.Field(ge=-_ROUNDING, le=1 + _ROUNDING, allow_inf_nan=False),
    pydantic.AfterValidator(_kept_inside),
]
NotNegative = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, pydantic.Field(ge=0, le=_MOST)]
Seed = Annotated[int, pydantic.Field(ge=-(2**63), lt=2**64)]
Side = Annotated[int, pydantic.Field(ge=1, le=_LARGEST)]
Shape = tuple[Side, Side, Side]  # height, width, channels
AttackParams = Annotated[dict[str, Any], pydantic.AfterValidator(_numbers)]
