"""A certification as a table, curves and a page of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfrobust.norms.titles import NORM_TITLES
from tfrobust.report.certificates import beyond_chance, share_text
from tfrobust.report.charts.certified import certified_name, certified_panels
from tfrobust.report.charts.panels import geometry
from tfrobust.report.headline import Headline
from tfrobust.report.tables import Row, Table, percent
from tfrobust.report.templates import html_templates
from tfrobust.results.certificates import CertificateResult, CertifiedWithin
from tfrobust.results.certification import Certification, Certifications
from tfrobust.results.proportions import Spread
from tfrobust.types import Norm

PAGE = "report.html"
_MOST_NAMED = 3  # more certificates in the headline
_Proven = tuple[Certification, CertificateResult, CertifiedWithin]


def render_certification(results: Certifications, radii: Mapping[str, np.ndarray]) -> str:
    """Return the page of a certification; everything that came from outside is escaped.

    Args:
        results: the content of `certificates.json`.
        radii: the content of `radii.npz`.
    """
    return (
        html_templates()
        .get_template("certification.html.j2")
        .render(
            results=results,
            scenario=_scenario(results.certifications[0]),
            tables=[certified_table(results), radius_table(results)],
            panels=certified_panels(results, radii),
            area=geometry(),
            headline=certified_headline(results),
            contradictions=contradiction_lines(results),
            trust=trust_lines(results),
        )
    )


def certified_headline(results: Certifications) -> Headline:
    """Return what is proven, in a sentence, and whether it can be believed.

    The radius is the one at which certificates differ most; of a single one, that at which the
    share is nearest to a half.

    Example:
        >>> certified_headline(results).says
        '78.5 % of 200 images of digits (test) are proven within L∞ ≤ 0.01 of d1 by crown …'
    """
    by_ball: dict[tuple[Norm, float], list[_Proven]] = {}
    for one in results.certifications:
        for certificate in one.certificates:
            for within in certificate.within:
                ball = certificate.norm, within.eps
                by_ball.setdefault(ball, []).append((one, certificate, within))
    norm, eps = max(by_ball, key=lambda ball: _telling([w.accuracy for *_, w in by_ball[ball]]))
    (one, best, within), *others = sorted(
        by_ball[norm, eps], key=lambda proven: -proven[2].accuracy
    )
    low, high = within.interval
    says = (
        f"{share_text(within.accuracy)} of {one.scenario.images:,} images of {_scenario(one)} are "
        f"certified within {NORM_TITLES[norm]} ≤ {eps:g} for {certified_name(one, best)} by "
        f"{best.name} (95 %: {100 * low:.1f} to {100 * high:.1f})"
    )
    for other, certificate, share in others[:_MOST_NAMED]:
        name = certified_name(other, certificate)
        says += f", {share_text(share.accuracy)} for {name} by {certificate.name}"
    if contradicted := contradiction_lines(results):
        return Headline(says, "; ".join(contradicted) + ".", "bad", "✖", "contradicted")
    word = _how_sure([c for one in results.certifications for c in one.certificates])
    told = [line for line in trust_lines(results) if not line.endswith(": proven")]
    return Headline(says, "".join(f"{line}. " for line in told).strip(), "good", "✔", word)


def _how_sure(certificates: Sequence[CertificateResult]) -> str:
    proven = [certificate.confidence is None for certificate in certificates]
    if all(proven):
        return "proven"
    return "proven, or with a probability" if any(proven) else "with a probability"


def _telling(shares: Sequence[float]) -> tuple[float, float]:
    """Return how much a radius tells, to be compared."""
    return max(shares) - min(shares), -abs(max(shares) - 0.5)


def certified_table(results: Certifications) -> Table:
    """Return certified accuracy at each radius: a row a classifier and certifier."""
    first = results.certifications[0]
    asked = [within.eps for within in first.certificates[0].within]
    return Table(
        title=f"Certified accuracy on {first.scenario.images:,} images of {_scenario(first)}",
        columns=("classifier", "certifier", "clean", *(f"ε = {eps:g}" for eps in asked)),
        sections=[
            [
                (
                    certified_name(one, certificate),
                    certifier_title(certificate),
                    _clean(one, certificate),
                    *(percent(within) for within in certificate.within),
                )
                for certificate in one.certificates
            ]
            for one in results.certifications
        ],
        caption="share of all images that are read rightly, and provably so within ε, with 95 % "
        f"Wilson intervals: {_what_holds(results)}",
    )


def radius_table(results: Certifications) -> Table:
    """Return how far the certificates reach, and what they cost: a row as in `certified_table`."""
    searched = any(c.least for one in results.certifications for c in one.certificates)
    nearest = ("nearest wrong image",) if searched else ()
    return Table(
        title="How far certificates reach, and what they cost",
        columns=(
            "classifier",
            "certifier",
            "certified",
            "abstained",
            "mean radius",
            "median radius",
            "average over all",
            *nearest,
            "passes",
            "seconds",
        ),
        sections=[
            [
                (
                    certified_name(one, c),
                    certifier_title(c),
                    *_reach(c),
                    *([_least(c.least, c.complete)] if searched else ()),
                    *_cost(one, c),
                )
                for c in one.certificates
            ]
            for one in results.certifications
        ],
        caption="mean and median radius are over the certified images, the average is over all; "
        + ("nearest wrong image: median distance (share of searches that ended); " * searched)
        + "passes and seconds are of an image",
    )


def certifier_title(certificate: CertificateResult) -> str:
    """Return a certifier with its norm, such as `crown, L∞`."""
    return f"{certificate.name}, {NORM_TITLES[certificate.norm]}"


def contradiction_lines(results: Certifications) -> list[str]:
    """Return a line for each certifier that certified what the classifier answers wrongly."""
    return [
        f"CONTRADICTION: {c.name} certifies {c.contradictions} images that "
        f"{one.classifier.name} answers wrongly{beyond_chance(c)}: one of the two is wrong"
        for one in results.certifications
        for c in one.certificates
        if c.contradictions
    ]


def trust_lines(results: Certifications) -> list[str]:
    """Return what each certifier's radii are worth, once each."""
    certificates = [c for one in results.certifications for c in one.certificates]
    return list(dict.fromkeys(trust_line(certificate) for certificate in certificates))


