"""Attacks before a network was retrained, and again after: what has it learned that lasts."""

from __future__ import annotations

from tfrobust.report.tables import Row, Table, attack_title
from tfrobust.results.attack_records import AttackResult
from tfrobust.results.records import Evaluation, Results


def reattack_table(results: Results) -> Table | None:
    """Return fooling ratios before and after: a row a classifier and attack.

    Returns:
        `None` where nothing was attacked again: see `tfrobust.evaluation.reattack`.
    """
    by_name = {evaluation.classifier.name: evaluation for evaluation in results.evaluations}
    sections = []
    rejects = any(a.rejected is not None for e in results.evaluations for a in e.attacks)
    for evaluation in results.evaluations:
        rows = _rows(evaluation, by_name, rejects)
        if rows:
            sections.append(rows)
    if not sections:
        return None
    return Table(
        title="Attacked again: share of images whose prediction changes (fooling ratio)",
        columns=(
            "classifier",
            "attack",
            "fooled before",
            "right on those images",
            *(("put into a new class",) if rejects else ()),
            "fooled again",
        ),
        sections=sections,
        caption="before: the classifier that the attack was crafted on; again: white-box; where an "
        "attack finds nothing, the image stays as it was",
    )


def _rows(evaluation: Evaluation, by_name: dict[str, Evaluation], rejects: bool) -> list[Row]:
    own = {_key(attack): attack for attack in evaluation.attacks if attack.crafted_on is None}
    rows: list[Row] = []
    for number, attack in enumerate(evaluation.attacks):
        before, again = by_name.get(attack.crafted_on or ""), own.get(_key(attack))
        if before is None or again is None or before is evaluation:
            continue
        rows.append(
            (
                evaluation.classifier.name,
                attack_title(again),
                f"{before.attacks[number].fooling_ratio:.1%}",
                f"{attack.accuracy:.1%}",
                *((_rejected(attack),) if rejects else ()),
                f"{again.fooling_ratio:.1%}",
            )
        )
    return rows


def _rejected(attack: AttackResult) -> str:
    return "–" if attack.rejected is None else f"{attack.rejected:.1%}"


def _key(attack: AttackResult) -> tuple[str, str]:
    return attack.name, repr(attack.params)
