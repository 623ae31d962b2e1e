"""`tfrobust streams`: how much each stream of a fusion weighs, and what an attack does to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.errors import UsageError
from tfrobust_cli.arguments import Parameters, check_known, scenario_plugins
from tfrobust_cli.console import say, start_tensorflow, stdout
from tfrobust_cli.load_options import loads_classifiers, notices
from tfrobust_cli.opening import opened
from tfrobust_cli.options import (
    MOST,
    Classifier,
    Force,
    Json,
    Out,
    Params,
    Scenario,
    Seed,
    names_of,
)

if TYPE_CHECKING:
    from tfrobust.evaluation.streams import Projected


@loads_classifiers
def streams(
    classifier: Classifier,
    out: Out,
    scenario: Scenario = "digits",
    attack: Annotated[
        str, typer.Option(help="An attack plugin.", autocompletion=names_of("attacks"))
    ] = "fgsm",
    crafted_on: Annotated[
        str | None, typer.Option(help="The stream that the attack sees; none: the whole.")
    ] = None,
    param: Params = None,
    images: Annotated[
        int, typer.Option(help="At most, of the first five classes.", min=3, max=MOST)
    ] = 150,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    *,
    loading: LoadOptions,
) -> None:
    """Show the streams that a fused classifier decides by.

    Writes streams.svg: each stream's features in two dimensions, clean and attacked.

    Example: [bold]tfrobust streams fused --scenario digits_in_places --attack box_blur
    --out runs/streams[/]
    """
    named = [("attacks", attack), *scenario_plugins(scenario)]
    check_known(named)
    start_tensorflow()
    from tfrobust.classifiers.members import member_of
    from tfrobust.evaluation.streams import Streamed, projected, some_attacked
    from tfrobust.files.atomic import atomic_write
    from tfrobust.files.output_folders import output_folder
    from tfrobust.pipeline.reload import network_of, why_served
    from tfrobust.report.projections import projections_figure

    params = Parameters(param, named)
    built = params.build("attacks", attack)
    network = network_of(classifier, loading)
    for line in notices({classifier: network}):
        say(line)
    if not isinstance(network, Streamed):
        raise UsageError(
            why_served(network)
            or f"{classifier}: expected a classifier that decides by several streams, as "
            "contextual_fusion trains one here"
        )
    seen = member_of(network, crafted_on, classifier) if crafted_on else network
    data = opened(scenario, params, seed=seed)
    with output_folder(out, force=force):
        clean, attacked, labels = some_attacked(
            built, seen, data, images, seed=seed, called=classifier
        )
        found = projected(network, clean, attacked)
        panels = {name: (each.clean, each.attacked) for name, each in found.items()}
        seen_by = f", crafted on {crafted_on}" if crafted_on else ""
        title = f"Streams of {classifier}, clean and under {attack}{seen_by}"
        figure = out / "streams.svg"
        drawn = projections_figure(panels, labels, data.class_names, title, heading=title)
        atomic_write(figure, lambda beside: beside.write_text(drawn, encoding="utf-8"))
    _print(network.mean_weights(), found, str(figure), as_json=as_json)


def _print(
    weights: dict[str, float], found: dict[str, Projected], path: str, *, as_json: bool
) -> None:
    rows: list[dict[str, Any]] = [
        {
            "stream": name,
            "mean_weight": weights[name],
            "explained": each.explained,
            "moved": each.moved,
        }
        for name, each in found.items()
    ]
    if as_json:
        print(json.dumps({"path": path, "streams": rows}))
        return
    from rich.table import Table

    table = Table()
    for title in ("stream", "mean |weight|", "variance shown", "moved by the attack, in σ"):
        table.add_column(title, justify="left" if title == "stream" else "right")
    for row in rows:
        table.add_row(
            row["stream"],
            f"{row['mean_weight']:.4f}",
            f"{row['explained']:.0%}",
            f"{row['moved']:.2f}",
        )
    stdout().print(table)
    print(path)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("streams")(streams)
