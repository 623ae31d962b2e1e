"""How much to measure: everything, or a few images once as a smoke test."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Plan:
    """How often, on how many images, and of which attacks.

    Attributes:
        turns: how often floor and attack are timed in turn.
        images: maximum number of images.
        attacks: only these; empty: all.
    """

    turns: int = 5
    images: int = 1000
    attacks: frozenset[str] = frozenset()

    def wants(self, attack: str) -> bool:
        """Return whether an attack is to be measured."""
        return not self.attacks or attack in self.attacks
