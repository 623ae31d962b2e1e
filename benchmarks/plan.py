"""How much to measure: the real thing, or a few images once to see that everything runs."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Plan:
    """How often, on how many images, and of which attacks.

    Attributes:
        turns: how often floor and attack are timed in turn.
        images: at most so many.
        attacks: these alone; empty: all.
    """

    turns: int = 5
    images: int = 1000
    attacks: frozenset[str] = frozenset()

    def wants(self, attack: str) -> bool:
        """Return whether an attack is to be measured."""
        return not self.attacks or attack in self.attacks
