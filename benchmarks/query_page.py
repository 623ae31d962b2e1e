"""The page of `benchmarks.queries`: a table, and curves against queries, a panel a measure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.tables import Row, verdict
from tfrobust.report.charts.figures import COLOURS, DASHES, as_svg


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


_HEAD = """# By how many queries

`make reference`: accuracy left within a budget, or median distance, after {grid}
queries an image, over images that the network reads rightly; lower is stronger. *Area*: the mean
over the logarithm of the queries. Below each of our attacks stand the peers', and in brackets ours
on the same images. Bars: at no number of queries worse (by more than an image, or 2 %), at least
3 × as fast a query. Milliseconds: of processor time, a query of one image at {last:,}
queries, tracing included.
"""


def table(grid: Sequence[int], found: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    numbers = [f"{queries:,}" for queries in grid]
    lines = [
        _HEAD.format(grid=", ".join(numbers), last=grid[-1]),
        "![Accuracy and distance against queries](queries.svg)\n",
        f"| attack | measure | images | {' | '.join(numbers)} | area | ms | faster | holds |",
        "|---|---|---|" + "---|" * (len(grid) + 4),
    ]
    return "\n".join([*lines, *(line(grid, row) for row in found)]) + "\n"


def line(grid: Sequence[int], row: Row) -> str:
    """Return one row."""
    same = row.get("ours") or [None] * len(grid)
    cells = [
        _number(value) + (f" ({_number(our)})" if "ours" in row else "")
        for value, our in zip(row["values"], same, strict=True)
    ]
    faster = f"{row['faster']:.1f} ×" if "faster" in row else "–"
    said = verdict(row)
    if row.get("worse"):
        said += f" (worse at {', '.join(map(str, row['worse']))})"
    return (
        f"| {row['what']} | {row['measure']} | {row['images']} | {' | '.join(cells)} "
        f"| {_number(row['area'])} | {row['ms_per_query']:.3f} | {faster} | {said} |"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
