"""From an architecture's name to a stored classifier that can be served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.pipeline.build import (
        Deployed,
        Trained,
        as_built,
        defended,
        home_of,
        train,
        train_and_store,
        untrained,
    )

__all__ = [
    "Deployed",
    "Trained",
    "as_built",
    "defended",
    "home_of",
    "train",
    "train_and_store",
    "untrained",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "build": (
            "Deployed",
            "Trained",
            "as_built",
            "defended",
            "home_of",
            "train",
            "train_and_store",
            "untrained",
        ),
    },
)
