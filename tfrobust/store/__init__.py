"""The model store: a folder of SavedModels in TensorFlow Serving's layout, and their cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.store.cards import CARD, Card, card_of, read_card
    from tfrobust.store.layout import (
        home_of,
        locate,
        next_version,
        rooted,
        store_root,
        stored,
        versions,
    )
    from tfrobust.store.models import export, load, load_all

__all__ = [
    "CARD",
    "Card",
    "card_of",
    "export",
    "home_of",
    "load",
    "load_all",
    "locate",
    "next_version",
    "read_card",
    "rooted",
    "store_root",
    "stored",
    "versions",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "cards": (
            "CARD",
            "Card",
            "card_of",
            "read_card",
        ),
        "layout": (
            "home_of",
            "locate",
            "next_version",
            "rooted",
            "store_root",
            "stored",
            "versions",
        ),
        "models": (
            "export",
            "load",
            "load_all",
        ),
    },
)
