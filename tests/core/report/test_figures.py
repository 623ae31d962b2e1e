"""Figures of Matplotlib inside of a page: its colours, its size, its caption; and lights."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from tfrobust.report.charts.colours import COLOURS, shaded
from tfrobust.report.charts.figures import as_svg
from tfrobust.report.charts.themed import themed
from tfrobust.report.charts.tiles import with_lighter_images
from tfrobust.report.detectors import _boundary, _edges, _is_shown
from tfrobust.report.diagnosis import headline, light
from tfrobust.results.diagnosis import Diagnosis
from tfrobust.results.findings import Finding


def drawn(*images):
    figure = Figure(figsize=(4, 2), layout="constrained")
    lines, *axes = figure.subplots(1, 1 + len(images), squeeze=False)[0]
    for number, colour in enumerate(COLOURS):
        lines.plot([0, 1], [number, 1], color=colour)
        lines.scatter([0], [number], color=shaded(colour))
    lines.set_xlabel("score")
    for image, axis in zip(images, axes, strict=True):
        axis.imshow(image, interpolation="none")
    return as_svg(figure, "figure")


def test_a_figure_has_the_colours_of_the_page_it_stands_in():
    alone = drawn()
    inside = themed(alone)
    assert "#ffffff" in alone
    assert not re.findall(r"#(?:ffffff|000000)(?![0-9a-f])", inside)
    assert not any(colour.lower() in inside for colour in (*COLOURS, *map(shaded, COLOURS)))
    for number in range(len(COLOURS)):
        assert f"stroke: var(--c{number})" in inside
        assert f"fill: color-mix(in srgb, var(--c{number}) 55%, var(--ink))" in inside
    assert inside.startswith('<svg fill="currentColor" ')  # letters declare no colour


def test_the_images_of_a_page_of_figures_fit_it(monkeypatch):
    monkeypatch.setattr("tfrobust.report.charts.tiles._FIGURES_BYTES", 20_000)
    noise = np.random.default_rng(0).random((4, 64, 64, 3))
    glassy = np.dstack([noise[0], np.full((64, 64), 0.5)])
    svgs = [drawn(*noise), drawn(glassy)]
    lighter = with_lighter_images(svgs)
    images = re.findall(r'"(data:image/webp[^"]*)"', lighter[0])
    assert len(images) == 4
    assert sum(map(len, images)) < 20_000 < len(svgs[0]) / 2
    assert lighter[1] == svgs[1]  # transparent pixels stay
    shown = re.compile(r'<image [^>]*?(transform="[^"]*")')
    for before, after in zip(svgs, lighter, strict=True):
        assert shown.findall(before) == shown.findall(after)


def test_a_diagnosis_without_a_check_that_could_be_made_has_no_green_light():
    share = {"accuracy": 0.8, "interval": (0.7, 0.9)}
    finding = Finding(check="odd", verdict="not applicable", says="cannot", source="s")
    diagnosis = Diagnosis(
        classifier="one", scenario="digits", split="test", images=50, seed=0, norm="linf", eps=0.1,
        attack="pgd", params={}, thorough=False, clean=share, attacked=share, lowest=share,
        findings=[finding], gradients_per_image=1, queries_per_image=1, seconds=1,
    )  # fmt: skip
    assert diagnosis.verdict == "not applicable"
    assert (light(diagnosis).light, light(diagnosis).trust) == ("none", "no check could be made.")
    assert headline(diagnosis) == "no check could be made: pgd leaves 80.0 %"


@pytest.mark.parametrize(
    ("threshold", "says"),
    [
        (0.5, "dotted: its boundary"),
        (7.0, "its boundary, 7, lies above what is shown"),
        (-1.0, "its boundary, -1, lies below what is shown"),
    ],
)
def test_a_boundary_is_called_dotted_only_where_it_is_drawn(threshold, says):
    edges = _edges(np.linspace(0, 1, 200), np.linspace(0, 2, 200))
    assert _boundary(threshold, edges) == says
    assert _is_shown(threshold, edges) == says.startswith("dotted")
