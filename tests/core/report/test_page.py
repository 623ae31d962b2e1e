"""The page: its headline, curves that bound what they show, the fate of classes, and its safety."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from helpers.support import InMemory, small_classifier
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.registry import create
from tfrobust.report.charts.axes import axes_of
from tfrobust.report.charts.lines import TOGETHER, drawn_lines
from tfrobust.report.charts.panels import panels
from tfrobust.report.fates import class_tables
from tfrobust.report.headline import headline
from tfrobust.report.page import render
from tfrobust.results.findings import Finding, Signs

NAME = "<b>x</b>"
ATTACKS = [create("attacks", "fgsm", eps=eps) for eps in (0.1, 0.2)]
NEAREST = [create("attacks", "deepfool", norm="linf"), create("attacks", "cw_l2", eps=0.5)]


@pytest.fixture(scope="module")
def evaluated():
    both = {NAME: small_classifier(), "y": small_classifier()}
    both["y"].model.set_weights([3 * weight for weight in both["y"].model.get_weights()][::1])
    return evaluate(both, InMemory(images=40), [*ATTACKS, *NEAREST])


@pytest.fixture(scope="module")
def page(evaluated):
    return render(evaluated.results, evaluated.outcomes)


def test_the_worst_case_is_never_above_an_attack_and_meets_what_was_measured(evaluated):
    results, outcomes = evaluated.results, evaluated.outcomes
    for axis in axes_of(results):
        for number, evaluation in enumerate(results.evaluations):
            lines = {line.name: line for line in drawn_lines(axis, number, evaluation, outcomes)}
            worst = lines.pop(TOGETHER)
            clean = outcomes.column(f"e{number}_clean") == outcomes.column("label")
            for at in worst.marked:  # counted image by image
                left = clean.copy()
                for k, attack in enumerate(evaluation.attacks):
                    if attack.threat.norm != axis.norm:
                        continue
                    near = outcomes.row(number, k, axis.norm) <= worst.values[at] * (1 + 1e-9)
                    if attack.minimum_norm:
                        left &= ~(outcomes.row(number, k, "reached") & near)
                    elif attack.params["eps"] <= worst.values[at]:
                        left &= ~outcomes.row(number, k, "success")
                assert worst.shares[at] == pytest.approx(left.mean())
            assert (np.diff(worst.shares) <= 1e-12).all()
            for line in lines.values():
                grid = np.linspace(0, max(line.values), 200)
                drawn = np.interp(grid, worst.values, worst.shares)
                assert (drawn <= np.interp(grid, line.values, line.shares) + 0.02).all(), line.name
            if axis.norm == "l2":  # one attack alone: its curve is the worst case
                [alone] = lines.values()
                shares = np.interp(worst.values, alone.values, alone.shares)
                assert np.allclose(worst.shares, shares, atol=0.03)


def test_marks_stand_for_the_figures_of_the_table(evaluated):
    results = evaluated.results
    drawn = dict(panels(results, evaluated.outcomes))
    for panel, evaluation in zip(drawn["linf"], results.evaluations, strict=True):
        [fgsm] = [curve for curve in panel.curves if curve.name == "fgsm"]
        expected = [evaluation.clean, *evaluation.attacks[:2]]
        assert [float(mark.says.split(": ")[1].split(" %")[0]) for mark in fgsm.marks] == [
            pytest.approx(100 * figure.accuracy, abs=0.05) for figure in expected
        ]
        assert panel.curves[-1].name == TOGETHER
        assert panel.curves[-1].band


def test_a_headline_names_the_best_its_budget_and_what_to_think_of_it(evaluated):
    found = headline(evaluated.results, evaluated.outcomes)
    assert re.match(r".+ keeps [\d.]+\N{NO-BREAK SPACE}% at L(∞|2) ≤ [\d.]+ \(95 %: ", found.says)
    assert found.light == "none"
    assert "No signs" in found.trust
    for verdict, light, sign in (("fine", "good", "✔"), ("masked", "bad", "✖")):
        finding = Finding(check="gradients", source="", verdict=verdict, cause="c", says="vanish")
        results = evaluated.results.model_copy(deep=True)
        for evaluation in results.evaluations:
            evaluation.signs = Signs(findings=[finding])
        shown = headline(results, evaluated.outcomes)
        assert (shown.light, shown.sign) == (light, sign)
        assert ("y: masked: vanish" in shown.trust) == (verdict == "masked")


@pytest.mark.parametrize("unseen", [None, Signs(findings=[])], ids=["not asked", "no check"])
@pytest.mark.parametrize(
    ("verdict", "light", "trust"),
    [
        ("fine", "none", "nothing suspicious in y; tfrobust diagnose looks closer, with attacks."),
        ("masked", "bad", "y: masked: vanish."),
    ],
)
def test_a_headline_speaks_for_no_classifier_that_was_not_looked_at(
    evaluated, unseen, verdict, light, trust
):
    finding = Finding(check="gradients", source="", verdict=verdict, says="vanish")
    results = evaluated.results.model_copy(deep=True)
    results.evaluations[0].signs = unseen
    results.evaluations[1].signs = Signs(findings=[finding])
    shown = headline(results, evaluated.outcomes)
    assert shown.light == light
    assert shown.trust.endswith(f"{trust} Nothing was looked for of {NAME}.")


def test_a_run_without_attacks_has_a_headline_of_clean_accuracies():
    clean = evaluate({"c": small_classifier()}, InMemory(images=8), [], baselines=())
    assert "no attack was run" in headline(clean.results, clean.outcomes).says


def test_classes_are_counted_before_and_after(evaluated):
    table = class_tables(evaluated.results, evaluated.outcomes)[0]
    label = evaluated.outcomes.column("label")
    right = evaluated.outcomes.column("e0_clean") == label
    for name, images, clean, after, _ in table.sections[0]:
        k = int(name.removeprefix("class "))
        assert int(images) == (label == k).sum()
        assert clean == f"{right[label == k].mean():.1%}"
        assert float(after[:-1]) <= float(clean[:-1])
    assert sum(int(row[1]) for row in table.sections[0]) == 40


def test_only_the_script_of_the_page_may_run_and_nothing_is_requested(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert NAME not in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert len(page) < 1e6 / 3


class Figures(HTMLParser):
    """It collects what has to be read aloud."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))


def test_figures_have_words_and_tables_have_heads(page):
    parser = Figures()
    parser.feed(page)
    for tag, attributes in parser.seen:
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        if tag == "img":
            assert attributes["alt"]
        if tag == "th":
            assert attributes["scope"] == "col"
    assert sum(tag == "svg" for tag, _ in parser.seen) == 4
