"""Studies of an attack at several values of an option."""

import pytest

from helpers.small_study import SMALL, SWEPT
from helpers.study_runs import check_figures
from tfrobust.errors import UsageError
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.rebuild import run_study
from tfrobust.study.results.curve_charts import curve_panels
from tfrobust.study.results.lookup import Lookup, in_paper
from tfrobust.study.results.report import write_study
from tfrobust.study.results.swept_lines import swept_curves


def test_a_sweep_has_a_figure_for_each_value_and_their_mean(tmp_path):
    study = SMALL.written(tmp_path, SWEPT)
    results = run_study(study, "tiny", tmp_path / "out", tmp_path / "results")
    (result,) = results.of("small", "noise")
    at = {name: result.figures[f"plain.accuracy@{name}"] for name in ("0", "5", "20", "mean")}
    assert at["0"] == result.figures["plain.clean"]
    assert at["20"] <= at["0"]
    assert at["mean"] == pytest.approx((at["5"] + at["20"]) / 2)
    assert round(at["5"] * 20) == pytest.approx(at["5"] * 20)  # of twenty images
    check_figures(study, tmp_path / "results")
    near = {name: result.figures[f"plain.accuracy_within@{name}"] for name in ("5", "20")}
    assert near["5"] == at["5"]  # five generations change five pixels at most
    assert near["20"] >= at["20"]
    write_study(study, "tiny", results, tmp_path / "out")
    assert "![Figure 2](figure-1.svg)" in (tmp_path / "out" / "report.md").read_text()
    [swept] = swept_curves(study, results)
    [panel] = curve_panels(swept)
    assert [curve.name for curve in panel.curves] == ["4 units", "32 units"]
    assert f"4 units at 5: {100 * at['5']:.1f} %" in [mark.says for mark in panel.curves[0].marks]
    assert panel.curves[0].marks[1].says in (tmp_path / "out" / "report.html").read_text()


def test_a_sweep_may_be_given_by_its_ends_and_its_step(tmp_path):
    by_ends = "values = { first = 0, last = 20, step = 5 }, averaged"
    ends = SMALL.written(tmp_path, SWEPT.replace("values = [0, 5, 20], averaged", by_ends))
    assert ends.conditions["noise"].sweep.values == (0, 5, 10, 15, 20)


def test_a_scale_may_look_at_fewer_images_under_a_condition_and_says_so(tmp_path):
    fewer = SMALL.written(
        tmp_path, SWEPT.replace("images = 30", "images = 30\nimages_of = { fgsm = 9 }")
    )
    cells = cells_of(fewer, "tiny")
    assert {cell.condition_name: cell.images for cell in cells} == {
        "clean": 30, "noise": 20, "fgsm": 9,
    }  # fmt: skip
    write_study(fewer, "tiny", Lookup(cells, tmp_path / "results"), tmp_path / "out")
    for kind in ("md", "html"):
        text = (tmp_path / "out" / f"report.{kind}").read_text()
        assert "30 test images of digits (20 under noise; 9 under FGSM)" in text


def test_the_papers_sweeps_have_their_mean_too(tmp_path):
    papers = in_paper(SMALL.written(tmp_path, SWEPT))
    assert papers["small", "noise", "plain.accuracy@mean"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("values = [0, 5, 20]", "values = []", r"conditions\.noise\.sweep\.values"),
        ("averaged = [5, 20]", "averaged = [6]", r"averaged: '6' is not declared"),
        ("values = [0, 5, 20]", "values = { first = 0, last = 9 }", r"sweep\.values.*step"),
        ("images = 30", "images = 30\nimages_of = { fgsn = 3 }", r"'fgsn' is not declared"),
        (
            "images = 30",
            "images = 30\nscenario_options = { digit = { size = 9 } }",
            r"'digit' is not declared; did you mean 'digits'",
        ),
        ("accuracy@20", "accuracy@30", r"'plain.accuracy@30' is not declared"),
        ('condition = "noise" }]', 'condition = "clean" }]', r"'clean' has no sweep"),
    ],
)
def test_a_mistake_in_a_sweep_costs_one_line(old, new, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        SMALL.written(tmp_path, SWEPT.replace(old, new, 1))
