"""Results as data: tidy frames, what a notebook shows, and formats of other tools."""

import csv
import io
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from helpers.support import InMemory, small_classifier
from tfrobust.errors import UsageError
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.registry import create
from tfrobust.report.formats import FORMATS, as_csv, junit, latex, markdown
from tfrobust.results.records import Results
from tfrobust.results.run_files import write_results

NAME = "a|b_<i>"


@pytest.fixture(scope="module")
def evaluated():
    attacks = [create("attacks", "fgsm", eps=eps) for eps in (0.2, 0.4)]
    attacks.append(create("attacks", "deepfool", eps=0.5))
    noise = [create("attacks", "gaussian_noise", eps=0.2)]
    both = {NAME: small_classifier(), "=y": small_classifier()}
    return evaluate(both, InMemory(images=12), attacks, baselines=noise)


def test_a_frame_has_a_row_a_classifier_attack_and_budget(evaluated):
    frame = evaluated.results.to_pandas()
    assert len(frame) == 2 * 4
    assert set(frame.kind) == {"white box", "noise"}
    for number, evaluation in enumerate(evaluated.results.evaluations):
        own = frame[(frame.classifier == evaluation.classifier.name) & (frame.kind != "noise")]
        assert own.accuracy.tolist() == [attack.accuracy for attack in evaluation.attacks]
        assert own.eps.tolist() == [0.2, 0.4, 0.5]
        medians = [attack.distance["linf"].median for attack in evaluation.attacks]
        assert own.median_linf.tolist() == pytest.approx(medians, nan_ok=True), number


def test_the_fates_of_images_give_the_figures_again(evaluated):
    fates = evaluated.outcomes.to_pandas(evaluated.results)
    assert len(fates) == 2 * 3 * 12
    right = (fates.clean == fates.label) & (fates.prediction == fates.label)
    by_attack = right.groupby([fates.classifier, fates.attack, fates.eps]).mean()
    frame = evaluated.results.to_pandas().query("kind != 'noise'")
    for row in frame.itertuples():
        assert by_attack[row.classifier, row.attack, row.eps] == pytest.approx(row.accuracy)


def test_fates_of_another_run_are_refused(evaluated, tmp_path):
    from tfrobust.results.outcomes import Outcomes

    write_results(tmp_path, evaluated.results, evaluated.outcomes)
    other = evaluated.results.model_copy(update={"run": "0" * 32})
    with pytest.raises(UsageError, match="of the same run"):
        Outcomes.read(tmp_path).to_pandas(other)
    assert Results.load(tmp_path) == evaluated.results


def test_results_say_three_lines_and_escape_what_came_from_outside(evaluated):
    results = evaluated.results
    lines = repr(results).splitlines()
    assert len(lines) == 3
    assert lines[0] == f"Results of {NAME}, =y on 12 images of in_memory (test)"
    assert lines[2].startswith("worst case of 3 attacks ")
    shown = results._repr_html_()
    assert "a|b_&lt;i&gt;" in shown
    assert "<i>" not in shown
    assert shown.count("<tr>") == 1 + 8


def test_curves_are_drawn_with_and_without_outcomes(evaluated):
    whole = evaluated.results.plot.curves(evaluated.outcomes)
    points = evaluated.results.plot.curves()
    assert [len(figure.axes) for figure in (whole, points)] == [1, 1] or len(whole.axes) > 1
    curve = [line for line in whole.axes[0].get_lines() if "deepfool" in str(line.get_label())]
    assert all(len(line.get_xdata()) == 60 for line in curve)
    nothing = evaluate({"c": small_classifier()}, InMemory(images=4), [], baselines=())
    with pytest.raises(UsageError, match="evaluate with --eps"):
        nothing.results.plot.curves()


def test_markdown_has_as_many_cells_in_every_row(evaluated):
    text = markdown(evaluated.results)
    for table in text.split("### ")[1:]:
        rows = [line for line in table.splitlines() if line.startswith("|")]
        cells = {len(line.replace(r"\|", "").strip("|").split("|")) for line in rows}
        assert len(cells) == 1
    assert r"a\|b\_\<i\>" in text


def test_latex_escapes_and_its_rows_match_the_columns(evaluated):
    text = latex(evaluated.results)
    assert r"a|b\_<i>" in text
    assert text.count(r"\toprule") == text.count(r"\end{tabular}") == 2
    for table in text.split(r"\begin{tabular}")[1:]:
        columns = table[1 : table.index("}")]
        for row in (line for line in table.splitlines() if line.endswith(r"\\")):
            assert row.count(" & ") == len(columns) - 1
    assert "%" not in text.replace(r"\%", "")
    assert text.isascii()


def test_csv_and_json_are_the_frame_and_no_formula(evaluated):
    rows = list(csv.DictReader(io.StringIO(as_csv(evaluated.results))))
    assert [row["classifier"] for row in rows] == [NAME] * 4 + ["'=y"] * 4
    records = json.loads(FORMATS["json"](evaluated.results))
    frame = evaluated.results.to_pandas()
    assert [record["accuracy"] for record in records] == frame.accuracy.tolist()
    assert np.allclose([float(row["accuracy"]) for row in rows], frame.accuracy)


def test_junit_counts_what_it_lists_and_violations_are_errors(evaluated):
    results = evaluated.results.model_copy(deep=True)
    results.evaluations[0].attacks[1].violations = 3
    [first, second] = ET.fromstring(junit(results))  # noqa: S314
    assert (first.get("tests"), first.get("errors"), second.get("errors")) == ("3", "1", "0")
    assert next(iter(first)).get("name") == "fgsm L∞ ≤ 0.2"
    assert "3 images" in first.find("testcase/error").get("message")
    [accuracy, *_] = first.findall("testcase/properties/property")
    assert float(accuracy.get("value")) == pytest.approx(
        results.evaluations[0].attacks[0].accuracy, abs=1e-6
    )
