"""The parts of a study file, and the names that they declare."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from tfrobust.errors import CONTROLS, did_you_mean


class Declared(pydantic.BaseModel):
    """A part of a study file: it cannot be changed, and it refuses keys that it does not know."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @pydantic.field_validator("*")
    @classmethod
    def _has_no_control_characters(cls, given: Any) -> Any:
        left = [given]
        while left:
            value = left.pop()
            if isinstance(value, dict):
                left += [*value, *value.values()]
            elif isinstance(value, list | tuple):
                left += value
            elif isinstance(value, str) and CONTROLS.search(re.sub("[\n\t]", "", value)):
                raise ValueError("expected a text without control characters")
        return given


def check_declared(where: str, names: Iterable[str], declared: Mapping[str, Any]) -> None:
    """Refuse names that are not declared.

    Args:
        where: the part of the study file that mentions them, for the message.
        names: that are mentioned.
        declared: those that there are.

    Raises:
        ValueError: the first that is not declared, and the nearest one that is.
    """
    for name in names:
        if name not in declared:
            raise ValueError(f"{where}: {name!r} is not declared{did_you_mean(name, declared)}")
