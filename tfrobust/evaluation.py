"""Classifiers × attacks → results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfrobust import metrics, results
from tfrobust.attack import Attack
from tfrobust.audit import Audit, audit, clean_predictions
from tfrobust.classifier import Classifier
from tfrobust.detection import judge_detectors
from tfrobust.detector import Detector
from tfrobust.engine import BATCH_SIZE, Crafted, TargetRule, run_attack
from tfrobust.errors import UsageError
from tfrobust.registry import name_of, signature
from tfrobust.scenario import Scenario, Shifted, arrays, check_fits
from tfrobust.types import Flags, Images, Labels

Progress = Callable[[str, int, int], None]  # what, images done, images in all
EXAMPLES = 8  # images whose adversarial versions are kept for the report


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is the same for every classifier and attack of one evaluation.

    Attributes:
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        targets: for targeted attacks, the classes to reach or the rule that picks them.
        seed: decides everything random.
        batch_size: images at a time.
        progress: told how far an attack is.
    """

    images: Images
    labels: Labels
    targets: Labels | TargetRule = "least_likely"
    seed: int = 0
    batch_size: int = BATCH_SIZE
    progress: Progress | None = None


@dataclasses.dataclass(frozen=True)
class Attacked:
    """One attack on one classifier: the images, their audit and the line of the result."""

    crafted: Crafted
    audit: Audit
    result: results.AttackResult
    survivors: Flags


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What `evaluate` returns: the content of `results.json` and of `outcomes.npz`."""

    results: results.Results
    outcomes: dict[str, np.ndarray]


def evaluate(
    classifiers: Mapping[str, Classifier],
    scenario: Scenario,
    attacks: Sequence[Attack],
    *,
    split: str = "test",
    limit: int | None = None,
    crafted_on: tuple[str, Classifier] | None = None,
    detectors: Sequence[Detector] = (),
    targets: TargetRule = "least_likely",
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> Evaluated:
    """Attack every classifier with every attack and audit what comes back.

    Args:
        classifiers: name → classifier.
        scenario: where the images come from.
        attacks: in the order they are reported.
        split: of the scenario.
        limit: only the first so many images.
        crafted_on: name and classifier that the attacks see instead (transfer).
        detectors: fitted on the training split and judged on the images attacked here.
        targets: the rule that picks classes for targeted attacks.
        seed: decides everything random.
        batch_size: images at a time.
        progress: told how far each attack is.

    Returns:
        Results and outcomes, ready for `tfrobust.results.write_results`.

    Raises:
        UsageError: no classifier, an unknown split, an attack that fits no classifier.
        ClassifierError: a classifier does not fit the scenario or returns NaN.
        DataError: the scenario's images break the contract.

    Example:
        >>> evaluated = evaluate({"d1": load("d1")}, create("scenarios", "digits"),
        ...                      [create("attacks", "pgd", eps=0.1)])
        >>> evaluated.results.evaluations[0].worst_case.accuracy
    """
    if not classifiers:
        raise UsageError("classifiers: expected one or more; received: none")
    surrogates = dict([crafted_on]) if crafted_on else {}
    for name, classifier in (*classifiers.items(), *surrogates.items()):
        check_fits(classifier, scenario, name)
    images, labels = arrays(scenario, split, limit)
    plan = Plan(images, labels, targets, seed, batch_size, progress)
    chosen = choose_examples(labels)
    outcomes: dict[str, np.ndarray] = {
        "label": labels,
        "example_index": chosen,
        "example_images": images[chosen],
    }
    found = []
    for i, (name, classifier) in enumerate(classifiers.items()):
        clean = clean_predictions(classifier, images, name)
        done = _attack_all(plan, name, classifier, attacks, clean, crafted_on)
        evaluation = _evaluation(plan, scenario, split, name, classifier, clean, attacks, done)
        if detectors:
            evaluation.detectors = judge_detectors(
                detectors, attacks, [a.crafted.images for a in done], plan, scenario, classifier
            )
        found.append(evaluation)
        outcomes |= _outcomes(i, clean, done, chosen)
    return Evaluated(
        results.Results(evaluations=found, environment=results.environment()), outcomes
    )


def attack_once(
    plan: Plan,
    attack: Attack,
    classifier: Classifier,
    clean: Labels,
    *,
    name: str = "classifier",
    crafted_on: tuple[str, Classifier] | None = None,
    crafted: Crafted | None = None,
) -> Attacked:
    """Run one attack on one classifier and judge it.

    Args:
        plan: images, labels, seed.
        attack: the attack.
        classifier: whom to judge by.
        clean: int64 `(n,)`: what the classifier predicts for the clean images.
        name: the classifier's, for the progress line.
        crafted_on: name and classifier that the attack sees instead.
        crafted: images made before, to be judged again at another budget.

    Returns:
        The adversarial images, their audit and the figures.
    """
    what = f"{name} · {name_of(attack)}"
    crafted = crafted or run_attack(
        attack,
        crafted_on[1] if crafted_on else classifier,
        plan.images,
        plan.labels,
        targets=plan.targets,
        seed=plan.seed,
        batch_size=plan.batch_size,
        on_progress=_reporter(plan, what),
    )
    judged = audit(
        classifier,
        attack,
        plan.images,
        plan.labels,
        crafted.images,
        clean=clean,
        targets=crafted.targets,
    )
    survivors = metrics.survivors(judged.prediction, clean, plan.labels)
    result = _attack_result(
        plan, attack, clean, crafted, judged, survivors, crafted_on[0] if crafted_on else None
    )
    return Attacked(crafted, judged, result, survivors)


def choose_examples(labels: Labels) -> np.ndarray:
    """Return the indices of up to `EXAMPLES` images, of as many classes as there are."""
    firsts = np.unique(labels, return_index=True)[1]
    others = np.setdiff1d(np.arange(len(labels)), firsts)
    return np.concatenate([np.sort(firsts), others])[:EXAMPLES]


def _reporter(plan: Plan, what: str) -> Callable[[int], None] | None:
    if plan.progress is None:
        return None
    report, total = plan.progress, len(plan.images)
    report(what, 0, total)
    return lambda done: report(what, done, total)


def _attack_all(
    plan: Plan,
    name: str,
    classifier: Classifier,
    attacks: Sequence[Attack],
    clean: Labels,
    crafted_on: tuple[str, Classifier] | None,
) -> list[Attacked]:
    """Run the attacks; a minimum-norm attack at several budgets runs once."""
    made: dict[Attack, Crafted] = {}
    done = []
    for attack in attacks:
        key = _without_budget(attack)
        attacked = attack_once(
            plan,
            attack,
            classifier,
            clean,
            name=name,
            crafted_on=crafted_on,
            crafted=made.get(key),
        )
        made[key] = attacked.crafted
        done.append(attacked)
    return done


def _without_budget(attack: Attack) -> Attack:
    if attack.minimum_norm and hasattr(attack, "eps"):
        return dataclasses.replace(attack, eps=None)  # type: ignore[type-var]
    return attack


def _attack_result(
    plan: Plan,
    attack: Attack,
    clean: Labels,
    crafted: Crafted,
    judged: Audit,
    survivors: Flags,
    crafted_on: str | None,
) -> results.AttackResult:
    count = len(plan.labels)
    right_before = np.any(clean == plan.labels)
    return results.AttackResult(
        **signature(attack),
        **_proportion(survivors),
        threat=results.ThreatRecord(**dataclasses.asdict(attack.threat)),
        crafted_on=crafted_on,
        success_rate=(
            metrics.success_rate(judged.success, clean, plan.labels) if right_before else None
        ),
        fooling_ratio=metrics.fooling_ratio(judged.prediction, clean),
        distance={
            norm: results.Spread(**metrics.summary(judged.distance[norm][judged.success]))
            for norm in ("l0", "l2", "linf")
        },
        gradients_per_image=crafted.gradients / count,
        queries_per_image=crafted.queries / count,
        violations=int(judged.violation.sum()),
        seconds=round(crafted.seconds, 3),
    )


def _proportion(right: Flags) -> dict[str, Any]:
    return {
        "accuracy": metrics.share(right),
        "interval": metrics.wilson(int(right.sum()), len(right)),
    }


def _evaluation(
    plan: Plan,
    scenario: Scenario,
    split: str,
    name: str,
    classifier: Classifier,
    clean: Labels,
    attacks: Sequence[Attack],
    done: Sequence[Attacked],
) -> results.Evaluation:
    right = clean == plan.labels
    base, shift = (
        (scenario.base, name_of(scenario.shift))
        if isinstance(scenario, Shifted)
        else (scenario, None)
    )
    return results.Evaluation(
        classifier=results.ClassifierRecord(
            name=name,
            path=classifier.source,
            num_classes=classifier.num_classes,
            image_shape=classifier.image_shape,
            defenses=list(classifier.defenses),
        ),
        scenario=results.ScenarioRecord(
            name=name_of(base), shift=shift, split=split, images=len(plan.labels), seed=plan.seed
        ),
        clean=results.Proportion(**_proportion(right)),
        attacks=[attacked.result for attacked in done],
        worst_case=results.Proportion(**_proportion(_all_survive(right, done))),
        worst_case_by_budget=_worst_by_budget(right, attacks, done),
    )


def _all_survive(right: Flags, done: Sequence[Attacked]) -> Flags:
    return np.logical_and.reduce([right, *(attacked.survivors for attacked in done)])


def _worst_by_budget(
    right: Flags, attacks: Sequence[Attack], done: Sequence[Attacked]
) -> list[results.BudgetedWorstCase]:
    """Return the worst case at each budget of every norm that was tried at several."""
    budgets: dict[str, set[float]] = {}
    for attack in attacks:
        if attack.threat.norm and attack.budget is not None:
            budgets.setdefault(attack.threat.norm, set()).add(attack.budget)
    return [
        results.BudgetedWorstCase(
            norm=norm,
            eps=eps,
            **_proportion(_all_survive(right, _within(norm, eps, attacks, done))),
        )
        for norm, several in budgets.items()
        if len(several) > 1
        for eps in sorted(several)
    ]


def _within(
    norm: str, eps: float, attacks: Sequence[Attack], done: Sequence[Attacked]
) -> list[Attacked]:
    return [
        attacked
        for attack, attacked in zip(attacks, done, strict=True)
        if attack.threat.norm == norm and attack.budget is not None and attack.budget <= eps
    ]


def _outcomes(
    number: int, clean: Labels, done: Sequence[Attacked], chosen: np.ndarray
) -> dict[str, np.ndarray]:
    """Return evaluation `number`'s rows of `outcomes.npz`; `(attacks, images)` but for clean."""
    count = len(clean)
    table: dict[str, np.ndarray] = {f"e{number}_clean": clean}
    table[f"e{number}_prediction"] = _rows([a.audit.prediction for a in done], count, np.int64)
    table[f"e{number}_success"] = _rows([a.audit.success for a in done], count, bool)
    for norm in ("l0", "l2", "linf"):
        rows = [attacked.audit.distance[norm] for attacked in done]
        table[f"e{number}_{norm}"] = _rows(rows, count, np.float32)
    for k, attacked in enumerate(done):
        table[f"e{number}_example_a{k}"] = attacked.crafted.images[chosen]
    return table


def _rows(rows: Sequence[np.ndarray], count: int, dtype: Any) -> np.ndarray:
    return np.stack(rows).astype(dtype) if rows else np.zeros((0, count), dtype)
