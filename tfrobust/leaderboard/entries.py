"""Entries of a leaderboard: what one evaluation says of a classifier at each of its budgets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np

from tfrobust.leaderboard.conditions import Conditions, rounded
from tfrobust.leaderboard.known import best_certificate, check_proven, last_diagnosis
from tfrobust.leaderboard.model_info import model_info
from tfrobust.leaderboard.reading import Material, Run
from tfrobust.leaderboard.records import Attacked, Entry
from tfrobust.report.tables import attack_title
from tfrobust.results.attack_records import AttackResult
from tfrobust.results.kinds import KINDS, kind_of, right_after
from tfrobust.results.proportions import Proportion
from tfrobust.results.records import Evaluation
from tfrobust.types import Flags, Norm


def entries_of(run: Run, material: Material) -> Iterator[tuple[Conditions, Entry]]:
    """Yield an entry for each classifier of a run and each budget, and how it was evaluated.

    Args:
        run: read.
        material: diagnoses and certifications of the same classifier and ball are shown beside.

    Raises:
        UsageError: attacks leave less of a classifier than a certification of it has proven.
    """
    for number, evaluation in enumerate(run.results.evaluations):
        if evaluation.scenario.shift is not None and run.results.corruptions:
            continue  # the corruptions of a suite have a page of their own
        for norm, eps in dict.fromkeys(_budgets(evaluation)):
            conditions = _conditions(run, evaluation, norm, eps)
            yield conditions, _entry(run, number, evaluation, conditions, material)


def _budgets(evaluation: Evaluation) -> Iterator[tuple[Norm, float]]:
    budgets = list(filter(None, map(_budget, evaluation.attacks)))
    yield from budgets or filter(None, map(_budget, evaluation.adaptive))


def _budget(attack: AttackResult) -> tuple[Norm, float] | None:
    eps, norm = attack.params.get("eps"), attack.threat.norm
    if eps is None or not eps > 0 or norm is None or attack.corrective:
        return None
    return norm, rounded(eps)


def _conditions(run: Run, evaluation: Evaluation, norm: Norm, eps: float) -> Conditions:
    scenario = evaluation.scenario
    shift = f"+{scenario.shift}" if scenario.shift else ""
    return Conditions(
        scenario=scenario.name + shift,
        split=scenario.split,
        norm=norm,
        eps=eps,
        images=scenario.images,
        seed=scenario.seed,
        labels=hashlib.sha256(run.outcomes.column("label").astype("<i8").tobytes()).hexdigest(),
        attacks=_options_by_title(evaluation, norm, eps),
    )


def _options_by_title(evaluation: Evaluation, norm: Norm, eps: float) -> dict[str, str]:
    """Return the options of the attacks at a budget; of two of one title, those of both."""
    options: dict[str, list[str]] = {}
    for attack in evaluation.attacks:
        if _budget(attack) == (norm, eps):
            known = json.dumps(attack.params | {"eps": eps}, sort_keys=True)
            options.setdefault(_title(attack), []).append(known)
    return {title: "; ".join(sorted(several)) for title, several in options.items()}


def _entry(
    run: Run,
    number: int,
    evaluation: Evaluation,
    conditions: Conditions,
    material: Material,
) -> Entry:
    clean = run.outcomes.column(f"e{number}_clean") == run.outcomes.column("label")
    attacked = list(_attacked(run, number, evaluation, conditions))
    classifier = evaluation.classifier
    entry = Entry(
        classifier=classifier.name,
        run=str(run.folder),
        number=number,
        defenses=[defense.name for defense in classifier.defenses],
        megabytes=classifier.megabytes,
        passes=classifier.passes,
        clean=evaluation.clean,
        worst={
            kind: _proportion(clean, [left for line, left in attacked if line.kind == kind])
            for kind in KINDS
            if any(line.kind == kind for line, _ in attacked)
        },
        robust=_proportion(clean, [left for _, left in attacked]),
        certified=best_certificate(evaluation, conditions, material.certifications),
        attacks=[line for line, _ in attacked],
        knows=_knows(evaluation),
        diagnosed=last_diagnosis(classifier, conditions, material.diagnoses),
    )
    check_proven(entry)
    autoattack = _autoattack(evaluation, conditions)
    info = model_info(entry, conditions.scenario, conditions.eps, autoattack)
    return entry.model_copy(update={"model_info": info})


def _autoattack(evaluation: Evaluation, conditions: Conditions) -> Proportion | None:
    """Return the accuracy under the standard version of AutoAttack, if that was run."""
    for attack in evaluation.attacks:
        standard = attack.params.get("version", "standard") == "standard"
        if attack.name == "autoattack" and standard and _is_at(attack, conditions):
            return attack
    return None


def _is_at(attack: AttackResult, conditions: Conditions) -> bool:
    return _budget(attack) == (conditions.norm, conditions.eps)


def _attacked(
    run: Run, number: int, evaluation: Evaluation, conditions: Conditions
) -> Iterator[tuple[Attacked, Flags]]:
    """Yield each attack at the budget, and which images are right before and after it."""
    for attack, left in right_after(run.outcomes, number, evaluation):
        if _is_at(attack, conditions):
            line = Attacked(
                title=_title(attack),
                kind=kind_of(attack, evaluation.classifier.name),
                accuracy=attack.accuracy,
                interval=attack.interval,
                gradients_per_image=attack.gradients_per_image,
                queries_per_image=attack.queries_per_image,
            )
            yield line, left


def _title(attack: AttackResult) -> str:
    return attack_title(attack).replace("  ", " ")


def _proportion(clean: Flags, left: Sequence[Flags]) -> Proportion:
    return Proportion.of(np.logical_and.reduce([clean, *left]))


def _knows(evaluation: Evaluation) -> bool | None:
    """Tell whether attacks that know the defences were run; `None`: its defences declare none."""
    if evaluation.adaptive:
        return True
    return False if any(d.adaptive for d in evaluation.classifier.defenses) else None
