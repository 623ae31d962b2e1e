"""The gate: conditions as they are typed, what they are asked of, drops, masking, and outputs."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from helpers.support import InMemory, small_classifier
from tfrobust.errors import UsageError
from tfrobust.evaluation.runs import run
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.registry import create
from tfrobust.report.conditions import Figure, figures_of, read_condition
from tfrobust.report.gate import Gate, junit_of, table_of
from tfrobust.results.diagnosis import Diagnosis
from tfrobust.results.findings import Finding
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.proportions import Proportion
from tfrobust.results.records import Results

SCENARIO = InMemory(images=60)


def evaluated(folder, *attacks, diagnosis=True):
    settings = EvaluationSettings(
        classifiers={"c": small_classifier()}, scenario=SCENARIO, attacks=attacks, baselines=(),
        diagnosis=diagnosis,
    )  # fmt: skip
    run(settings, folder)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    fgsm = [create("attacks", "fgsm", eps=eps) for eps in (0.1, 0.3)]
    others = [create("attacks", "pgd", eps=0.1, steps=5), create("attacks", "cw_l2", eps=0.5)]
    evaluated(folder / "both", *fgsm, *others)
    evaluated(folder / "weak", create("attacks", "fgsm", eps=0.1), diagnosis=False)
    return folder


@pytest.mark.parametrize(
    ("text", "holding", "failing"),
    [
        ("clean >= 0.9", 0.9, 0.89),
        ("accuracy@linf=0.1>0.4", 0.41, 0.4),
        ("pgd@l2=0.5 <= 0.3", 0.3, 0.31),
        (" certified@linf=1e-1 < 0.3 ", 0.29, 0.3),
    ],
)
def test_a_condition_is_read_as_it_is_typed(text, holding, failing):
    condition = read_condition(text)
    assert condition.holds(holding)
    assert not condition.holds(failing)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("accuracy", "such as accuracy@linf=0.1 >= 0.4"),
        ("accuracy@linf >= 0.4", "such as accuracy@linf=0.1 >= 0.4"),
        ("accuracy@l7=0.1 >= 0.4", "one of linf, l2, l1, l0 after @; received: 'l7'"),
        ("accuracy >= 40", "a share from 0 to 1"),
        ("accuracy >= nan", "a share from 0 to 1"),
        ("accuracy@linf=x >= 0.4", "such as accuracy@linf=0.1 >= 0.4"),
        ("__import__('os') >= 0", "such as accuracy@linf=0.1 >= 0.4"),
    ],
)
def test_what_is_no_condition_is_refused(text, says):
    with pytest.raises(UsageError) as refused:
        read_condition(text)
    assert says in str(refused.value)


def test_the_worst_case_at_a_budget_counts_attacks_of_its_norm_up_to_it(runs):
    outcomes = Outcomes.read(runs / "both")
    [evaluation] = Results.load(runs / "both").evaluations
    found = {figure.name: figure.share for figure in figures_of(0, evaluation, outcomes)}
    label = outcomes.column("label")
    left = [outcomes.column("e0_clean") == label]
    left += [outcomes.row(0, k, "prediction") == label for k in range(4)]
    for name, rows in {
        "accuracy@linf=0.1": (0, 1, 3), "accuracy@linf=0.3": (0, 1, 2, 3),
        "accuracy@l2=0.5": (0, 4),
        "accuracy": (0, 1, 2, 3, 4), "pgd@linf=0.1": (0, 3), "clean": (0,),
    }.items():  # fmt: skip
        right = np.logical_and.reduce([left[row] for row in rows])
        assert found[name].accuracy == pytest.approx(right.mean()), name


def test_a_figure_that_is_not_there_is_named_with_those_that_are(runs):
    gate = Gate(conditions=[read_condition("accuracy@linf=0.2 >= 0.4")])
    with pytest.raises(UsageError, match=r"no figure accuracy@linf=0\.2; there are clean, accur"):
        gate.check(runs / "both")


def test_a_confident_gate_asks_it_of_the_whole_interval(runs):
    clean = Results.load(runs / "both").evaluations[0].clean
    condition = read_condition(f"clean >= {clean.accuracy - 0.01:.3f}")
    assert [one.holds for one in Gate(conditions=[condition]).check(runs / "both")] == [True]
    confident = Gate(conditions=[condition], confident=True)
    assert [one.holds for one in confident.check(runs / "both")] == [False]


def test_drops_are_those_of_the_same_images(runs):
    [one, *others] = Gate(baseline=runs / "weak").check(runs / "both")
    assert (one.asked, one.holds) == ("clean: drop ≤ 0 points", True)
    assert all(other.holds for other in others)
    weak, both = (Outcomes.read(runs / name) for name in ("weak", "both"))
    assert np.array_equal(weak.column("label"), both.column("label"))


def test_masking_has_to_be_looked_for(runs):
    gate = Gate(no_masking=True)
    assert [one.holds for one in gate.check(runs / "both")] == [True]
    [one] = gate.check(runs / "weak")
    assert not one.holds
    assert one.found.startswith("nothing was looked for; evaluate with")


@pytest.mark.parametrize("verdict", ["fine", "not applicable"])
def test_a_diagnosis_in_which_no_check_could_be_made_does_not_pass(runs, verdict):
    share = {"accuracy": 0.8, "interval": (0.7, 0.9)}
    finding = Finding(check="odd", verdict=verdict, says="says", source="s")
    diagnosis = Diagnosis(
        classifier="c", scenario="memory", split="test", images=60, seed=0, norm="linf",
        eps=0.1, attack="pgd", params={}, thorough=False, clean=share, attacked=share,
        lowest=share, findings=[finding], gradients_per_image=1, queries_per_image=1, seconds=1,
    )  # fmt: skip
    [one] = Gate(no_masking=True, diagnoses=[diagnosis]).check(runs / "weak")
    assert one.holds == (verdict == "fine")


def test_an_attack_of_the_baseline_that_is_gone_fails(runs):
    checked = Gate(baseline=runs / "both", max_drop=1.0).check(runs / "weak")
    gone = {one.asked for one in checked if not one.holds}
    assert gone == {
        "fgsm L∞ ≤ 0.3, as in the baseline",
        "pgd L∞ ≤ 0.1, as in the baseline",
        "cw_l2 L2 ≤ 0.5, as in the baseline",
    }


def test_budgets_are_asked_for_as_they_are_printed():
    figure = Figure("pgd", "linf", 8 / 255, Proportion(accuracy=0.5, interval=(0.4, 0.6)))
    for typed in ("8/255", "0.0313725", "0.031372549"):
        assert read_condition(f"pgd@linf={typed} >= 0.4").of([figure], "c") == [figure]
    with pytest.raises(UsageError, match="such as accuracy"):
        read_condition("pgd@linf=8/0 >= 0.4")


def test_outputs_count_what_fails(runs):
    asked = [read_condition("clean >= 0"), read_condition("accuracy <= 0")]
    checked = Gate(conditions=asked).check(runs / "weak")
    assert table_of(runs / "weak", checked).title.endswith("1 of 2 do not hold")
    [suite] = ET.fromstring(junit_of(runs / "weak", checked))  # noqa: S314
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert suite.find("testcase/failure").get("message").startswith("accuracy ")


@pytest.mark.parametrize(
    ("options", "says"),
    [({}, "--min, --max-drop-from or --no-masking"), ({"max_drop": 2.0}, "--max-drop-from")],
)
def test_a_gate_that_asks_nothing_is_refused(options, says):
    with pytest.raises(UsageError, match=says):
        Gate(**options)
