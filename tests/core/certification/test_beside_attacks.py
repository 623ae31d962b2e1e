"""Certificates beside attacks: the accuracy between them, and contradictions."""

import numpy as np
import pytest

from helpers.lying import Lying, LyingByChance
from helpers.support import Drawing, InMemory, refused
from tfrobust import Certificates, Certifier, create, evaluate, plugin
from tfrobust.errors import ContradictionError, UsageError
from tfrobust.evaluation import EvaluationSettings, reattack, run
from tfrobust.report.certificates import between_table, chance_lines, contradiction_lines
from tfrobust.report.charts.panels import panels
from tfrobust.report.page import render
from tfrobust.results.records import Results
from tfrobust.results.run_files import read_results
from tfrobust.testing import LinearClassifier, grey_images
from tfrobust_cli.tables.results import print_results

LINEAR = LinearClassifier(num_classes=2)
IMAGES, LABELS = grey_images(LINEAR, 40)


@plugin
class Exact(Certifier):
    """Certifies the distance of a linear classifier to its next class, in Linf."""

    @property
    def norm(self):
        return "linf"

    def certify(self, classifier, images, labels, *, seed):
        logits = np.asarray(classifier(images), np.float64)
        weights = np.asarray(classifier.weights, np.float64)
        own = np.arange(len(labels)), labels
        gaps = logits[own][:, None] - logits
        lengths = np.abs(weights.T[labels][:, None] - weights.T[None]).sum(axis=2)
        gaps[own], lengths[own] = np.inf, 1.0
        return Certificates(radii=np.maximum((gaps / lengths).min(axis=1), 0.0))


@pytest.fixture
def grey(tmp_path):
    """The images of the linear classifier as a scenario, every fourth with a wrong label."""
    labels = np.where(np.arange(40) % 4 == 0, (LABELS + 1) % LINEAR.num_classes, LABELS)
    np.savez(tmp_path / "grey.npz", images=IMAGES, labels=labels)
    return create("scenarios", "arrays", path=tmp_path / "grey.npz", classes=LINEAR.num_classes)


def attacks(*budgets, norm="linf"):
    return [create("attacks", "pgd", eps=eps, norm=norm, steps=20) for eps in budgets]


def evaluated(grey, certifiers, given=None, classifier=LINEAR, **options):
    given = attacks(0.004, 0.02) if given is None else given
    options = {"baselines": ()} | options
    return evaluate({"linear": classifier}, grey, given, certifiers=certifiers, **options)


def test_an_exact_certificate_meets_an_exact_attack_at_every_budget(grey):
    radii = np.sort(Exact().certify(LINEAR, IMAGES, LABELS, seed=0).radii)
    between = [
        first + int(np.diff(radii[first:last]).argmax()) for first, last in ((8, 16), (22, 32))
    ]
    budgets = [float(radii[k] + radii[k + 1]) / 2 for k in between]
    shown = evaluated(grey, [Exact()], attacks(*budgets))
    [one] = shown.results.evaluations
    [line] = one.certificates
    assert [within.eps for within in line.within] == budgets
    assert 0 < line.within[1].accuracy < line.within[0].accuracy < one.clean.accuracy
    assert line.contradictions == line.by_chance == 0
    for within, attacked, attack in zip(line.within, line.attacked, one.attacks, strict=True):
        assert within.accuracy == attacked.accuracy == attack.accuracy
    assert Results.model_validate_json(shown.results.to_json()) == shown.results
    assert contradiction_lines(shown.results) == chance_lines(shown.results) == []
    table = between_table(shown.results)
    assert [row[2] for row in table.sections[0]] == [f"L∞ ≤ {budget:g}" for budget in budgets]
    share = f"{100 * line.within[0].accuracy:.1f} %"
    assert table.sections[0][0][-1] == f"between certified {share} and attacked {share}"
    page = render(shown.results, shown.outcomes)
    assert table.sections[0][0][-1] in page
    assert "CONTRADICTION" not in page
    [(_, [panel])] = panels(shown.results, shown.outcomes)
    assert "certified by exact" in [curve.name for curve in panel.curves]
    [axes] = shown.results.plot.curves(shown.outcomes).axes
    assert "linear · certified by exact" in [line.get_label() for line in axes.get_lines()]


