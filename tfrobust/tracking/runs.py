"""What a finished evaluation, diagnosis or certification tells trackers."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfrobust.errors import StoreError
from tfrobust.results.attack_records import AttackResult
from tfrobust.results.certificates import CertificateResult
from tfrobust.results.certification import CERTIFICATES, Certifications
from tfrobust.results.detectors import DetectorResult
from tfrobust.results.diagnosis import DIAGNOSIS, Diagnosis
from tfrobust.results.kinds import kind_of
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation, Results
from tfrobust.results.tidy import rows_of
from tfrobust.tracking.guarded import Tracking

_SETTINGS = (
    "classifier",
    "defenses",
    "scenario",
    "split",
    "images",
    "attack",
    "kind",
    "norm",
    "eps",
    "targeted",
    "crafted_on",
)
_SHOWN = 8  # example images an attack
REPORT = "report.html"


def track_evaluation(tracking: Tracking, results: Results, folder: Path) -> None:
    """Tell trackers what an evaluation found: a trial a classifier and attack, and its page.

    Args:
        tracking: who is told.
        results: what was found.
        folder: of the run, with its files.

    Example:
        >>> track_evaluation(tracking, Results.load("runs/d1"), Path("runs/d1"))
    """
    if not tracking:
        return
    names = _Names()
    for row in rows_of(results):
        _track_row(tracking, row, names)
    for evaluation in results.evaluations:
        tracking.figures(dict(_worst_cases(evaluation)), series=_called(evaluation))
        for detector in evaluation.detectors:
            _track_detector(tracking, evaluation, detector, names)
        for certificate in evaluation.certificates:
            _track_certificate(tracking, _called(evaluation), certificate, names)
    for errors in results.corruptions:
        figures = {"mce": errors.mce, "mce_ratio": errors.mce_ratio, **errors.mean}
        tracking.figures(figures, series=f"{errors.classifier}/corruptions")
    _show_examples(tracking, results, folder)
    for name in ("results.json", REPORT):
        tracking.artifact(folder / name)


def track_certification(tracking: Tracking, found: Certifications, folder: Path) -> None:
    """Tell trackers what was certified: a trial a classifier and certifier, and the page.

    Args:
        tracking: who is told.
        found: what is proven.
        folder: of the run, with its files.
    """
    names = _Names()
    for one in found.certifications:
        tracking.figures({"clean_accuracy": one.clean.accuracy}, series=one.classifier.name)
        for certificate in one.certificates:
            _track_certificate(tracking, one.classifier.name, certificate, names)
    for name in (CERTIFICATES, REPORT):
        tracking.artifact(folder / name)


def track_diagnosis(tracking: Tracking, found: Diagnosis, folder: Path) -> None:
    """Tell trackers what a diagnosis found: a trial a check with its verdict, and the page.

    Args:
        tracking: who is told.
        found: the diagnosis.
        folder: of the run, with its files.
    """
    shares = {
        "clean_accuracy": found.clean.accuracy,
        "attacked_accuracy": found.attacked.accuracy,
        "lowest_accuracy": found.lowest.accuracy,
    }
    tracking.figures(shares, series=found.classifier)
    for finding in found.findings:
        settings = {
            "classifier": found.classifier,
            "attack": found.attack,
            "check": finding.check,
            "verdict": str(finding.verdict),
            "cause": finding.cause,
        }
        figures = {"figure": finding.figure, "threshold": finding.threshold}
        tracking.trial(f"{found.classifier}/{finding.check}", settings, figures)
    for path in (folder / DIAGNOSIS, (folder / DIAGNOSIS).with_suffix(".html")):
        tracking.artifact(path)


class _Names:
    """Gives every trial of a run a name of its own."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def unused(self, name: str) -> str:
        numbered = itertools.chain([name], (f"{name} #{n}" for n in itertools.count(2)))
        free = next(one for one in numbered if one not in self._given)
        self._given.add(free)
        return free


def _called(evaluation: Evaluation) -> str:
    shift = evaluation.scenario.shift
    return evaluation.classifier.name + (f" on {shift}" if shift else "")


