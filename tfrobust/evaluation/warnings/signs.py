"""Signs of masked gradients beside the figures of an evaluation."""

from __future__ import annotations

import dataclasses

from tfrobust.attack import Attack
from tfrobust.data.reading import arrays
from tfrobust.diagnosis.signs import MOST, look_for_signs
from tfrobust.evaluation.settings import EvaluationSettings, Progress, reporter
from tfrobust.evaluation.warnings.contradictions import contradictions
from tfrobust.results.findings import Signs
from tfrobust.results.run_files import Evaluated, identified


def with_signs(
    settings: EvaluationSettings, evaluated: Evaluated, progress: Progress | None = None
) -> Evaluated:
    """Return an evaluation that tells of each classifier whether its gradients can be trusted.

    Looked at is what the attacks see: the classifier that they are crafted on, if there is one. One
    whose answers cost, and which has no gradient to mask, is left out: see `diagnose`. What the
    figures of a classifier say against themselves counts too; see `contradictions`.

    Args:
        settings: of the evaluation.
        evaluated: what it found.
        progress: receives how many classifiers were looked at.
    """
    attack = _first_within_a_ball(settings)
    subjects = {name: c for name, c in settings.attacked.items() if c.meter is None}
    if not settings.attacks or not subjects:
        return evaluated
    images, labels = arrays(settings.scenario, settings.split, _images(settings))
    seen: dict[str, Signs] = {}
    tell = reporter(progress, "signs of masked gradients", len(subjects))
    for done, (name, classifier) in enumerate(subjects.items(), 1):
        seen[name] = look_for_signs(
            classifier,
            images,
            labels,
            attack,
            known_classes=settings.scenario.num_classes,
            seed=settings.seed,
        )
        if tell:
            tell(done)
    crafted_on = settings.crafted_on
    evaluations = []
    for number, evaluation in enumerate(evaluated.results.evaluations):
        signs = seen.get(crafted_on[0] if crafted_on else evaluation.classifier.name)
        if signs is not None and crafted_on is None:
            told = contradictions(evaluated.outcomes, number, evaluation)
            signs = Signs(findings=[*signs.findings, *told])
        evaluations.append(evaluation.model_copy(update={"signs": signs}))
    results = evaluated.results.model_copy(update={"evaluations": evaluations})
    return dataclasses.replace(evaluated, results=identified(results, evaluated.outcomes))


def _images(settings: EvaluationSettings) -> int:
    return MOST if settings.limit is None else min(MOST, settings.limit)


def _first_within_a_ball(settings: EvaluationSettings) -> Attack | None:
    """Return the attack whose budget is meant: the first white-box one that has any."""
    return next((a for a in settings.attacks if a.needs_gradients and a.budget), None)
