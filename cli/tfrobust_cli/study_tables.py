"""What `tfrobust study` prints: costs, and claims with their figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfrobust_cli.console import stdout

if TYPE_CHECKING:
    from tfrobust.study.results.claims import Claimed
    from tfrobust.study.schema.study import Study

_COLOURS = {True: "green", False: "red", None: "yellow"}


def print_study(study: Study) -> None:
    """Print a study's question, networks, conditions and claims."""
    from rich.markup import escape

    console = stdout()
    console.print(f"[bold]{escape(study.title)}[/]")
    console.print(study.about.strip() + "\n", markup=False, highlight=False)
    networks = ", ".join(network.title for network in study.networks.values())
    conditions = ", ".join(condition.title for condition in study.conditions.values())
    console.print(f"networks: {networks}\nconditions: {conditions}", markup=False, highlight=False)
    for number, claim in enumerate(study.claims, 1):
        console.print(f"claim {number}: {claim.text}", markup=False, highlight=False)


def print_costs(lines: list[dict[str, Any]], *, named: bool) -> None:
    """Print a line for each scale, with the study's name where there are several studies."""
    from rich.table import Table

    columns = (["study"] if named else []) + ["scale", "cells", "finished", "networks to train"]
    table = Table(*columns, "minutes in all", "minutes left")
    for line in lines:
        cells = [line["scale"], line["cells"], line["finished"], line["trainings"]]
        minutes = [f"{line['minutes']:.0f}", f"{line['left']:.0f}"]
        table.add_row(*([line["study"]] if named else []), *map(str, cells), *minutes)
    console = stdout()
    console.print(table)
    console.print("minutes: estimates for two cores", highlight=False)


def print_claims(claims: list[Claimed]) -> None:
    """Print every claim; with its checks and figures if the scale has all cells that they need."""
    from rich.markup import escape

    from tfrobust.study.results.claims import verdict

    def marked(outcome: Any) -> str:
        return f"[{_COLOURS[outcome.holds]}]{verdict(outcome)}[/]"

    console = stdout()
    for number, claim in enumerate(claims, 1):
        console.print(f"{number}. {marked(claim)}: {escape(claim.text)}", highlight=False)
        for check in claim.checks if claim.asked else []:
            numbers = ", ".join(f"{name} {figure}" for name, figure in check.numbers.items())
            text = escape(f"{check.what}. {numbers}")
            console.print(f"   {marked(check)}: {text}", highlight=False)