def _track_row(tracking: Tracking, row: Mapping[str, Any], names: _Names) -> None:
    """Record one classifier under one attack, or under none."""
    settings = {name: row[name] for name in _SETTINGS if row.get(name) not in (None, "")}
    known = {*_SETTINGS, "options"}
    options = json.loads(row.get("options") or "{}")
    settings |= {name: value for name, value in options.items() if name not in settings}
    figures = {name: value for name, value in row.items() if name not in known}
    tracking.trial(names.unused(_trial_name(row)), settings, figures)


def _trial_name(row: Mapping[str, Any]) -> str:
    """Return the name of a trial: `robust/pgd linf 0.1`."""
    words = [row.get("attack") or row["kind"], row.get("norm"), row.get("eps")]
    words += ["adaptive"] if row["kind"] == "adaptive" else []
    shift = row["scenario"].partition("+")[2]
    words += [f"on {shift}"] if shift else []
    return f"{row['classifier']}/" + " ".join(str(word) for word in words if word is not None)


def _worst_cases(evaluation: Evaluation) -> Iterator[tuple[str, float]]:
    yield "clean_accuracy", evaluation.clean.accuracy
    if evaluation.attacks or evaluation.adaptive:
        yield "worst_case_accuracy", evaluation.worst_case.accuracy
    for worst in evaluation.worst_case_by_budget:
        yield f"worst_case_accuracy {worst.norm} {worst.eps:g}", worst.accuracy


def _track_detector(
    tracking: Tracking, evaluation: Evaluation, detector: DetectorResult, names: _Names
) -> None:
    settings = {
        "classifier": evaluation.classifier.name,
        "detector": detector.name,
        "attack": detector.attack,
        "norm": detector.norm,
        "eps": detector.eps,
        **detector.params,
    }
    figures = {
        "auroc": detector.auroc,
        "tpr_at_5_fpr": detector.tpr_at_5_fpr,
        "detector_accuracy": detector.accuracy,
    }
    name = f"{_called(evaluation)}/{detector.name} of {detector.attack}"
    tracking.trial(names.unused(name), settings, figures)


def _track_certificate(
    tracking: Tracking, classifier: str, certificate: CertificateResult, names: _Names
) -> None:
    settings = {
        "classifier": classifier,
        "certifier": certificate.name,
        "norm": certificate.norm,
        "variant": certificate.variant,
        **certificate.params,
    }
    figures = {
        "certified": certificate.certified,
        "abstained": certificate.abstained,
        "average_radius": certificate.average_radius,
        "seconds": certificate.seconds,
    }
    for within in certificate.within:
        figures[f"certified_accuracy {certificate.norm} {within.eps:g}"] = within.accuracy
    name = f"{classifier}/{certificate.name} {certificate.norm}"
    tracking.trial(names.unused(name), settings, figures)


def _show_examples(tracking: Tracking, results: Results, folder: Path) -> None:
    """Record a few images as they are, and as each attack made them."""
    with contextlib.suppress(StoreError):  # the run is written; its examples are an extra
        examples = Outcomes.read(folder).examples
        if "example_images" in examples and len(examples["example_images"]):
            tracking.images("clean", examples["example_images"][:_SHOWN])
        names = _Names()
        for number, evaluation in enumerate(results.evaluations):
            for k, attack in enumerate(evaluation.attacks):
                attacked = examples.get(f"e{number}_example_a{k}")
                if attacked is not None and len(attacked):
                    name = names.unused(_images_name(evaluation, attack))
                    tracking.images(name, attacked[:_SHOWN])


def _images_name(evaluation: Evaluation, attack: AttackResult) -> str:
    return _trial_name(
        {
            "classifier": evaluation.classifier.name,
            "scenario": f"{evaluation.scenario.name}+{evaluation.scenario.shift or ''}",
            "attack": attack.name,
            "kind": kind_of(attack, evaluation.classifier.name),
            "norm": attack.threat.norm,
            "eps": attack.params.get("eps"),
        }
    )
