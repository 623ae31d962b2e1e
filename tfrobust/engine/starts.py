"""Points that an attack begins at, where the caller knows better ones than the clean images.

An attack at a larger budget can go on from where it ended at a smaller one (`Attack.continued`).
The points are part of the trace, not of an attack's state: `tfrobust.engine.loop.iterate` narrows
them to the rows that are left. Where none are held, nothing is added to any graph.
"""

from __future__ import annotations

import contextlib

from tfrobust.classifiers.held_rows import HeldRows
from tfrobust.types import Images

STARTS: HeldRows[Images] = HeldRows("starts")


def held(points: Images | None) -> contextlib.AbstractContextManager[None]:
    """Let what is traced or run inside begin at these points.

    Args:
        points: `(batch, height, width, channels)`, one an image, in its ball and in [0, 1];
            `None`: there are none.
    """
    return STARTS.held(points)


def starting_points() -> Images | None:
    """Return where an attack should begin, `(batch, height, width, channels)`; `None`: anywhere.

    Example:
        >>> start = starting_points()
        >>> start = images if start is None else start
    """
    return STARTS.now
