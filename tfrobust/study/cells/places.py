"""Where what a study needs lies on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tfrobust.study.schema.grid import Options


@dataclasses.dataclass(frozen=True)
class Given:
    """Where data and weights lie; see `given.apply_given`. It changes no result.

    Attributes:
        places: scenario → its options that are paths.
        weights: network → the file that replaces the declared one.
    """

    places: Mapping[str, Options] = dataclasses.field(default_factory=dict)
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