def test_a_lying_certifier_is_contradicted_by_every_image_that_is_broken_within_its_radius(grey):
    shown = evaluated(grey, [Lying(radius=0.02), Exact()], attacks(0.004, 0.019, 0.03))
    [one] = shown.results.evaluations
    lying, exact = one.certificates
    assert exact.contradictions == 0
    assert lying.contradictions == round(40 * (1 - one.attacks[1].accuracy))
    assert lying.contradicted_by == ["clean images", "pgd"]
    [line] = contradiction_lines(shown.results)
    assert line.startswith(f"CONTRADICTION: {lying.contradictions} images of linear are certified")
    assert line in render(shown.results, shown.outcomes)


def test_the_distance_of_a_minimum_norm_attack_contradicts_whatever_its_budget(grey):
    attack = create("attacks", "fmn", norm="linf", steps=60, eps=0.001)
    [one] = evaluated(grey, [Lying(radius=1.0), Exact()], [attack]).results.evaluations
    lying, exact = one.certificates
    assert (lying.contradictions, exact.contradictions) == (40, 0)
    assert lying.within[0].eps == 0.001


def test_what_breaks_by_chance_only_is_counted_apart_and_said_unless_it_is_too_much(grey, capsys):
    shown = evaluated(grey, [LyingByChance(radius=0.02)])
    [line] = shown.results.evaluations[0].certificates
    assert line.by_chance == 0 < line.contradictions  # far more than one in a hundred
    [said] = contradiction_lines(shown.results)
    assert "pgd, more than its confidence of 99 % allows for: the certifier" in said
    assert chance_lines(shown.results) == []
    with pytest.raises(ContradictionError):
        print_results(shown.results)
    noisy = evaluated(grey, [Lying(radius=0.02)], classifier=Drawing(LINEAR))
    [drawn] = noisy.results.evaluations[0].certificates
    assert drawn.contradictions == 0 < drawn.by_chance
    assert contradiction_lines(noisy.results) == []
    [said] = chance_lines(noisy.results)
    assert f"{drawn.by_chance} images were broken within their radius" in said


def test_a_run_is_written_before_a_contradiction_ends_the_command_with_1(grey, tmp_path, capsys):
    settings = EvaluationSettings(
        classifiers={"linear": LINEAR},
        scenario=grey,
        attacks=attacks(0.02),
        baselines=(),
        certifiers=[Lying()],
    )
    results = run(settings, tmp_path / "run")
    assert read_results(tmp_path / "run") == results
    assert "CONTRADICTION" in (tmp_path / "run" / "report.html").read_text()
    with pytest.raises(ContradictionError, match="certified by lying and broken") as raised:
        print_results(results, out=tmp_path / "run")
    assert raised.value.exit_code == 1
    assert "Between proof and attack" in capsys.readouterr().out


def test_images_that_could_not_be_computed_are_left_out_of_the_certificate_too(grey, monkeypatch):
    from tfrobust.evaluation import evaluator
    from tfrobust.execution.executor import Failed, InProcess

    class Losing(InProcess):
        def map(self, job, blocks):
            for block, rows in super().map(job, blocks):
                yield block, Failed("killed") if block.start == 10 else rows

    settings = EvaluationSettings(
        classifiers={"linear": LINEAR},
        scenario=grey,
        attacks=attacks(0.02),
        baselines=(),
        block_size=10,
        batch_size=10,
        certifiers=[Exact()],
    )
    shown = evaluator.evaluate_settings(settings, executor=Losing())
    [line] = shown.results.evaluations[0].certificates
    assert line.within[0].accuracy == pytest.approx(line.attacked[0].accuracy)
    assert line.contradictions == 0


def test_what_says_nothing_of_the_attacks_is_refused_before_they_run(grey):
    smoothing = create("certifiers", "smoothing", sigma=0.1, n=10)
    linf = create("certifiers", "smoothing", sigma=0.1, n=10, norm="linf")
    refused(
        UsageError,
        lambda: evaluated(grey, [smoothing]),
        "smoothing: its radii are in l2, and the attacks work in linf",
        "-p smoothing.norm",
    )
    refused(
        UsageError,
        lambda: evaluated(grey, [linf]),
        "linear: smoothing would certify it with other noise",
        "tfrobust certify",
    )
    settings = EvaluationSettings(
        classifiers={"new": LINEAR},
        crafted_on=("old", LinearClassifier(num_classes=2)),
        scenario=InMemory(),
        attacks=attacks(0.1),
        certifiers=[linf],
    )
    refused(UsageError, lambda: reattack(settings), "cannot be combined with certifiers")
