"""From audits to figures: the lines of `results.json` and the rows of `outcomes.npz`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.run import Crafted
from tfrobust.engine.victim import FirstGradients
from tfrobust.evaluation.audit import Audit, audit
from tfrobust.evaluation.gradient_warnings import gradient_warnings
from tfrobust.evaluation.settings import EvaluationInputs
from tfrobust.records import (
    NORMS,
    AttackResult,
    BudgetedWorstCase,
    ClassifierRecord,
    Evaluation,
    GradientShares,
    Proportion,
    ScenarioRecord,
    Spread,
    ThreatRecord,
)
from tfrobust.registry import signature
from tfrobust.results import metrics
from tfrobust.types import Flags, Images, Labels


@dataclasses.dataclass(frozen=True)
class Subject:
    """A classifier under judgement.

    Attributes:
        name: in
        classifier: itself.
        clean: int64 `(n,)`: what it predicts for the evaluation's clean images.
    """

    name: str
    classifier: Classifier
    clean: Labels


@dataclasses.dataclass(frozen=True)
class Attacked:
    """One attack on one classifier, judged.

    Attributes:
        attack: with its options.
        examples: what it made of the evaluation's examples.
        images: all it made, `(n, height, width, channels)`; none unless they are kept.
        audit: the fate of each.
        survivors: bool `(n,)`: right before and after; after one that helps, right then.
        fooled: bool `(n,)`: right before, and the attack reached its goal.
        result: the line of `results.json`.
    """

    attack: Attack
    examples: Images
    images: Images
    audit: Audit
    survivors: Flags
    fooled: Flags
    result: AttackResult

    def without_images(self) -> Attacked:
        """Return the same without the images, which take memory."""
        return dataclasses.replace(self, images=np.empty_like(self.images[:0]))


def audit_attack(
    inputs: EvaluationInputs, subject: Subject, attack: Attack, crafted: Crafted
) -> Attacked:
    """Audit what an attack made, and work out its figures."""
    audited = audit(
        subject.classifier,
        attack,
        inputs.images,
        inputs.labels,
        crafted.images,
        clean=subject.clean,
        targets=crafted.targets,
        boxes=inputs.boxes,
        batch_size=inputs.settings.batch_size,
    )
    fooled = audited.success & left_to_do(attack, subject.clean, inputs.labels)
    # A slice of none would be a view, and keep all of them in memory.
    kept = crafted.images if inputs.keeps_images else np.empty_like(crafted.images[:0])
    return Attacked(
        attack=attack,
        examples=crafted.images[inputs.examples],
        images=kept,
        audit=audited,
        survivors=_survivors(inputs, subject, attack, audited),
        fooled=fooled,
        result=_attack_result(inputs, subject, attack, crafted, audited),
    )


def _attack_result(
    inputs: EvaluationInputs,
    subject: Subject,
    attack: Attack,
    crafted: Crafted,
    audited: Audit,
) -> AttackResult:
    """Return the line of `results.json`."""
    count, known = len(inputs.labels), inputs.settings.scenario.num_classes
    to_do = left_to_do(attack, subject.clean, inputs.labels)
    rate = metrics.success_rate(audited.success, to_do)
    new_classes = subject.classifier.num_classes > known
    return AttackResult(
        **signature(attack),
        **dict(proportion(_survivors(inputs, subject, attack, audited))),
        threat=ThreatRecord(**dataclasses.asdict(attack.threat)),
        minimum_norm=attack.minimum_norm,
        corrective=attack.corrective,
        crafted_on=inputs.settings.crafted_on_name,
        success_rate=None if np.isnan(rate) else rate,
        fooling_ratio=metrics.fooling_ratio(audited.prediction, subject.clean),
        distance={
            norm: Spread(**metrics.summary(audited.distance[norm][audited.success & to_do]))
            for norm in NORMS
        },
        gradients=gradient_shares(crafted.first),
        gradients_per_image=crafted.gradients / count,
        queries_per_image=crafted.queries / count,
        violations=int(audited.violation.sum()),
        rejected=metrics.share(audited.prediction >= known) if new_classes else None,
        seconds=round(crafted.seconds, 3),
    )


def _survivors(inputs: EvaluationInputs, subject: Subject, attack: Attack, audited: Audit) -> Flags:
    """Return which images count as right, bool `(n,)`."""
    if attack.corrective:
        return audited.prediction == inputs.labels
    return metrics.survivors(audited.prediction, subject.clean, inputs.labels)


def left_to_do(attack: Attack, clean: Labels, labels: Labels) -> Flags:
    """Return the images that leave an attack anything to do, bool `(n,)`.

    What was wrong before needs no change: its distance of zero says nothing.

    Args:
        attack: hostile, or one that helps.
        clean: int64 `(n,)`: what is predicted for the clean images.
        labels: int64 `(n,)`.
    """
    return clean != labels if attack.corrective else clean == labels


def gradient_shares(first: FirstGradients) -> GradientShares | None:
    """Return the shares of images without a gradient; `None` of an attack that asked for none."""
    if not first.images:
        return None
    zero, non_finite = first.zero / first.images, first.non_finite / first.images
    return GradientShares(zero=zero, non_finite=non_finite)


def proportion(right: Flags) -> Proportion:
    """Return the share of true flags with its interval."""
    interval = metrics.wilson(int(right.sum()), len(right))
    return Proportion(accuracy=metrics.share(right), interval=interval)


def summarize(
    inputs: EvaluationInputs,
    subject: Subject,
    scenario: ScenarioRecord,
    attacked: Sequence[Attacked],
) -> Evaluation:
    """Return one classifier's part of `results.json`."""
    classifier = subject.classifier
    right = subject.clean == inputs.labels
    hostile = [each for each in attacked if not each.attack.corrective]
    known = inputs.settings.scenario.class_names
    return Evaluation(
        classifier=ClassifierRecord(
            name=subject.name,
            path=classifier.source,
            num_classes=classifier.num_classes,
            image_shape=classifier.image_shape,
            defenses=list(classifier.defenses),
            class_names=(*known, *classifier.class_names[len(known) :]) if attacked else (),
        ),
        scenario=scenario,
        clean=proportion(right),
        attacks=[each.result for each in attacked],
        worst_case=proportion(_all_survive(right, bounded(hostile))),
        worst_case_by_budget=_worst_by_budget(right, hostile),
        warnings=gradient_warnings(subject.name, [each.result for each in attacked]),
    )


