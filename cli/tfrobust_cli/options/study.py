"""The options of `tfrobust study`, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfrobust_cli.completion import complete_scale, complete_study

StudyName = Annotated[
    str,
    typer.Argument(
        help="A study by name (see `study list`), or a .toml file.",
        autocompletion=complete_study,
    ),
]
StudyResults = Annotated[
    Path | None,
    typer.Option(help="Folder of finished cells; default: the study's results/."),
]

StudyOnly = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CELL", help="Compute this cell, NETWORK-CONDITION-sSEED; repeat for several."
    ),
]
StudyStale = Annotated[
    bool, typer.Option("--stale", help="Compute cells of other or unknown code again.")
]
StudyWeights = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Weights of a network: NETWORK=FILE, or a file of the name that the study gives.",
    ),
]
StudyScenarios = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", help="Option of a scenario: coco.path=DIR."),
]
StudyScale = Annotated[
    str,
    typer.Option(help="paper, laptop or smoke: see `study show`.", autocompletion=complete_scale),
]
StudyOut = Annotated[Path, typer.Option(help="Folder for the report and the trained networks.")]
OverviewOut = Annotated[Path, typer.Option(help="Folder for studies.md and studies.html.")]
