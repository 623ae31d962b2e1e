"""A grid of a scenario's images, with their labels and boxes, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tfrobust.data.reading import check_split, readable
from tfrobust.errors import DataError, UsageError
from tfrobust.files.atomic import atomic_write
from tfrobust.report.charts.colours import COLOURS
from tfrobust.scenario import Scenario

_COLUMNS = 6
_INCHES = 1.5  # of an image's side
_DPI = 120


def image_grid(
    scenario: Scenario, split: str, path: Path | str, *, count: int = 24, seed: int = 0
) -> int:
    """Draw images of a split into a PNG, drawn at random from its first 2,000.

    Args:
        scenario: with or without boxes.
        split: of it.
        path: of the `.png`.
        count: how many images, 1 or more.
        seed: of the choice.

    Returns:
        How many were drawn.

    Raises:
        UsageError: no such split, or no images wanted.
        DataError: there are none.
        StoreError: the disk refuses.
    """
    if count < 1:
        raise UsageError(f"count: expected 1 or more; received: {count}")
    check_split(scenario, split)
    first = list(readable(scenario.load(split).take(2000).as_numpy_iterator()))
    if not first:
        raise DataError(f"split {split!r} holds no images")
    chosen = np.random.default_rng(seed).permutation(len(first))[:count]
    figure = _drawn([first[k] for k in np.sort(chosen)], scenario.class_names)
    atomic_write(Path(path), lambda beside: figure.savefig(beside, format="png", dpi=_DPI))
    return len(chosen)


def _drawn(examples: Sequence[dict[str, Any]], names: Sequence[str]) -> Figure:
    columns = min(_COLUMNS, len(examples))
    rows = -(-len(examples) // columns)
    size = (_INCHES * columns, (_INCHES + 0.25) * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for example, axis in zip(examples, axes.flat, strict=False):
        image = example["image"]
        height, width, channels = image.shape
        shown = image if channels == 3 else image.mean(axis=-1)
        edges = (0, width, height, 0)
        axis.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=edges, interpolation="nearest")
        for top, left, bottom, right in example.get("boxes", ()):
            corner = left * width, top * height
            across, down = (right - left) * width, (bottom - top) * height
            axis.add_patch(Rectangle(corner, across, down, fill=False, ec=COLOURS[1], lw=1.2))
        axis.set_title(names[int(example["label"])], fontsize=7, wrap=True)
    return figure
