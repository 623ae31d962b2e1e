"""Tables, claims and verdicts of a study."""

import dataclasses

import pytest

from helpers.small_study import SMALL, finished_by_hand
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.results.claims import check_claims
from tfrobust.study.results.judging import on_points
from tfrobust.study.results.lookup import Lookup, in_paper
from tfrobust.study.results.masking import _range, masked_verdicts
from tfrobust.study.results.tables import study_tables
from tfrobust.study.schema.files import find_study
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.outputs import Check


def test_tables_show_paper_ours_and_the_difference(study, tmp_path):
    figures = {
        ("small", "clean"): {"plain.clean": 0.75},
        ("small", "fgsm"): {
            "averaged.accuracy": 0.2,
            "averaged.variance_threshold.clean_mean": 1e-3,
        },
    }
    (table,) = study_tables(study, finished_by_hand(study, "tiny", tmp_path, figures))
    ((network, cells),) = table.rows
    assert network == "4 units"
    assert [dataclasses.astuple(cell) for cell in cells] == [
        ("50.0%", "75.0%", "+25.0"),
        ("25.0%", "20.0%", "-5.0"),
        ("2.00e-03", "1.00e-03", "× 0.5"),
    ]


def test_several_seeds_give_a_mean_and_a_deviation(study, tmp_path):
    figures = {("small", "clean"): [{"plain.clean": 0.7}, {"plain.clean": 0.9}]}
    (table,) = study_tables(study, finished_by_hand(study, "twice", tmp_path, figures))
    assert table.rows[0][1][0].ours == "80.0% ± 14.1%"


def test_a_difference_is_taken_within_a_seed(study, tmp_path):
    less = {"condition": "fgsm", "figure": "plain.accuracy"}
    gain = Measured(condition="fgsm", figure="averaged.accuracy", less=Measured(**less))
    figures = {
        ("small", "fgsm"): [
            {"averaged.accuracy": 0.9},  # the other figure is missing here
            {"averaged.accuracy": 0.5, "plain.accuracy": 0.4},
        ]
    }
    lookup = finished_by_hand(study, "twice", tmp_path, figures)
    assert lookup.values("small", gain) == pytest.approx([0.1])


def test_claims_hold_fail_or_are_not_yet_known(study, tmp_path):
    nothing = check_claims(study, Lookup(cells_of(study, "tiny"), tmp_path / "none"))
    assert [claim.holds for claim in nothing] == [None, None]
    figures = {
        ("small", "clean"): {"plain.clean": 0.5},
        ("large", "clean"): {"plain.clean": 0.8},
    }
    text = SMALL.text.replace("minutes = 1", "minutes = 1\nseed_spread = 0.01", 1)
    study = SMALL.written(tmp_path, text.replace("images = 30", "images = 3000"))
    claims = check_claims(study, finished_by_hand(study, "tiny", tmp_path / "a", figures))
    assert [claim.holds for claim in claims] == [True, None]
    assert claims[0].checks[0].numbers == {"4 units": "50.0%", "32 units": "80.0%"}
    figures[("large", "clean")] = {"plain.clean": 0.4}
    claims = check_claims(study, finished_by_hand(study, "tiny", tmp_path / "b", figures))
    assert claims[0].holds is False


CHECKS = {
    "rising": ([0.1, 0.2, 0.3], True),
    "rising, equal ends": ([0.2, 0.2, 0.2], False),
    "rising, a slip within tolerance": ([0.1, 0.095, 0.3], True),
    "rising, a slip beyond it": ([0.1, 0.05, 0.3], False),
    "rising, slips that add up": ([0.1, 0.095, 0.088, 0.3], False),
    "rising, not far enough": ([0.1, 0.12, 0.14], False),
    "rising, too far": ([0.1, 0.3, 0.9], False),
    "falling": ([0.3, 0.2, 0.1], True),
    "falling, turned round": ([0.1, 0.2, 0.3], False),
    "within": ([0.1, -0.15], True),
    "within, one outside": ([0.1, -0.16], False),
    "least": ([0.1, 0.2], True),
    "least, another": ([0.2, 0.1], False),
    "second greatest": ([0.2, 0.1, 0.3], True),
    "second greatest, the first": ([0.3, 0.1, 0.2], False),
    "leap": ([0.2, 0.1, 0.3], False),
    "leap, to the second": ([0.1, 0.3, 0.4], True),
    "leap, never up": ([0.3, 0.2, 0.1], False),
    "below": ([0.1, 0.15], True),
    "below, one above": ([0.1, 0.16], False),
    "above": ([0.15, 0.2], True),
    "greatest": ([0.3, 0.2], True),
    "greatest, another": ([0.2, 0.3], False),
}


@pytest.mark.parametrize(("values", "holds"), CHECKS.values(), ids=CHECKS)
def test_a_check_compares_according_to_its_kind(values, holds, request):
    kind = request.node.callspec.id.partition(",")[0]
    networks = [f"n{k}" for k in range(len(values))]
    check = Check(
        kind=kind.removeprefix("second "),
        value={"condition": "c", "figure": "f"},
        networks=networks,
        tolerance=0.01,
        by=0.05,
        at_most=0.7,
        place=2 if kind.startswith("second") else 1,
        bound=0.15,
        winners=("n1" if kind == "leap" else "n0",),
    )
    assert on_points(check, dict(zip(networks, values, strict=True))) is holds


def test_claims_are_checked_on_the_papers_own_figures_too():
    study, _ = find_study("quantized-dropout")
    papers = in_paper(study)
    assert papers["full", "clean", "multi.clean"] == 0.994
    claims = check_claims(study, Lookup([], None))
    assert [claim.holds for claim in claims] == [None] * 6
    assert [claim.in_paper for claim in claims] == [True] * 6


def test_a_network_that_looks_robust_and_falls_is_named(study, tmp_path):
    figures = {
        ("small", "clean"): {"plain.clean": 0.6},
        ("small", "fgsm"): {"plain.accuracy": 0.05},
        ("large", "clean"): {"plain.clean": 0.6},
        ("large", "fgsm"): {"plain.accuracy": 0.2},
    }
    ((rule, verdicts),) = masked_verdicts(study, finished_by_hand(study, "tiny", tmp_path, figures))
    assert rule.title == "At 0.2"
    assert {verdict.naive_range for verdict in verdicts} == {""}
    assert [(verdict.network, verdict.masked) for verdict in verdicts] == [
        ("4 units", True),
        ("32 units", False),
    ]


def test_no_verdict_is_given_before_every_attack_is_known(study, tmp_path):
    figures = {("small", "clean"): {"plain.clean": 0.6}, ("large", "fgsm"): {"plain.accuracy": 0.2}}
    ((_, verdicts),) = masked_verdicts(study, finished_by_hand(study, "tiny", tmp_path, figures))
    assert verdicts == []


def test_the_interval_of_a_swept_figure_is_that_of_its_value():
    class OneSeed:
        def values(self, network, measured):
            ends = {"plain.accuracy_low@40": [0.1], "plain.accuracy_high@40": [0.3]}
            return ends.get(measured.figure, [])

    swept = Measured(condition="noise", figure="plain.accuracy@40")
    assert _range(OneSeed(), "small", swept) == " [10.0, 30.0]"