def trust_line(certificate: CertificateResult) -> str:
    """Return what a certifier's radii are worth.

    Example:
        >>> trust_line(certificate)
        'smoothing: each radius holds with probability 99.9 %, for the average over infinitely ...'
    """
    variant = certificate.variant
    of = "" if variant is None else f" of the classifier {variant}, not of the classifier as it is"
    if certificate.confidence is None:
        return f"{certificate.name}: proven{of}"
    return (
        f"{certificate.name}: each radius{of} holds with probability "
        f"{100 * certificate.confidence:.4g} %, for the average over infinitely many draws of "
        "noise; a classifier that answers by a few draws may answer otherwise by chance"
    )


def _what_holds(results: Certifications) -> str:
    """Say of what no attack leaves less than was certified."""
    variants = {
        certified_name(one, c): one.classifier.name
        for one in results.certifications
        for c in one.certificates
        if c.variant is not None
    }
    if not variants:
        return "no attack leaves less"
    bare = (f"“{variant}” says nothing of {name} as it is" for variant, name in variants.items())
    return f"no attack on what a row names leaves less; {'; '.join(bare)}"


def _clean(one: Certification, certificate: CertificateResult) -> str:
    if certificate.variant is None:
        return percent(one.clean)
    return "–" if certificate.clean is None else percent(certificate.clean)


def _reach(certificate: CertificateResult) -> Row:
    radius = certificate.radius
    return (
        f"{certificate.certified:.1%}",
        f"{certificate.abstained:.1%}",
        _number(radius.mean),
        _number(radius.median),
        _number(certificate.average_radius),
    )


def _least(least: Spread | None, complete: float | None) -> str:
    if least is None or complete is None:
        return "–"
    return f"{_number(least.median)} ({complete:.0%})"


def _cost(one: Certification, certificate: CertificateResult) -> Row:
    passes = certificate.passes_per_image
    seconds = certificate.seconds / one.scenario.images
    return "–" if passes is None else f"{passes:,.0f}", f"{seconds:.3g}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _scenario(one: Certification) -> str:
    scenario = one.scenario
    shift = f"+{scenario.shift}" if scenario.shift else ""
    return f"{scenario.name}{shift} ({scenario.split})"
