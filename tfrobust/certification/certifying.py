"""Classifiers × certifiers → certified accuracy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np

from tfrobust.certification.measuring import Measured, MeasuredClassifier, Part, measure
from tfrobust.certification.settings import (
    CertificationOptions,
    CertificationSettings,
    Progress,
    check_all,
)
from tfrobust.certification.summaries import (
    classifier_record,
    contradicted,
    counted,
    figures,
    scenario_record,
)
from tfrobust.certifier import Certifier
from tfrobust.classifier import Classifier
from tfrobust.data.survey import survey
from tfrobust.environment.versions import environment
from tfrobust.execution.executor import Executor
from tfrobust.files.finished_work import FinishedWork
from tfrobust.results.certificates import CertificateResult
from tfrobust.results.certification import Certification, Certifications
from tfrobust.results.proportions import Proportion
from tfrobust.scenario import Scenario
from tfrobust.types import Flags, Labels

_SURVEYED = 256  # images at a time


@dataclasses.dataclass(frozen=True)
class Certified:
    """What a certification returns.

    Attributes:
        results: the content of `certificates.json`.
        radii: the content of `radii.npz`, a number an image: `label`; for classifier *i*
            `c{i}_clean`, and for certifier *k* of it `c{i}_k{k}_radius`, `_abstained` and, of one
            that searches for the nearest wrong image, `_least` and `_complete`; of one that tells
            how what it certifies reads the image, `_answer`.
    """

    results: Certifications
    radii: Mapping[str, np.ndarray]


def certify(
    classifiers: Mapping[str, Classifier],
    scenario: Scenario,
    certifiers: Sequence[Certifier],
    eps: Sequence[float],
    *,
    progress: Progress | None = None,
    **options: Unpack[CertificationOptions],
) -> Certified:
    """Certify every classifier by every certifier.

    Args:
        classifiers: name → classifier.
        scenario: where the images come from.
        certifiers: with their options.
        eps: radii at which certified accuracy is told, in the unit of each certifier's norm.
        progress: receives how far it is.
        **options: `split`, `limit`, `seed`: see `CertificationSettings`.

    Returns:
        The results, and the radius of every image.

    Raises:
        UsageError: a certifier cannot certify a classifier, an unknown split, a radius that is not
            above 0 or larger than any two images are apart.
        ClassifierError: a classifier does not fit the scenario or returns NaN.
        DataError: the scenario's images break the contract.
        PluginError: a certifier fails or breaks its contract.

    Example:
        >>> certified = certify({"d1": network_of("d1")}, create("scenarios", "digits"),
        ...                     [create("certifiers", "crown")], [0.05], limit=100)
        >>> certified.results.certifications[0].certificates[0].within[0].accuracy
        0.31
    """
    settings = CertificationSettings(
        classifiers=classifiers, scenario=scenario, certifiers=certifiers, eps=eps, **options
    )
    return certify_settings(settings, progress=progress)


def certify_settings(
    settings: CertificationSettings,
    *,
    finished: FinishedWork | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Certified:
    """Do what `certify` does, with all options in one object.

    Args:
        settings: what is certified, and how.
        finished: keeps certificates, so that an interrupted run goes on where it stopped.
        progress: receives how far it is.
        executor: computes the certificates; `None`: this process.
    """
    check_all(settings)
    seen = survey(settings.scenario, settings.split, settings.limit, _SURVEYED)
    part = Part(settings.scenario, settings.split, len(seen.labels), settings.seed)
    asked = [settings.eps] * len(settings.certifiers)
    measured = measure(
        settings.classifiers,
        settings.certifiers,
        part,
        eps=asked,
        finished=finished,
        progress=progress,
        executor=executor,
    )
    named = zip(settings.classifiers.items(), measured, strict=True)
    results = Certifications(
        certifications=[
            _certification(settings, name, classifier, one, seen.labels)
            for (name, classifier), one in named
        ],
        environment=environment(),
    )
    return Certified(results, _arrays(measured, seen.labels))


def _certification(
    settings: CertificationSettings,
    name: str,
    classifier: Classifier,
    measured: MeasuredClassifier,
    labels: Labels,
) -> Certification:
    scenario = settings.scenario
    wrong = measured.clean != labels
    return Certification(
        classifier=classifier_record(name, classifier, scenario.class_names),
        scenario=scenario_record(scenario, settings.split, len(labels), settings.seed),
        clean=Proportion.of(~wrong),
        certificates=[
            _result(certifier, classifier, one, settings.eps, labels=labels, wrong=wrong)
            for certifier, one in zip(settings.certifiers, measured.by, strict=True)
        ],
    )


def _result(
    certifier: Certifier,
    classifier: Classifier,
    measured: Measured,
    eps: Sequence[float],
    *,
    labels: Labels,
    wrong: Flags,
) -> CertificateResult:
    """Return a line of `certificates.json`; a wrong answer to a certified image contradicts it."""
    variant, clean = certifier.variant(classifier), None
    if variant is not None and measured.answers is not None:
        clean = Proportion.of(measured.answers == labels)
    against = contradicted(measured.radii, np.zeros(len(wrong)), wrong)
    if not certifier.certifies_answers(classifier):
        against = np.zeros_like(against)
    return CertificateResult(
        **figures(certifier, measured, eps),
        **counted(certifier, against, stochastic=classifier.stochastic),
        variant=variant,
        clean=clean,
    )


def _arrays(measured: Sequence[MeasuredClassifier], labels: Labels) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {"label": labels}
    for i, classifier in enumerate(measured):
        arrays[f"c{i}_clean"] = classifier.clean
        for k, one in enumerate(classifier.by):
            named = {
                "radius": one.radii,
                "abstained": one.abstained,
                "least": one.least,
                "complete": one.complete,
                "answer": one.answers,
            }
            arrays |= {f"c{i}_k{k}_{n}": array for n, array in named.items() if array is not None}
    return arrays
