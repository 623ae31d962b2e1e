"""Options of `tfrobust evaluate` alone, and which of them exclude each other."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tfrobust.errors import UsageError
from tfrobust_cli.arguments import Suite, classifiers, names_of

Attacks = Annotated[
    list[str] | None,
    typer.Option("--attack", help="Repeat for several.", autocompletion=names_of("attacks")),
]
SuiteName = Annotated[
    Suite | None,
    typer.Option(
        help="Attacks: fast for a first look, or standard. Or corruptions: no attack, but fifteen "
        "corruptions of the images at five severities, and the mean corruption error."
    ),
]
Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Show what mere noise does as well.")
]
Detectors = Annotated[
    list[str] | None,
    typer.Option("--detector", help="Repeat for several.", autocompletion=names_of("detectors")),
]
Budgets = Annotated[
    list[float] | None, typer.Option("--eps", help="Budget of every attack; repeat for a curve.")
]
Counts = Annotated[
    list[int] | None,
    typer.Option("--count", help="Generations of every pixel noise; repeat for a curve."),
]
CraftedOn = Annotated[str | None, typer.Option(help="Attack this classifier instead (transfer).")]
Reattack = Annotated[
    bool,
    typer.Option(
        "--reattack",
        help="With --crafted-on OLD: judge OLD too, and attack the others again white-box: fooling "
        "ratios before and after a retraining.",
    ),
]
NormaliseBy = Annotated[
    str | None,
    typer.Option(
        help="Divide errors under corruptions by this classifier's.", autocompletion=classifiers
    ),
]


def check_suite(suite: Suite | None, normalise_by: str | None, **attacking: Any) -> None:
    """Refuse options that the suite has no use for.

    Args:
        suite: the one that was named.
        normalise_by: means something for the suite `corruptions` alone.
        **attacking: options that mean something for attacks alone.

    Raises:
        UsageError: names them.
    """
    if suite is not Suite.CORRUPTIONS:
        if normalise_by:
            raise UsageError("--normalise-by: only --suite corruptions has errors to divide")
        return
    given = [f"--{name.replace('_', '-')}" for name, value in attacking.items() if value]
    if given:
        raise UsageError(
            f"--suite corruptions: shifts the images and attacks none; leave out {', '.join(given)}"
            ", or evaluate attacks in a run of their own"
        )
