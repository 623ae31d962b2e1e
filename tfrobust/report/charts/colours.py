"""The colours of figures; imports no Matplotlib."""

from __future__ import annotations

# Wong's palette, made for the colour-blind (Nature Methods 8, 441, 2011).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SHADE = 0.55  # of a colour's brightness that its dark variant has


def shaded(colour: str) -> str:
    """Return the dark variant of a colour.

    Example:
        >>> shaded("#ffffff")
        '#8c8c8c'
    """
    channels = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return "#" + "".join(f"{round(SHADE * channel):02x}" for channel in channels)
