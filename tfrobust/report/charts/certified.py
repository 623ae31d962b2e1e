"""What is proven, as curves: a panel a classifier, a step wherever an image's certificate ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tfrobust.norms.titles import NORM_TITLES
from tfrobust.report.charts.lines import DrawnLine
from tfrobust.report.charts.panels import Panel, drawn_panel, spoken, with_band
from tfrobust.report.charts.scales import Scale
from tfrobust.results.certificates import CertificateResult
from tfrobust.results.certification import Certification, Certifications
from tfrobust.results.metrics import wilson
from tfrobust.types import Norm, PerImage

_MOST_STEPS = 120  # of a curve; of more radii the curve keeps below what is proven
_ROUNDING = 1e-7  # of radii, which are float32
_COLOURS = 6  # of lines, in the page's style


def certified_panels(
    results: Certifications, radii: Mapping[str, np.ndarray]
) -> list[tuple[Norm, list[Panel]]]:
    """Return, for each norm, a panel a classifier with a curve a certifier.

    Args:
        results: the content of `certificates.json`.
        radii: the content of `radii.npz`.
    """
    norms = dict.fromkeys(c.norm for one in results.certifications for c in one.certificates)
    return [(norm, list(_panels(norm, results, radii))) for norm in norms]


def certified_name(one: Certification, certificate: CertificateResult) -> str:
    """Return what was certified, such as `d1`, or `d1 + noise σ=0.25`."""
    name = one.classifier.name
    return name if certificate.variant is None else f"{name} {certificate.variant}"


def _panels(
    norm: Norm, results: Certifications, radii: Mapping[str, np.ndarray]
) -> Iterator[Panel]:
    drawn = [
        (one, list(_lines(number, norm, one, radii)))
        for number, one in enumerate(results.certifications)
    ]
    scale = Scale(0.0, max(line.values[-1] for _, lines in drawn for line in lines))
    for one, lines in drawn:
        yield drawn_panel(
            title=one.classifier.name,
            label=f"radius ({NORM_TITLES[norm]})",
            says=spoken(f"Certified accuracy against the radius in {NORM_TITLES[norm]}", lines),
            lines=lines,
            scale=scale,
            said=lambda line, k: f"{line.name}, radius {line.values[k]:g}: {with_band(line, k)}",
        )


def _lines(
    number: int, norm: Norm, one: Certification, radii: Mapping[str, np.ndarray]
) -> Iterator[DrawnLine]:
    for k, certificate in enumerate(one.certificates):
        if certificate.norm == norm:
            variant = f" {certificate.variant}" if certificate.variant else ""
            yield _line(
                f"{certificate.name}{variant}",
                f"c{k % _COLOURS}",
                radii[f"c{number}_k{k}_radius"].astype(np.float64),
                [within.eps for within in certificate.within],
            )


def _line(name: str, kind: str, radii: PerImage, asked: list[float]) -> DrawnLine:
    """Return the share of images with a certificate of each radius or more."""
    own = np.sort(radii)
    furthest = float(own[-1]) or 1.0
    steps = np.unique(own[own > 0])
    if len(steps) > _MOST_STEPS:
        steps = np.linspace(0.0, furthest, _MOST_STEPS)[1:]
    marks = [eps for eps in asked if eps <= 1.05 * furthest]
    values = np.asarray(sorted({0.0, *steps.tolist(), *marks, 1.05 * furthest}))
    left = len(own) - np.searchsorted(own, values * (1 - _ROUNDING), side="left")
    left[0] = int((own > 0).sum())
    return DrawnLine(
        name,
        kind,
        values.tolist(),
        (left / len(own)).tolist(),
        [wilson(int(count), len(own)) for count in left],
        marked=[0, *np.searchsorted(values, marks).tolist()],
        stepped=True,
    )
