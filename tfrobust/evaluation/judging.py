"""From audits to figures: the lines of `results.json` and the rows of `outcomes.npz`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE
from tfrobust.engine.run import Crafted
from tfrobust.evaluation import metrics, results
from tfrobust.evaluation.audit import Audit, audit
from tfrobust.evaluation.gradient_warnings import gradient_warnings
from tfrobust.registry import signature
from tfrobust.scenario import Scenario
from tfrobust.types import Boxes, Flags, Images, Labels, TargetRule

Progress = Callable[[str, int, int], None]  # what, images done, images in all


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is the same for every classifier and attack of one evaluation.

    Attributes:
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        scenario: where the images come from; attacks and detectors learn from its training split.
        crafted_on: name and classifier that the attacks see instead of the judged one (transfer).
        targets: for targeted attacks, the classes to reach or the rule that picks them.
        seed: decides everything random.
        batch_size: images at a time.
        keep_images: keep all that every attack makes, for a detector or a file.
        progress: told how far an attack is.
        boxes: float32 `(n, most, 4)`, if an attack needs them; see `tfrobust.data.boxes.padded`.
    """

    images: Images
    labels: Labels
    scenario: Scenario
    crafted_on: tuple[str, Classifier] | None = None
    targets: Labels | TargetRule = "least_likely"
    seed: int = 0
    batch_size: int = BATCH_SIZE
    keep_images: bool = False
    progress: Progress | None = None
    boxes: Boxes | None = None

    @functools.cached_property
    def examples(self) -> np.ndarray:
        """The indices of the images whose adversarial versions every result keeps."""
        return choose_examples(self.labels)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A classifier under judgement.

    Attributes:
        name: in results.
        classifier: itself.
        clean: int64 `(n,)`: what it predicts for the plan's clean images.
    """

    name: str
    classifier: Classifier
    clean: Labels


@dataclasses.dataclass(frozen=True)
class Attacked:
    """One attack on one classifier, judged.

    Attributes:
        attack: with its options.
        examples: what it made of the plan's examples.
        images: all it made, `(n, height, width, channels)`; none unless the plan keeps them.
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
    result: results.AttackResult


def judge(plan: Plan, subject: Subject, attack: Attack, crafted: Crafted) -> Attacked:
    """Audit what an attack made and work out its figures."""
    judged = audit(
        subject.classifier,
        attack,
        plan.images,
        plan.labels,
        crafted.images,
        clean=subject.clean,
        targets=crafted.targets,
        boxes=plan.boxes,
        batch_size=plan.batch_size,
    )
    count = len(plan.labels)
    known = plan.scenario.num_classes
    further = subject.classifier.num_classes > known
    to_do = left_to_do(attack, subject.clean, plan.labels)
    survivors = (
        judged.prediction == plan.labels
        if attack.corrective
        else metrics.survivors(judged.prediction, subject.clean, plan.labels)
    )
    rate = metrics.success_rate(judged.success, to_do)
    result = results.AttackResult(
        **signature(attack),
        **dict(proportion(survivors)),
        threat=results.ThreatRecord(**dataclasses.asdict(attack.threat)),
        minimum_norm=attack.minimum_norm,
        corrective=attack.corrective,
        crafted_on=plan.crafted_on[0] if plan.crafted_on else None,
        success_rate=None if np.isnan(rate) else rate,
        fooling_ratio=metrics.fooling_ratio(judged.prediction, subject.clean),
        distance={
            norm: results.Spread(**metrics.summary(judged.distance[norm][judged.success & to_do]))
            for norm in ("l0", "l1", "l2", "linf")
        },
        gradients=results.GradientShares.of(crafted.first),
        gradients_per_image=crafted.gradients / count,
        queries_per_image=crafted.queries / count,
        violations=int(judged.violation.sum()),
        rejected=metrics.share(judged.prediction >= known) if further else None,
        seconds=round(crafted.seconds, 3),
    )
    # A slice of none would be a view, and keep all of them in memory.
    kept = crafted.images if plan.keep_images else np.empty_like(crafted.images[:0])
    examples = crafted.images[plan.examples]
    return Attacked(attack, examples, kept, judged, survivors, judged.success & to_do, result)


def left_to_do(attack: Attack, clean: Labels, labels: Labels) -> Flags:
    """Return the images that leave an attack anything to do, bool `(n,)`.

    What was wrong before needs no change: its distance of zero says nothing.

    Args:
        attack: hostile, or one that helps.
        clean: int64 `(n,)`: what is predicted for the clean images.
        labels: int64 `(n,)`.
    """
    return clean != labels if attack.corrective else clean == labels


def proportion(right: Flags) -> results.Proportion:
    """Return the share of true flags with its interval."""
    interval = metrics.wilson(int(right.sum()), len(right))
    return results.Proportion(accuracy=metrics.share(right), interval=interval)


def summarize(
    plan: Plan, subject: Subject, scenario: results.ScenarioRecord, attacked: Sequence[Attacked]
) -> results.Evaluation:
    """Return one classifier's part of `results.json`."""
    classifier = subject.classifier
    right = subject.clean == plan.labels
    hostile = [each for each in attacked if not each.attack.corrective]
    known = plan.scenario.class_names
    return results.Evaluation(
        classifier=results.ClassifierRecord(
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


def _worst_by_budget(right: Flags, attacked: Sequence[Attacked]) -> list[results.BudgetedWorstCase]:
    """Return the worst case at each budget of every norm that was tried at several."""
    budgets: dict[str, set[float]] = {}
    for each in attacked:
        if each.attack.threat.norm and each.attack.budget is not None:
            budgets.setdefault(each.attack.threat.norm, set()).add(each.attack.budget)
    return [
        results.BudgetedWorstCase(
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
    for norm in ("l0", "l1", "l2", "linf"):
        table[norm] = _rows([a.distance[norm] for a in audits], len(clean), np.float32)
    for k, each in enumerate(attacked):
        table[f"example_a{k}"] = each.examples
    return {f"e{number}_{key}": value for key, value in table.items()}


def _rows(rows: Sequence[np.ndarray], count: int, dtype: Any) -> np.ndarray:
    return np.stack(rows).astype(dtype) if rows else np.zeros((0, count), dtype)


def choose_examples(labels: Labels, most: int = 8) -> np.ndarray:
    """Return the indices of up to `most` images, of as many classes as there are."""
    firsts = np.unique(labels, return_index=True)[1]
    others = np.setdiff1d(np.arange(len(labels)), firsts)
    return np.concatenate([np.sort(firsts), others])[:most]
