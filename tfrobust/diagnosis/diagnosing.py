"""Diagnoses a figure of robust accuracy: the attack, the checks, and what they call for."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.data.reading import arrays, check_fits
from tfrobust.data.shifted import base_and_shift
from tfrobust.diagnosis.bench import Bench, in_ball
from tfrobust.diagnosis.checks.batch import BATCH
from tfrobust.diagnosis.checks.binarisation import BINARISATION
from tfrobust.diagnosis.checks.check import Check, Result, not_applicable
from tfrobust.diagnosis.checks.features import FEATURES
from tfrobust.diagnosis.checks.finite_differences import FINITE_DIFFERENCES
from tfrobust.diagnosis.checks.gradients import GRADIENTS
from tfrobust.diagnosis.checks.loss_scale import LOSS_SCALE
from tfrobust.diagnosis.checks.randomness import RANDOMNESS
from tfrobust.diagnosis.checks.rejection import REJECTION
from tfrobust.diagnosis.checks.rivals import BLACK_BOX, BUDGETS, NOISE, ONE_STEP, UNBOUNDED
from tfrobust.diagnosis.checks.surface import SURFACE
from tfrobust.diagnosis.checks.trajectory import CONVERGENCE, RESTARTS, SILENT_SUCCESS
from tfrobust.diagnosis.checks.transfer import TRANSFER
from tfrobust.diagnosis.settings import DiagnosisSettings
from tfrobust.diagnosis.targets import likeliest_others
from tfrobust.errors import UsageError
from tfrobust.registry import name_of, signature
from tfrobust.results import metrics
from tfrobust.results.diagnosis import Diagnosis
from tfrobust.results.findings import Finding, Remedy, Verdict
from tfrobust.results.proportions import Proportion
from tfrobust.scenario import Scenario

__all__ = ["Diagnosis", "Finding", "Remedy", "Verdict", "diagnose"]
CHECKS: tuple[Check, ...] = (
    RANDOMNESS,
    BATCH,
    GRADIENTS,
    FINITE_DIFFERENCES,
    SURFACE,
    LOSS_SCALE,
    SILENT_SUCCESS,
    CONVERGENCE,
    RESTARTS,
    UNBOUNDED,
    BUDGETS,
    ONE_STEP,
    NOISE,
    BLACK_BOX,
    FEATURES,
    TRANSFER,
    BINARISATION,
    REJECTION,
)


def diagnose(
    classifier: Classifier,
    scenario: Scenario,
    settings: DiagnosisSettings,
    *,
    name: str = "classifier",
    checks: Sequence[Check] = CHECKS,
) -> Diagnosis:
    """Tell whether the accuracy that an attack leaves can be believed.

    Args:
        classifier: that is attacked.
        scenario: where its images come from.
        settings: the ball, the attack in doubt, and how thoroughly.
        name: of the classifier, in the record.
        checks: which checks to make.

    Returns:
        A finding for each check, with what the attacks that they call for left.

    Raises:
        UsageError: the classifier is not better than chance, or the attack cannot be run.
        ClassifierError: the classifier does not fit the scenario.

    Example:
        >>> diagnosis = diagnose(load("d1"), create("scenarios", "digits"),
        ...                      DiagnosisSettings(eps=0.1, norm="linf"))
        >>> diagnosis.verdict
        <Verdict.FINE: 'fine'>
    """
    began = time.perf_counter()
    check_fits(classifier, scenario, name)
    images, labels = arrays(scenario, settings.split, settings.images)
    bench = Bench(classifier, images, labels, scenario.num_classes, settings)
    _check_accuracy(bench, name)
    attacked = bench.spread(bench.attack_first(_attack(bench)))
    findings = [_finding(bench, check) for check in checks if _is_asked(check, settings)]
    base, shift = base_and_shift(scenario)
    return Diagnosis(
        classifier=name,
        defenses=list(classifier.defenses),
        scenario=name_of(base),
        shift=shift,
        split=settings.split,
        images=len(images),
        seed=settings.seed,
        norm=settings.norm,
        eps=settings.eps,
        attack=str(signature(bench.attack)["name"]),
        params=dict(signature(bench.attack)["params"]),
        chosen=settings.attack is not None,
        thorough=settings.thorough,
        clean=Proportion.of(bench.clean),
        attacked=Proportion.of(bench.clean & ~attacked),
        lowest=Proportion.of(bench.clean & ~bench.broken),
        findings=findings,
        gradients_per_image=bench.gradients / len(images),
        queries_per_image=bench.queries / len(images),
        seconds=round(time.perf_counter() - began, 3),
    )


def _is_asked(check: Check, settings: DiagnosisSettings) -> bool:
    return settings.thorough or not check.thorough


def _finding(bench: Bench, check: Check) -> Finding:
    """Make a check, and run the attacks that it calls for on what is left."""
    if bench.settings.on_check:
        bench.settings.on_check(check.name)
    result = made(bench, check)
    finding = check.finding(result)
    if result.calls:
        finding = finding.model_copy(update={"remedy": _remedy(bench, result)})
    if result.declares:
        bench.declare(**result.declares)
    return finding


def made(bench: Bench, check: Check) -> Result:
    """Make a check; say why where it asks for what is not there."""
    if check.gradients and not bench.has_gradients:
        return not_applicable("the classifier gives no gradients")
    if check.repeated and not bench.is_repeatable:
        return not_applicable("answers are random, and no call can be made again")
    return check.make(bench)


def _remedy(bench: Bench, result: Result) -> Remedy:
    """Run the attacks that a finding calls for; record the one that leaves least."""
    first = bench.spread(bench.attacked)
    rows = bench.attacked.rows[~bench.attacked.broken]
    remedies = []
    for call in result.calls:
        targets = likeliest_others(bench, rows) if call.attack.threat.targeted else None
        outcome = bench.run(call.attack, rows, on=call.on, labels=targets)
        recorded = signature(call.attack)
        remedies.append(
            Remedy(
                attack=str(recorded["name"]),
                params=dict(recorded["params"]),
                follows=call.follows,
                before=bench.accuracy(first),
                after=bench.accuracy(first, bench.spread(outcome)),
            )
        )
    return min(remedies, key=lambda remedy: remedy.after)


def default_attack(settings: DiagnosisSettings, *, gradients: bool = True) -> Attack:
    """Return the attack that is in doubt where none is named.

    Args:
        settings: for the ball.
        gradients: whether there are any.

    Raises:
        UsageError: there are none, and no attack without any works in the norm.

    Example:
        >>> default_attack(DiagnosisSettings(eps=0.1)).eps
        0.1
    """
    if gradients:
        return in_ball("pgd", settings, steps=40, loss="margin")
    if settings.norm == "l1":
        raise UsageError(
            "norm: the classifier gives no gradients, and no attack without any works in l1; "
            "diagnose linf or l2"
        )
    return in_ball("square", settings, queries=300)


def _attack(bench: Bench) -> Attack:
    """Return the attack that is in doubt."""
    settings = bench.settings
    if settings.attack is not None:
        return settings.attack
    return default_attack(settings, gradients=bench.has_gradients)


def _check_accuracy(bench: Bench, name: str) -> None:
    """Refuse a classifier that knows nothing: whatever is measured of it means nothing."""
    clean = bench.clean
    chance = float(np.bincount(bench.labels).max()) / len(bench.labels)
    low, _ = metrics.wilson(int(clean.sum()), len(clean))
    if low <= chance:
        raise UsageError(
            f"{name} is right on {clean.mean():.1%} of {len(clean)} images, which is not more than "
            f"always answering the most frequent class ({chance:.1%}): there is no robustness to "
            "diagnose; train it, or check the scenario and its classes"
        )
