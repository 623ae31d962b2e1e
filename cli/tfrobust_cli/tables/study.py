"""What `tfrobust study` prints: costs, and claims with their figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfrobust_cli.console import stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfrobust.study.results.claims import Checked, Claimed
    from tfrobust.study.schema.study import Study

_COLOURS = {"holds": "green", "does not hold": "red"}
_NAMED = 8  # stale cells that are named


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

    columns = (["study"] if named else []) + ["scale", "cells", "finished", "stale"]
    columns += ["networks to train"]
    table = Table(*columns, "minutes in all", "minutes left")
    for line in lines:
        cells = [line["scale"], line["cells"], line["finished"], _stale(line), line["trainings"]]
        minutes = [f"{line['minutes']:.0f}", f"{line['left']:.0f}"]
        table.add_row(*([line["study"]] if named else []), *map(str, cells), *minutes)
    console = stdout()
    console.print(table)
    console.print("minutes: estimates for two cores", highlight=False)
    for line in lines:
        if line["earlier"]:
            name = f"{line['study']}, " if named else ""
            note = f"{name}scale {line['scale']}: {line['earlier']} cells of an earlier declaration"
            console.print(f"{note}, which are not used", markup=False, highlight=False)
    if any(line["stale"] or line["unknown"] for line in lines):
        note = (
            "stale: cells of other code (of unknown code); `study run --stale` computes them again"
        )
        console.print(note, highlight=False)


def _stale(line: dict[str, Any]) -> str:
    unknown = f" ({line['unknown']})" if line["unknown"] else ""
    return f"{line['stale']}{unknown}"


def print_stale(scale: str, names: Sequence[str]) -> None:
    """Print which cells of a scale are from other code than the present."""
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        text = f"stale at scale {scale}: {', '.join(names[:_NAMED])}{more}"
        stdout().print(text, markup=False, highlight=False, soft_wrap=True)


def print_claims(claims: list[Claimed]) -> None:
    """Print every claim with the figures that it was judged by, as sentences."""
    from rich.markup import escape

    from tfrobust.study.results.claims import verdict

    def marked(outcome: Claimed | Checked) -> str:
        return f"[{_COLOURS.get(verdict(outcome), 'yellow')}]{verdict(outcome)}[/]"

    console = stdout()
    for number, claim in enumerate(claims, 1):
        console.print(f"{number}. {marked(claim)}: {escape(claim.text)}", highlight=False)
        for check in claim.checks:
            if check.sentence:
                reason = f" ({check.reason})" if check.reason else ""
                text = escape(f"{check.sentence}{reason}")
                console.print(f"   {marked(check)}: {text}", highlight=False)


def as_records(claims: list[Claimed]) -> list[dict[str, Any]]:
    """Return claims as JSON values: verdicts, reasons, and the sentences of their checks."""
    from tfrobust.study.results.claims import verdict

    return [
        {
            "claim": claim.text,
            "verdict": verdict(claim),
            "holds": claim.holds,
            "in_paper": claim.in_paper,
            "checks": [
                {"verdict": verdict(check), "sentence": check.sentence, "reason": check.reason}
                for check in claim.checks
            ],
        }
        for claim in claims
    ]
