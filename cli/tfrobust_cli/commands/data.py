"""`tfrobust data`: prepare datasets, and look at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tfrobust.errors import UsageError
from tfrobust_cli.app import App
from tfrobust_cli.arguments import Parameters, check_known, scenario_plugins
from tfrobust_cli.console import Reporter, start_tensorflow, stderr
from tfrobust_cli.opening import opened
from tfrobust_cli.options.declared import Json, Params, Seed, Split, names_of

_Name = Annotated[
    str,
    typer.Argument(
        help="A scenario: tiny_imagenet, cifar10, cifar10+fog.3.",
        autocompletion=names_of("scenarios"),
    ),
]


app = App(help="Prepare and show datasets.")


@app.command("prepare")
def prepare(
    name: _Name,
    archive: Annotated[
        Path | None, typer.Option(help="The official archive; default: download it.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="Expected SHA-256 of the archive, in hexadecimal.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse broken images instead of leaving them out.")
    ] = False,
    param: Params = None,
    as_json: Json = False,
) -> None:
    """Prepare a dataset in TFDS_DATA_DIR, from its archive or by a download.

    Example: [bold]tfrobust data prepare tiny_imagenet --archive tiny-imagenet-200.zip[/]
    """
    named = scenario_plugins(name)
    check_known(named)
    start_tensorflow()
    from tfrobust.data.names import open_scenario
    from tfrobust.data.telling import told_to

    scenario = open_scenario(name, Parameters(param, named).all())
    with Reporter() as reporter, told_to(reporter):
        prepared = scenario.prepare(archive, sha256=sha256, strict=strict)
    if as_json:
        shown = {
            "folder": str(prepared.folder),
            "images": prepared.images,
            "skipped": prepared.skipped,
        }
        print(json.dumps(shown, indent=1))
        return
    for image in prepared.skipped[:5]:
        stderr().print(f"left out: {image}", markup=False, highlight=False)
    if len(prepared.skipped) > 5:
        stderr().print(f"left out in all: {len(prepared.skipped)}", highlight=False)
    counts = ", ".join(f"{count:,} {split}" for split, count in prepared.images.items())
    print(f"{prepared.folder}  {counts}")


@app.command("show")
def show(
    name: _Name,
    out: Annotated[Path, typer.Option(help="The picture to write, a .png file.")],
    split: Split = "test",
    count: Annotated[int, typer.Option(help="Number of images.", min=1, max=600)] = 24,
    param: Params = None,
    seed: Seed = 0,
) -> None:
    """Draw some images with their labels and boxes.

    Example: [bold]tfrobust data show tiny_imagenet --out grid.png[/]
    """
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out: expected a .png; received: {str(out)!r}")
    named = scenario_plugins(name)
    check_known(named)
    start_tensorflow()
    from tfrobust.report.grid import image_grid

    scenario = opened(name, Parameters(param, named), seed=seed)
    image_grid(scenario, split, out, count=count, seed=seed)
    print(out)


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="data")
