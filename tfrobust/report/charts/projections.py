"""Streams in two dimensions: small bright dots are clean images, large dark ones attacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from tfrobust.report.charts.colours import COLOURS, shaded
from tfrobust.report.charts.figures import as_svg
from tfrobust.types import Labels


def projections_figure(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]],
    labels: Labels,
    class_names: Sequence[str],
    title: str,
    *,
    heading: str = "",
) -> str:
    """Return an SVG with a panel a stream.

    Args:
        panels: stream → its clean and its attacked points, each `(n, 2)`.
        labels: `(n,)`; a colour each.
        class_names: by label, for the legend.
        title: what tells this figure's element names from another's.
        heading: above the panels, for a figure that stands alone.
    """
    figure = Figure(figsize=(4.2 * len(panels), 3.8), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for (name, (clean, attacked)), axis in zip(panels.items(), axes, strict=True):
        for number, label in enumerate(np.unique(labels)):
            bright = COLOURS[number % len(COLOURS)]
            dark = shaded(bright)
            own, called = labels == label, class_names[label]
            axis.scatter(*clean[own].T, s=6, color=bright, alpha=0.8, label=called)
            axis.scatter(*attacked[own].T, s=26, color=dark, alpha=0.55, lw=0)
        axis.set_title(name, fontsize=9)
        axis.set(xticks=[], yticks=[], xlabel="first direction of the clean images")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("second direction")
    if heading:
        figure.suptitle(heading.replace("$", r"\$"), fontsize=11)
    axes[0].legend(frameon=False, fontsize=7, title="small: clean; large: attacked",
                   title_fontsize=7)  # fmt: skip
    return as_svg(figure, title)
