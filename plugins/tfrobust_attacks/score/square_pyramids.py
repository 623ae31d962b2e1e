"""The pyramids of the square attack in L2: perturbations that networks react to, and their tiles.

η has two halves of opposite sign; each is a stack of ever smaller squares around its centre.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_TILES = 5  # a side


def tiles(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return horizontal pyramids side by side, and the number of the pyramid at each pixel.

    Args:
        shape: of an image; pixels at its edges that no tile covers are 0 and get number 0.

    Returns:
        NumPy float32 and int64, `(height, width)` each.
    """
    side = max(1, min(shape[:2]) // _TILES)
    rows, columns = (length // side for length in shape[:2])
    margins = [(length - side * (length // side)) for length in shape[:2]]
    around = [(margin // 2, margin - margin // 2) for margin in margins]
    tile = np.kron(np.arange(rows * columns).reshape(rows, columns), np.ones((side, side), int))
    pattern = np.tile(_pyramid(side), (rows, columns))
    return np.pad(pattern, around).astype(np.float32), np.pad(tile, around)


def pyramids(sides: Any) -> Any:
    """Return the pyramids of all sides, lying and upright.

    Returns:
        NumPy float32 `(sides, 2, largest, largest)`, each pyramid in the upper left corner.
    """
    table = np.zeros((len(sides), 2, sides[-1], sides[-1]), np.float32)
    for number, side in enumerate(sides):
        lying = _pyramid(side)
        table[number, :, :side, :side] = lying, lying.T
    return table


def _pyramid(side: int) -> Any:
    """Return η: two halves of opposite sign, of length 1 together."""
    halves = [_half(side // 2, side), -_half(side - side // 2, side)]
    both = np.concatenate([half for half in halves if half.size])
    return both / np.linalg.norm(both)


def _half(height: int, width: int) -> Any:
    """Return a sum of squares around the centre, the k-th of height 1/(k + 1)²."""
    across = np.abs(np.arange(width) - width // 2)
    radius = np.maximum(np.abs(np.arange(height) - height // 2)[:, None], across)
    steps = 1.0 / np.arange(1, max(height, width) // 2 + 2) ** 2
    pile = np.cumsum(steps[::-1])[::-1][radius]
    return pile / (np.linalg.norm(pile) or 1.0)
