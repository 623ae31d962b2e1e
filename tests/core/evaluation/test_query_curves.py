"""Results and their page tell what black-box attacks reached by how many queries."""

import math

import pydantic
import pytest

from helpers.support import InMemory, small_classifier
from tfrobust.evaluation.curves.queries import area
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.registry import create
from tfrobust.report.page import render
from tfrobust.report.queries import query_figures, query_table
from tfrobust.results.query_curve import QueryCurve
from tfrobust.results.records import Results


@pytest.fixture(scope="module")
def evaluated():
    attacks = [
        create("attacks", "square", eps=0.3, queries=40),
        create("attacks", "geoda", queries=60),
        create("attacks", "fgsm"),
    ]
    return evaluate({"d<1>": small_classifier()}, InMemory(images=12), attacks)


def test_a_curve_ends_at_the_accuracy_and_the_distance_of_the_attack(evaluated):
    square, geoda, fgsm = evaluated.results.evaluations[0].attacks
    assert square.by_queries.accuracy[-1] == pytest.approx(square.accuracy)
    assert square.by_queries.accuracy == sorted(square.by_queries.accuracy, reverse=True)
    assert square.by_queries.distance is None
    assert square.by_queries.queries[-1] <= 50
    assert geoda.by_queries.accuracy is None
    reached = geoda.by_queries.distance[-1]
    assert geoda.success_rate == 1
    assert reached == pytest.approx(geoda.distance["l2"].median, rel=3e-3)
    assert fgsm.by_queries is None


def test_the_page_and_the_frame_show_them(evaluated):
    results = Results.model_validate_json(evaluated.results.to_json())
    assert results.evaluations == evaluated.results.evaluations
    table = query_table(results)
    assert [row[:3] for section in table.sections for row in section] == [
        ("d<1>", "square  L∞ ≤ 0.3", "accuracy"),
        ("d<1>", "geoda  L2, any distance", "median L2 distance"),
    ]
    assert len(query_figures(results)) == 2
    page = render(results, evaluated.outcomes)
    assert table.title in page
    assert "Accuracy against queries" in page
    frame = results.queries_to_pandas()
    square = results.evaluations[0].attacks[0].by_queries
    assert frame[frame.attack == "square"].queries.tolist() == square.queries
    assert frame[frame.attack == "square"].accuracy.tolist() == square.accuracy
    assert results.to_pandas().accuracy_area.tolist()[0] == square.accuracy_area


def test_without_black_box_attacks_there_is_no_such_table(evaluated):
    results = evaluated.results.model_copy(deep=True)
    for attack in results.evaluations[0].attacks:
        attack.by_queries = None
    assert query_table(results) is None
    assert "how many queries" not in render(results, evaluated.outcomes)
    assert results.queries_to_pandas().empty


def test_the_area_is_the_mean_over_the_logarithm_of_the_queries():
    assert area([1, 10, 100], [1.0, 0.5, 0.0]) == pytest.approx(0.5)
    assert area([1, 10, 1000], [1.0, 1.0, 0.0]) == pytest.approx(2 / 3)
    assert area([1, 10, 100], [None, 4.0, 2.0]) == pytest.approx(3.0)
    assert area([5], [0.25]) == 0.25
    assert area([1, 10], None) is area([1, 10], [None, None]) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"queries": []},
        {"queries": [2, 1]},
        {"queries": [1, 2], "accuracy": [0.5]},
        {"queries": [1], "accuracy": [1.5]},
        {"queries": [1], "distance": [math.nan]},
    ],
)
def test_a_damaged_curve_is_refused(wrong):
    with pytest.raises(pydantic.ValidationError):
        QueryCurve(**wrong)
