"""Entries of a leaderboard: what one evaluation says of a classifier at each of its budgets."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np

from tfrobust.leaderboard.model_info import model_info
from tfrobust.leaderboard.reading import Run
from tfrobust.leaderboard.records import Attacked, Certified, Diagnosed, Entry
from tfrobust.report.tables import attack_title
from tfrobust.results.diagnosis import Diagnosis
from tfrobust.results.kinds import KINDS, kind_of, right_after
from tfrobust.results.metrics import share, wilson
from tfrobust.results.records import AttackResult, Evaluation, Proportion
from tfrobust.types import Flags, Norm

_DIGITS = 8  # of a budget: more are how somebody rounded it


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What has to be alike where classifiers are ranked.

    Attributes:
        scenario: with its shift.
        split: of it.
        norm: of the ball.
        eps: its radius.
        images: how many.
        seed: of the attacks.
        labels: a hash of those of the images.
        attacks: of all classifiers, with their options: title → options.
    """

    scenario: str
    split: str
    norm: Norm
    eps: float
    images: int
    seed: int
    labels: str
    attacks: dict[str, str]

    @property
    def board(self) -> tuple[str, str, Norm, float]:
        """What a board is called by; what else differs makes it unfair."""
        return self.scenario, self.split, self.norm, self.eps


def entries_of(run: Run, diagnoses: Sequence[Diagnosis]) -> Iterator[tuple[Conditions, Entry]]:
    """Yield an entry for each classifier of a run and each budget, and how it was evaluated.

    Args:
        run: read.
        diagnoses: of any classifiers; those of the same classifier and ball are shown beside.
    """
    for number, evaluation in enumerate(run.results.evaluations):
        if evaluation.scenario.shift is not None and run.results.corruptions:
            continue  # the corruptions of a suite have a page of their own
        for norm, eps in dict.fromkeys(_budgets(evaluation)):
            conditions = _conditions(run, evaluation, norm, eps)
            yield conditions, _entry(run, number, evaluation, conditions, diagnoses)


def _budgets(evaluation: Evaluation) -> Iterator[tuple[Norm, float]]:
    budgets = list(filter(None, map(_budget, evaluation.attacks)))
    yield from budgets or filter(None, map(_budget, evaluation.adaptive))


def _budget(attack: AttackResult) -> tuple[Norm, float] | None:
    eps, norm = attack.params.get("eps"), attack.threat.norm
    if eps is None or not eps > 0 or norm is None or attack.corrective:
        return None
    return norm, float(f"{eps:.{_DIGITS}g}")


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
        attacks={
            _title(attack): json.dumps(attack.params | {"eps": eps}, sort_keys=True)
            for attack in evaluation.attacks
            if _budget(attack) == (norm, eps)
        },
    )


def _entry(
    run: Run,
    number: int,
    evaluation: Evaluation,
    conditions: Conditions,
    diagnoses: Sequence[Diagnosis],
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
        certified=_certified(evaluation, conditions),
        attacks=[line for line, _ in attacked],
        knows=_knows(evaluation),
        diagnosed=_diagnosed(evaluation, conditions, diagnoses),
    )
    autoattack = _autoattack(evaluation, conditions)
    info = model_info(entry, conditions.scenario, conditions.eps, autoattack)
    return entry.model_copy(update={"model_info": info})


def _certified(evaluation: Evaluation, conditions: Conditions) -> Certified | None:
    """Return the certificate that proves most at the budget; what an attack contradicts, none."""
    proven = [
        Certified(
            accuracy=within.accuracy,
            interval=within.interval,
            certifier=certificate.name,
            confidence=certificate.confidence,
        )
        for certificate in evaluation.certificates
        if certificate.norm == conditions.norm and not certificate.contradictions
        for within in certificate.within
        if float(f"{within.eps:.{_DIGITS}g}") == conditions.eps
    ]
    return max(proven, key=lambda certified: certified.accuracy, default=None)


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
    right = np.logical_and.reduce([clean, *left])
    return Proportion(accuracy=share(right), interval=wilson(int(right.sum()), len(right)))


def _knows(evaluation: Evaluation) -> bool | None:
    """Tell whether attacks that know the defences were run; `None`: its defences declare none."""
    if evaluation.adaptive:
        return True
    return False if any(d.adaptive for d in evaluation.classifier.defenses) else None


def _diagnosed(
    evaluation: Evaluation, conditions: Conditions, diagnoses: Sequence[Diagnosis]
) -> Diagnosed | None:
    """Return what the last diagnosis of this classifier and ball says.

    One of an attack that somebody named tells of that attack, and one with a detector of another
    classifier.
    """
    classifier = evaluation.classifier
    carried = [(defense.name, defense.params) for defense in classifier.defenses]
    for diagnosis in reversed(diagnoses):
        shift = f"+{diagnosis.shift}" if diagnosis.shift else ""
        ball = diagnosis.norm, float(f"{diagnosis.eps:.{_DIGITS}g}")
        board = (diagnosis.scenario + shift, diagnosis.split, *ball)
        same = [(defense.name, defense.params) for defense in diagnosis.defenses] == carried
        named = diagnosis.classifier == classifier.name
        if same and named and board == conditions.board and not diagnosis.chosen:
            return Diagnosed(
                verdict=diagnosis.verdict,
                causes=diagnosis.causes,
                lowest=diagnosis.lowest,
                images=diagnosis.images,
            )
    return None
