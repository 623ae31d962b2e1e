"""What is known of an entry from elsewhere: certificates and a diagnosis of the same ball."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tfrobust.classifier import AppliedDefense
from tfrobust.errors import UsageError
from tfrobust.leaderboard.conditions import Conditions, rounded
from tfrobust.leaderboard.records import Certified, Diagnosed, Entry
from tfrobust.results.certificates import CertificateResult
from tfrobust.results.certification import Certification
from tfrobust.results.diagnosis import Diagnosis
from tfrobust.results.records import ClassifierRecord, Evaluation


def best_certificate(
    evaluation: Evaluation, conditions: Conditions, certifications: Sequence[Certification]
) -> Certified | None:
    """Return the certificate that proves most at the budget; what is contradicted proves nothing.

    Args:
        evaluation: of the classifier, maybe with certificates.
        conditions: of its board.
        certifications: of any classifiers, made by themselves.
    """
    proven = [
        Certified(
            accuracy=within.accuracy,
            interval=within.interval,
            certifier=certificate.name,
            confidence=certificate.confidence,
        )
        for certificate in (
            *evaluation.certificates,
            *_by_themselves(evaluation.classifier, conditions, certifications),
        )
        if certificate.norm == conditions.norm and not certificate.contradictions
        for within in certificate.within
        if rounded(within.eps) == conditions.eps
    ]
    return max(proven, key=lambda certified: certified.accuracy, default=None)


def _by_themselves(
    classifier: ClassifierRecord, conditions: Conditions, certifications: Sequence[Certification]
) -> Iterator[CertificateResult]:
    """Yield the certificates of the answers of this classifier to the images of the board."""
    for certification in certifications:
        other, scenario = certification.classifier, certification.scenario
        shift = f"+{scenario.shift}" if scenario.shift else ""
        images = scenario.name + shift, scenario.split, scenario.images
        if images != (conditions.scenario, conditions.split, conditions.images):
            continue
        if _is_same(classifier, other.name, other.defenses):
            yield from (one for one in certification.certificates if one.variant is None)


def check_proven(entry: Entry) -> None:
    """Refuse an entry whose certificate proves more than attacks leave: one of them is wrong.

    A certificate that holds with a probability may be above what attacks leave by chance.

    Raises:
        UsageError: naming both figures.
    """
    certified = entry.certified
    if certified is None or certified.confidence is not None:
        return
    if certified.accuracy > entry.robust.accuracy:
        raise UsageError(
            f"leaderboard: {certified.certifier} proves {certified.accuracy:.1%} of "
            f"{entry.classifier}, and the attacks of {entry.run} leave "
            f"{entry.robust.accuracy:.1%}: they saw other weights or other images; certify and "
            "evaluate the same classifier"
        )


def last_diagnosis(
    classifier: ClassifierRecord, conditions: Conditions, diagnoses: Sequence[Diagnosis]
) -> Diagnosed | None:
    """Return what the last diagnosis of this classifier and ball says.

    One of an attack that somebody named tells of that attack, and one with a detector of another
    classifier.

    Args:
        classifier: as its evaluation records it.
        conditions: of its board.
        diagnoses: of any classifiers.
    """
    for diagnosis in reversed(diagnoses):
        shift = f"+{diagnosis.shift}" if diagnosis.shift else ""
        ball = diagnosis.norm, rounded(diagnosis.eps)
        board = (diagnosis.scenario + shift, diagnosis.split, *ball)
        same = _is_same(classifier, diagnosis.classifier, diagnosis.defenses)
        if same and board == conditions.board and not diagnosis.chosen:
            return Diagnosed(
                verdict=diagnosis.verdict,
                causes=diagnosis.causes,
                lowest=diagnosis.lowest,
                images=diagnosis.images,
            )
    return None


def _is_same(classifier: ClassifierRecord, name: str, defenses: Sequence[AppliedDefense]) -> bool:
    """Tell whether another record is of this classifier, by name and defences."""
    carried = [(defense.name, defense.params) for defense in classifier.defenses]
    return name == classifier.name and carried == [(d.name, d.params) for d in defenses]
