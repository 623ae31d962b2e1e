"""The mean corruption error, and the evaluation that measures it."""

import re

import numpy as np
import pytest

from helpers.support import InMemory, small_classifier
from tfrobust import suites
from tfrobust.data.names import open_scenario
from tfrobust.data.reading import arrays
from tfrobust.data.shifted import Shifted
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.evaluation.corruptions.errors import corruption_errors
from tfrobust.evaluation.corruptions.measuring import CorruptionSettings, evaluate_corruptions
from tfrobust.files.output_folders import PARTIAL
from tfrobust.registry import create
from tfrobust.report import corruption_table, write_run
from tfrobust.results import records


def evaluation(name, shift, error):
    accuracy = records.Proportion(accuracy=1 - error, interval=(0, 1))
    return records.Evaluation(
        classifier=records.ClassifierRecord(
            name=name, path="", num_classes=2, image_shape=(8, 8, 1), defenses=[]
        ),
        scenario=records.ScenarioRecord(
            name="digits", shift=shift, split="test", images=100, seed=0
        ),
        clean=accuracy,
        attacks=[],
        worst_case=accuracy,
    )


def evaluations(name, clean, **errors):
    shifted = [
        evaluation(name, f"{shift}.{severity}", error)
        for shift, several in errors.items()
        for severity, error in enumerate(several, start=1)
    ]
    return [evaluation(name, None, clean), *shifted]


A = evaluations("a", 0.1, fog=[0.2, 0.2, 0.3, 0.3, 0.5], snow=[0.1, 0.1, 0.1, 0.2, 0.2])
B = evaluations("b", 0.2, fog=[0.4, 0.4, 0.4, 0.4, 0.4], snow=[0.3, 0.3, 0.4, 0.5, 0.5])


def test_the_mean_is_taken_over_severities_then_over_corruptions():
    (figures,) = corruption_errors(A)
    assert figures.clean == pytest.approx(0.1)
    assert figures.errors["fog"] == pytest.approx([0.2, 0.2, 0.3, 0.3, 0.5])
    assert figures.mean == pytest.approx({"fog": 0.3, "snow": 0.14})
    assert figures.mce == pytest.approx(0.22)
    assert figures.mce_ratio is None


def test_a_baseline_divides_each_corruptions_error_and_its_excess_over_the_clean_one():
    a, b = corruption_errors([*A, *B], "b")
    assert a.ratio == pytest.approx({"fog": 0.3 / 0.4, "snow": 0.14 / 0.4})
    assert a.mce_ratio == pytest.approx((0.75 + 0.35) / 2)
    assert a.relative_mce_ratio == pytest.approx(((0.2 / 0.2) + (0.04 / 0.2)) / 2)
    assert (b.mce_ratio, b.relative_mce_ratio) == pytest.approx((1, 1))


def test_where_the_baseline_loses_nothing_there_is_nothing_to_divide_by():
    harmless = evaluations("c", 0.0, fog=[0.1] * 5, snow=[0.0] * 5)
    a, _ = corruption_errors([*A, *harmless], "c")
    assert a.ratio["snow"] is None
    assert a.mce_ratio is None
    helped = evaluations("c", 0.4, fog=[0.3] * 5, snow=[0.5] * 5)
    a, _ = corruption_errors([*A, *helped], "c")
    assert a.mce_ratio is not None
    assert a.relative_mce_ratio is None


NAMES = "contrast", "fog", "jpeg_compression"
CONDITIONS = [f"{name}.{severity}" for name in NAMES for severity in (1, 2, 3, 4, 5)]


def three():
    """Three of the corruptions: tracing all of them takes half a minute."""
    return {name: suites.corruptions()[name] for name in NAMES}


def at(severities):
    """The three at some of their severities."""
    return {name: [shifts[s - 1] for s in severities] for name, shifts in three().items()}


at_some = pytest.mark.parametrize(
    "severities", [(1, 3), pytest.param((1, 2, 3, 4, 5), marks=pytest.mark.slow)], ids=str
)


def measured(classifiers, scenario=None, *, out=None, progress=None, **options):
    settings = CorruptionSettings(
        classifiers=classifiers, scenario=scenario or create("scenarios", "digits"), **options
    )
    return evaluate_corruptions(settings, out=out, progress=progress)


@pytest.fixture(scope="module")
def run(trained):
    """The trained network on forty digits."""
    return measured({"d": trained}, shifts=three(), limit=40)


def test_every_condition_is_an_evaluation_like_any_other(run, trained):
    by_condition = run.results.evaluations
    assert len(by_condition) == 16
    assert by_condition[0].scenario.shift is None
    assert [entry.scenario.shift for entry in by_condition[1:]] == CONDITIONS
    number = 1 + CONDITIONS.index("fog.3")
    images, labels = arrays(open_scenario("digits+fog.3"), "test", 40)
    predicted = np.argmax(trained(images), axis=1)
    assert np.array_equal(run.outcomes.column(f"e{number}_clean"), predicted)
    assert by_condition[number].clean.accuracy == np.mean(predicted == labels)
    again = records.Results.model_validate_json(run.results.to_json())
    assert again == run.results


