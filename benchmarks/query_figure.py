"""The figure of `benchmarks.queries`: curves against queries, one panel a measure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.tables import Row
from tfrobust.report.figures import COLOURS, DASHES, as_svg


def drawn(grid: Sequence[int], rows: Sequence[Row]) -> str:
    """Return an SVG with a row of panels for each network."""
    measures = {(row["network"], row["measure"]): [] for row in rows}
    for row in rows:
        measures[row["network"], row["measure"]].append(row)
    panels = list(measures.items())
    columns = min(3, max(1, len(panels)))
    height = -(-len(panels) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.6 * height), layout="constrained")
    for number, ((network, measure), lines) in enumerate(panels):
        axes = figure.add_subplot(height, columns, number + 1)
        contests = list(dict.fromkeys(row["contest"] for row in lines))
        for row in lines:
            colour = COLOURS[contests.index(row["contest"]) % len(COLOURS)]
            peers = [r["what"] for r in lines if r["contest"] == row["contest"]]
            dash = DASHES[peers.index(row["what"]) % len(DASHES)]
            points = [(q, v) for q, v in zip(grid, row["values"], strict=True) if v is not None]
            label = row["what"].removeprefix(f"{network}: ")
            axes.plot(*zip(*points, strict=True), dash, color=colour, marker="o", ms=3, label=label)
        axes.set_xscale("log")
        axes.set_xticks(grid, [str(queries) for queries in grid])
        axes.minorticks_off()
        axes.set_title(f"{network}: {measure}", fontsize=9)
        axes.set_xlabel("queries an image", fontsize=8)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=6)
    return as_svg(figure, "queries")
