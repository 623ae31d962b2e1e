"""Between certificate and attack: where the accuracy of a classifier lies."""

from __future__ import annotations

from collections.abc import Iterator

from tfrobust.norms.titles import NORM_TITLES
from tfrobust.report.tables import Row, Table
from tfrobust.results.certificates import CertificateBesideAttacks, CertificateResult
from tfrobust.results.records import Evaluation, Results


def between_table(results: Results) -> Table | None:
    """Return a row a classifier, certifier and budget; `None` where nothing was certified.

    Example:
        >>> between_table(read_results(run)).sections[0][0][-1]
        'between certified 31.2 % and attacked 44.8 %'
    """
    sections = [_rows(evaluation) for evaluation in results.evaluations if evaluation.certificates]
    if not sections:
        return None
    return Table(
        title="Between proof and attack",
        columns=(
            "classifier",
            "certifier",
            "within",
            "certified, 95 %",
            "attacked, 95 %",
            "accuracy lies",
        ),
        sections=sections,
        caption="certified: read rightly, and provably so within ε; attacked: right under every "
        "attack of this run that came as near; with 95 % Wilson intervals" + _by_chance(results),
    )


def contradiction_lines(results: Results) -> list[str]:
    """Return a line for each certificate that an attack contradicts.

    Example:
        >>> contradiction_lines(results)
        ['CONTRADICTION: 3 images of d1 are certified by lying and broken within their radius by
        pgd: the certifier, or what judged the attack, is wrong']
    """
    return [
        f"CONTRADICTION: {certificate.contradictions} images of {name} are certified by "
        f"{certificate.name} and broken within their radius by "
        f"{', '.join(certificate.contradicted_by)}{beyond_chance(certificate)}: the certifier, or "
        "what judged the attack, is wrong"
        for name, certificate in _certificates(results)
        if certificate.contradictions
    ]


def chance_lines(results: Results) -> list[str]:
    """Return a line for each certificate that holds by chance only, with what broke within it."""
    return [
        f"{certificate.name} on {name}: {_what_holds(certificate)}; the attacked classifier "
        "answers by a few draws, certified are infinitely many: "
        f"{certificate.by_chance} images were broken within their radius"
        for name, certificate in _certificates(results)
        if not certificate.contradictions
        and (certificate.confidence is not None or certificate.by_chance)
    ]


def beyond_chance(certificate: CertificateResult) -> str:
    """Return that contradictions are more than a confidence allows for, where there is one."""
    if certificate.confidence is None:
        return ""
    return f", more than its confidence of {100 * certificate.confidence:.4g} % allows for"


def share_text(share: float) -> str:
    """Return a share as `31.2 %`."""
    return f"{100 * share:.1f} %"


def _what_holds(certificate: CertificateBesideAttacks) -> str:
    if certificate.confidence is None:
        return "its radii are proven"
    return f"each radius holds with probability {100 * certificate.confidence:.4g} %"


def _certificates(results: Results) -> Iterator[tuple[str, CertificateBesideAttacks]]:
    for evaluation in results.evaluations:
        for certificate in evaluation.certificates:
            yield evaluation.classifier.name, certificate


def _rows(evaluation: Evaluation) -> list[Row]:
    return [
        (
            evaluation.classifier.name,
            certificate.name,
            f"{NORM_TITLES[certificate.norm]} ≤ {within.eps:g}",
            _interval(within.interval),
            _interval(attacked.interval),
            f"between certified {share_text(within.accuracy)} and attacked "
            f"{share_text(attacked.accuracy)}",
        )
        for certificate in evaluation.certificates
        for within, attacked in zip(certificate.within, certificate.attacked, strict=True)
    ]


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def _by_chance(results: Results) -> str:
    """Say which certificates hold with a probability only."""
    names = dict.fromkeys(
        f"{certificate.name} ({_what_holds(certificate)})"
        for _, certificate in _certificates(results)
        if certificate.confidence is not None
    )
    return f"; {', '.join(names)}" if names else ""
