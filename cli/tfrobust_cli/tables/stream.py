"""The table of the command `streams`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tfrobust_cli.console import stdout

if TYPE_CHECKING:
    from tfrobust.evaluation.streams.runs import StreamResults


def print_streams(results: StreamResults, *, as_json: bool) -> None:
    """Print a row for each stream, and the path of the figure.

    Args:
        results: of the run.
        as_json: print JSON.
    """
    if as_json:
        rows = [
            {
                "stream": name,
                "mean_weight": results.weights[name],
                "explained": stream.explained,
                "moved": stream.moved,
            }
            for name, stream in results.streams.items()
        ]
        print(json.dumps({"path": str(results.figure), "streams": rows}))
        return
    from rich.table import Column, Table

    table = Table(
        "stream",
        *(
            Column(title, justify="right")
            for title in ("mean |weight|", "variance shown", "moved by the attack, in σ")
        ),
    )
    for name, stream in results.streams.items():
        table.add_row(
            name, f"{results.weights[name]:.4f}", f"{stream.explained:.0%}", f"{stream.moved:.2f}"
        )
    stdout().print(table)
    print(results.figure)
