"""The report: remarks that stand once, titles of attacks, and names of classes."""

import numpy as np
import pytest

from helpers.support import InMemory, small_classifier
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.registry import create
from tfrobust.report import accuracy_table, cost_table
from tfrobust.report.charts.panels import panels
from tfrobust.report.charts.projections import projections_figure
from tfrobust.report.page import render
from tfrobust.report.tables import attack_title
from tfrobust.results.records import Results

FIRST = "<b>a class with quite a long name</b>"


class Named(InMemory):
    @property
    def class_names(self):
        return FIRST, "b", "c"


@pytest.fixture(scope="module")
def transferred():
    """Two classifiers under attacks that were crafted on a third one, and under noise."""
    attacks = [create("attacks", "fgsm", eps=0.2), create("attacks", "fgsm", eps=0.4)]
    both = {"x": small_classifier(), "y": small_classifier()}
    onto = ("a:b", small_classifier())
    noise = [create("attacks", "gaussian_noise", eps=0.2)]
    return evaluate(both, Named(images=12), attacks, crafted_on=onto, baselines=noise)


def test_the_classifier_that_all_attacks_were_crafted_on_is_named_once(transferred):
    for table in (accuracy_table(transferred.results), cost_table(transferred.results)):
        assert table.caption.count("crafted on a:b") == 1
        assert "crafted on" not in str(table.sections)


def test_what_a_surrogate_imitates_is_said_beside_its_name(transferred):
    results = transferred.results.model_copy(deep=True)
    results.evaluations[0].attacks[0].imitated = "http://localhost:8501/v1/models/digits"
    caption = accuracy_table(results).caption
    assert "crafted on a:b, a surrogate of http://localhost:8501/v1/models/digits" in caption


def test_attacks_crafted_on_different_classifiers_name_them(transferred):
    results = transferred.results.model_copy(deep=True)
    results.evaluations[1].attacks[0].crafted_on = None
    table = accuracy_table(results)
    assert "crafted on" not in table.caption
    assert [row[0].endswith("crafted on a:b") for row in table.sections[1]] == [True, True]


def test_a_title_shows_the_options_that_distinguish_an_attack(transferred):
    noise = transferred.results.evaluations[0].baselines[0]
    assert noise.crafted_on == "a:b"
    assert "crafted" not in attack_title(noise)  # it asks no classifier
    blur = {"name": "box_blur", "params": {"sigma": 2.5, "region": "background"}}
    attack = noise.model_copy(update=blur)
    attack.threat = attack.threat.model_copy(update={"norm": None})
    assert attack_title(attack) == "box_blur  σ = 2.5, background only"


def test_an_attack_whose_plugin_is_not_installed_is_titled_by_its_name(transferred):
    noise = transferred.results.evaluations[0].baselines[0]
    attack = noise.model_copy(update={"name": "theirs", "params": {"sigma": 2.5}})
    attack.threat = attack.threat.model_copy(update={"norm": None})
    assert attack_title(attack) == "theirs"


def test_every_swept_option_makes_a_curve_of_its_own():
    attacks = [
        create("attacks", "bim", eps=eps, steps=steps) for eps in (0.1, 0.2) for steps in (1, 3)
    ]
    attacks += [create("attacks", "gaussian_blur", sigma=sigma) for sigma in (0.5, 1.0)]
    evaluated = evaluate({"x": small_classifier()}, InMemory(images=8), attacks, baselines=())
    drawn = dict(panels(evaluated.results, evaluated.outcomes))
    assert list(drawn) == ["linf", "steps", "sigma"]
    expected = {
        "linf": ["budget ε (L∞)", "bim, steps=1", "bim, steps=3", "all together"],
        "steps": ["steps", "bim, eps=0.1", "bim, eps=0.2"],
        "sigma": ["standard deviation σ of the kernel, in pixels", "gaussian_blur"],
    }
    for name, (label, *curves) in expected.items():
        [panel] = drawn[name]
        assert panel.label == label
        assert [curve.name for curve in panel.curves] == curves
    drawn = evaluated.results.plot.curves(evaluated.outcomes)
    assert [axes.get_xlabel() for axes in drawn.axes] == [words[0] for words in expected.values()]


def test_pictures_name_the_classes_and_older_results_number_them(transferred):
    page = render(transferred.results, transferred.outcomes)
    assert "predicted b" in page
    assert FIRST not in page
    assert FIRST.replace("<", "&lt;").replace(">", "&gt;") in page
    older = transferred.results.model_dump()
    for evaluation in older["evaluations"]:
        del evaluation["classifier"]["class_names"]
    assert "predicted 1" in render(Results.model_validate(older), transferred.outcomes)


def test_a_separate_figure_of_streams_has_a_heading_and_named_axes():
    points = np.random.default_rng(0).normal(size=(4, 2))
    drawn = projections_figure(
        {"sky": (points, points)}, np.arange(4) % 2, "ab", "t", heading="under fgsm"
    )
    for words in ("under fgsm", "sky", "first direction", "second direction"):
        assert f"<!-- {words}" in drawn