@at_some
def test_a_seed_is_the_seed_of_the_corruptions(severities, run, trained):
    shifts = {name: at(severities)[name] for name in ("contrast", "fog")}
    other = measured({"d": trained}, shifts=shifts, limit=40, seed=1)
    one, two = (measurement.results.corruptions[0] for measurement in (run, other))
    first = {name: [one.errors[name][s - 1] for s in severities] for name in shifts}
    assert first["contrast"] == two.errors["contrast"]
    assert first["fog"] != two.errors["fog"]


def test_results_without_corruptions_read_as_before():
    old = records.Results(evaluations=A[:1], environment={})
    assert old.corruptions == []
    assert old.unshifted == old.evaluations


def test_the_table_ends_in_the_mean_corruption_error(run, trained):
    table = corruption_table(run.results)
    assert table.columns == ("corruption", "1", "2", "3", "4", "5", "mean")
    clean, rows, last = table.sections
    assert [row[0] for row in rows] == ["contrast", "fog", "jpeg compression"]
    assert last[-1][0] == "mCE"
    assert last[-1][-1] == f"{run.results.corruptions[0].mce:.1%}"
    assert all(len(row) == 7 for row in [*clean, *rows, *last])
    both = corruption_errors([*A, *B], "b")
    two = records.Results(evaluations=[*A, *B], environment={}, corruptions=both)
    table = corruption_table(two)
    assert table.columns == ("corruption", "a", "b")
    assert table.sections[2] == [
        ("mCE", "22.0%", "40.0%"),
        ("mCE by b", "55.0%", "100.0%"),
        ("relative mCE by b", "60.0%", "100.0%"),
    ]


def test_the_report_shows_table_map_and_images(run, tmp_path):
    write_run(tmp_path, run)
    page = (tmp_path / "report.html").read_text()
    assert "Error under corruptions, 40 images of digits (test)" in page
    assert page.count("<figcaption>") == 5  # a panel of curves and four images
    assert page.count("--heat:") == 15
    assert "jpeg compression" in page
    assert "adversarial image" not in page
    assert page.count("<h3>d</h3>") == 2  # above its map, and how it was made
    assert re.search(r"d errs on [\d.]+% of corrupted images and on [\d.]+% of clean ones", page)


@at_some
def test_an_interrupted_run_continues_where_it_stopped(severities, tmp_path, monkeypatch):
    classifier, scenario = small_classifier(), InMemory(images=8)
    looked = []

    def stop_at_fog(what, done, total):
        if what == "fog.1":
            raise KeyboardInterrupt

    def finished(**options):
        return measured({"c": classifier}, scenario, shifts=at(severities), **options)

    with pytest.raises(KeyboardInterrupt):
        finished(out=tmp_path, progress=stop_at_fog)
    assert len(list((tmp_path / PARTIAL).glob("*.npz"))) == 1 + len(severities)
    load = Shifted.load_rows
    monkeypatch.setattr(
        Shifted,
        "load_rows",
        lambda self, *rows: looked.append(self.shift_name) or load(self, *rows),
    )
    resumed = finished(out=tmp_path)
    assert looked == [f"{name}.3" for name in NAMES] + [
        f"{name}.{severity}" for name in NAMES[1:] for severity in severities
    ]
    assert resumed.results == finished().results
    write_run(tmp_path, resumed)
    assert not (tmp_path / PARTIAL).exists()


@at_some
def test_kept_predictions_belong_to_one_classifier_and_seed(severities, tmp_path):
    one, other = small_classifier(), small_classifier()
    other.model.layers[-1].bias.assign([1.0, 0.0, 0.0])
    contrast = {"contrast": at(severities)["contrast"]}

    def kept_after(classifier, **options):
        scenario = InMemory(images=8)
        measured({"c": classifier}, scenario, shifts=contrast, out=tmp_path, **options)
        return len(list((tmp_path / PARTIAL).glob("*.npz")))

    each = 1 + len(severities)
    assert kept_after(one) == each
    assert kept_after(one) == each
    assert kept_after(other) == 2 * each
    assert kept_after(one, seed=1) == 3 * each


@at_some
def test_errors_under_corruptions_do_not_depend_on_the_blocks(severities):
    classifiers, scenario = {"c": small_classifier()}, InMemory(images=8)
    whole, *others = (
        measured(classifiers, scenario, shifts=at(severities), block_size=size)
        for size in (8, 3, 1024)
    )
    for other in others:
        assert other.results == whole.results


@pytest.mark.parametrize("shifts", [{}, {"fog": []}])
def test_no_corruption_is_refused(shifts, trained):
    with pytest.raises(UsageError, match=r"shifts: expected one or more corruptions"):
        measured({"d": trained}, shifts=shifts)


def test_impossible_measurements_are_refused(trained):
    with pytest.raises(UsageError, match="expected one or more; received: none"):
        measured({})
    with pytest.raises(UsageError, match=r"baseline: expected one of d; received: 'e'"):
        measured({"d": trained}, baseline="e")
    with pytest.raises(UsageError, match=r"without a shift; received: digits\+fog\.3"):
        measured({"d": trained}, open_scenario("digits+fog.3"))
    with pytest.raises(ClassifierError, match="does not fit"):
        measured({"d": trained}, InMemory())
    with pytest.raises(UsageError, match="expected shifts with a severity; received: b2"):
        measured({"d": trained}, shifts={"b2": [create("shifts", "b2")]})