def bounded(attacked: Sequence[Attacked]) -> Sequence[Attacked]:
    """Return the attacks that count for the worst case: those with a budget, if any has one.

    A minimum-norm attack without budget breaks every image sooner or later. What it tells is the
    distance; the worst case would be zero beside it, always.
    """
    limited = [a for a in attacked if not (a.attack.minimum_norm and a.attack.budget is None)]
    return limited or attacked


def _all_survive(right: Flags, attacked: Iterable[Attacked]) -> Flags:
    return np.logical_and.reduce([right, *(each.survivors for each in attacked)])


def _worst_by_budget(right: Flags, attacked: Sequence[Attacked]) -> list[BudgetedWorstCase]:
    """Return the worst case at each budget of every norm that was tried at several."""
    budgets: dict[str, set[float]] = {}
    for each in attacked:
        if each.attack.threat.norm and each.attack.budget is not None:
            budgets.setdefault(each.attack.threat.norm, set()).add(each.attack.budget)
    return [
        BudgetedWorstCase(
            norm=norm,
            eps=eps,
            **dict(proportion(_all_survive(right, _within(norm, eps, attacked)))),
        )
        for norm, several in budgets.items()
        if len(several) > 1
        for eps in sorted(several)
    ]


def _within(norm: str, eps: float, attacked: Sequence[Attacked]) -> list[Attacked]:
    return [
        each
        for each in attacked
        if each.attack.threat.norm == norm
        and each.attack.budget is not None
        and each.attack.budget <= eps
    ]


def outcome_rows(number: int, clean: Labels, attacked: Sequence[Attacked]) -> dict[str, np.ndarray]:
    """Return evaluation `number`'s part of `outcomes.npz`.

    Args:
        number: of the evaluation.
        clean: int64 `(images,)`: predictions for the clean images.
        attacked: in the order of the result's `attacks`; each becomes a row `(images,)`.
    """
    audits = [each.audit for each in attacked]
    table = {
        "clean": clean,
        "prediction": _rows([a.prediction for a in audits], len(clean), np.int64),
        "success": _rows([a.success for a in audits], len(clean), np.bool_),
        "reached": _rows([a.reached for a in audits], len(clean), np.bool_),
    }
    for norm in NORMS:
        table[norm] = _rows([a.distance[norm] for a in audits], len(clean), np.float32)
    for k, each in enumerate(attacked):
        table[f"example_a{k}"] = each.examples
    return {f"e{number}_{key}": value for key, value in table.items()}


def _rows(rows: Sequence[np.ndarray], count: int, dtype: type[np.generic]) -> np.ndarray:
    return np.stack(rows).astype(dtype) if rows else np.zeros((0, count), dtype)
