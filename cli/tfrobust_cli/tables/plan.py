"""What `tfrobust plan` prints: one table, with what was measured left of what is projected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tfrobust.environment.durations import duration
from tfrobust_cli.console import stdout

if TYPE_CHECKING:
    from rich.table import Table

    from tfrobust.evaluation.planning.records import Plan, Step


def print_plan(plan: Plan, *, as_json: bool = False) -> None:
    """Print a plan as a table, or as JSON."""
    if as_json:
        # Spelled in ASCII: a stream of another encoding would break what scripts are to read.
        print(json.dumps(plan.model_dump(mode="json"), indent=1))
        return
    console = stdout()
    console.print(_table(plan))
    for line in _lines(plan):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(plan: Plan) -> Table:
    from rich.table import Table
    from rich.text import Text

    several = len({step.classifier for step in plan.steps}) > 1
    table = Table(title=f"{plan.images:,} images of {plan.scenario}, {plan.split}")
    table.add_column("attack")
    for title in ("gradients", "passes", "overhead", "ms"):
        table.add_column(f"measured\n{title}", justify="right")
    for projection in plan.projections:
        table.add_column(f"projected\non {projection.devices:,}", justify="right")
    for number, step in enumerate(plan.steps):
        title = f"{step.classifier}: {step.title}" if several else step.title
        times = [duration(projection.steps[number]) for projection in plan.projections]
        table.add_row(*map(Text, [title, *_measured(step), *times]))
    reading = [duration(projection.reading) for projection in plan.projections]
    milliseconds = f"{1e3 * plan.reading.per_image:.3g}"
    table.add_row("reading", "", "", "", milliseconds, *reading)
    table.add_section()
    totals = [duration(projection.seconds) for projection in plan.projections]
    table.add_row("all", "", "", "", "", *totals, style="bold")
    return table


def _measured(step: Step) -> list[str]:
    overhead = f"{step.overhead:.2f}" if step.attack else ""
    return [
        f"{step.gradients:,.1f}",
        f"{step.passes:,.1f}",
        overhead,
        f"{1e3 * step.seconds_per_image:.3g}",
    ]


def _lines(plan: Plan) -> list[str]:
    tried = max(step.images for step in plan.steps)
    lines = [
        f"measured on this device ({plan.device}) in {duration(plan.seconds)}, with up to {tried} "
        "images: gradients, passes, overhead and milliseconds of an image",
    ]
    for rates in plan.rates:
        full = rates.full
        backward = ""
        if full.backward is not None:
            backward = f", {1e3 * full.backward:.3g} ms more with its gradient"
        lines.append(
            f"  {rates.classifier}: {1e3 * full.forward:.3g} ms a forward pass{backward}, at "
            f"{full.batch_size} images at a time"
        )
    starts = sum(step.start for step in plan.steps)
    learning = sum(step.learning for step in plan.steps)
    blocks = "1 block" if plan.blocks == 1 else f"{plan.blocks:,} blocks"
    lines.append(
        f"projected on devices as fast as this one: {blocks} of up to {plan.block_size:,} images, "
        f"{duration(starts)} of tracing a device"
        + (f", {duration(learning)} of learning once" if learning else "")
    )
    lines.append(
        f"  images are held a block at a time: those of a block take {plan.megabytes:.3g} MB"
    )
    lines.append(
        "  not in it: starting TensorFlow, loading classifiers, writing the report, the network "
        "between machines"
    )
    return lines
