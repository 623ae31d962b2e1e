"""`study`, `summary` and `export` with a defence or a detector, as a user types them."""

import json

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import REPO, python
from tfrobust.store.cards import read_card
from tfrobust.store.models import load
from tfrobust.study.schema.files import find_study, studies


def smoke(tfrobust, here, study):
    """Run a study at its smallest scale; return its cells by their names."""
    result = tfrobust(
        "study", "run", study, "--scale", "smoke", "--out", "out", "--results", "results"
    )
    assert result.code == 0, result.err
    files = here.glob("results/*/smoke/*.json")
    return {path.stem: json.loads(path.read_text()) for path in files}


def drawn(page):
    """Return how many pictures a study's page has: charts, and figures of other kinds."""
    return page.count('<div class="chart"') + page.count('<figure class="wide"')


@pytest.mark.slow
def test_the_smoke_scale_of_the_bundled_study_runs_and_goes_on(tfrobust, here):
    command = ("study", "run", "quantized-dropout", "--scale", "smoke", "--out", "out")
    result = tfrobust(*command, "--results", "results", "--json")
    assert result.code == 0, result.err
    assert [claim["holds"] for claim in json.loads(result.out)["claims"]] == [None] * 6
    cells = sorted((here / "results/quantized-dropout/smoke").glob("*.json"))
    assert len(cells) == 15
    cell = json.loads(cells[0].read_text())
    typed = "tfrobust study run quantized-dropout --scale smoke --out out --results results"
    assert cell["command"] == typed
    text = (here / "out/report.md").read_text()
    assert "| Full precision |" in text
    assert drawn((here / "out/report.html").read_text()) == 1
    assert (here / "results/quantized-dropout/smoke/report.md").read_text() == text
    before = {path: path.stat().st_mtime_ns for path in cells}
    cells[0].unlink()
    again = tfrobust(*command, "--results", "results")
    assert "cell 1 of 1" in again.err
    assert "not asked at this scale" in again.out
    assert all(path.stat().st_mtime_ns == before[path] for path in cells[1:])


@pytest.mark.slow
def test_the_smoke_scale_of_pixel_noise_draws_its_curves(tfrobust, here):
    cells = smoke(tfrobust, here, "pixel-noise")
    under_noise, under_dropout, on_the_cnn = 2 * 5, 1, 1 + 3 + 3
    assert len(cells) == under_noise + under_dropout + on_the_cnn
    spread = cells["fully_connected-btw_dropout-s0"]["figures"]
    assert spread["plain.variance_threshold.clean_mean"] > 0
    swept = cells["fully_connected-btw-s0"]["figures"]
    assert swept["plain.accuracy@0"] == cells["fully_connected-clean-s0"]["figures"]["plain.clean"]
    assert swept["plain.accuracy@200"] < swept["plain.accuracy@0"]
    assert 0 <= cells["cnn-pointwise-s0"]["figures"]["plain.accuracy_within"] <= 1
    figures = [(here / f"out/figure-{number}.svg").read_text() for number in (1, 2)]
    assert all(title in figures[0] for title in ("White to Black", "Edge to Altered"))
    page = (here / "out/report.html").read_text()
    assert drawn(page) == len(figures)
    assert "not asked at this scale" in page


@pytest.mark.slow
def test_the_smoke_scale_of_the_calibrater_donates_measures_and_shows(tfrobust, here):
    cells = smoke(tfrobust, here, "calibrater")
    small = cells["vgg16_2bit-b2-s0"]["figures"]
    assert small["plain.megabytes"] < cells["vgg16-b2-s0"]["figures"]["plain.megabytes"] / 4
    assert small["b2.int8_megabytes"] > 0
    untrained = cells["lenet_cifar10-reverse-s0"]["figures"]
    bent = [untrained[f"plain.accuracy@{eps}"] for eps in ("0.03", "0.0627", "0.1", "0.2")]
    assert untrained["plain.clean"] <= bent[0] <= bent[-1] > untrained["plain.clean"]
    assert bent == sorted(bent)
    assert len(cells["vgg16-looks-s0"]["exhibits"]["add"]) == 6
    page = (here / "out/report.html").read_text()
    assert drawn(page) == 3  # figures 1 and 3, and the calibrated half of figure 4
    assert "not asked at this scale" in page


@pytest.mark.slow
def test_the_smoke_scale_of_contextual_fusion_judges_streams_and_draws_them(tfrobust, here):
    cells = smoke(tfrobust, here, "contextual-fusion")
    assert len(cells) == 7
    assert "itself.clean" in cells["objects-clean-s0"]["figures"]
    blurred = cells["fused-blur-s0"]["figures"]
    for view in ("joint", "foreground", "background"):
        assert blurred[f"{view}.adversarial_accuracy@0"] == blurred[f"{view}.clean"]
    crafted = cells["fused-fgsm-s0"]["figures"]
    shares = [crafted[f"joint.share_{stream}"] for stream in ("foreground", "background")]
    assert sum(shares) == pytest.approx(1)
    assert "retrained_last.adversarial_accuracy@0.3" in crafted
    assert crafted["foreground.accuracy@0.3"] <= crafted["foreground.clean"]
    assert crafted["joint.weight_foreground"] > 0
    page = (here / "out/report.html").read_text()
    assert drawn(page) == 5  # figures 2, 3, 4a, 5a and 4b


@pytest.mark.slow
def test_the_smoke_scale_of_retraining_attacks_before_and_again(tfrobust, here):
    cells = smoke(tfrobust, here, "retraining")
    assert len(cells) == 8
    seen = cells["cifar_gap-gap_seen-s0"]["figures"]
    assert seen["plain.adversarial_images"] == 200
    assert seen["plain.label_accuracy"] > 0.95
    before = cells["cifar-fgsm_normalised_again-s0"]["figures"]["plain.fooling_ratio"]
    shown = cells["cifar_gap-fgsm_normalised_seen-s0"]["figures"]
    assert shown["before.fooling_ratio"] == before
    bar = cells["cifar-clean-s0"]["figures"]["plain.clean"]
    assert bar == cells["cifar_gap-gap_seen-s0"]["figures"]["before.clean"]
    assert drawn((here / "out/report.html").read_text()) == 1  # figure 4


def test_list_and_show_print_what_a_study_costs(tfrobust, here):
    listed = json.loads(tfrobust("study", "list", "--json").out)
    assert {line["scale"] for line in listed} >= {"paper", "laptop", "smoke"}
    shown = json.loads(tfrobust("study", "show", "quantized-dropout", "--json").out)
    paper = next(cost for cost in shown["costs"] if cost["scale"] == "paper")
    networks, conditions, through_another_sign, seeds = 8, 11, 2, 3
    assert paper["cells"] == (networks * conditions + through_another_sign) * seeds
    result = tfrobust("study", "show", "quantized-dropout", "--results", "none")
    assert "claim 6: Nobody detects PGD." in result.out
    assert "minutes left" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "quantised"), ["no study 'quantised'", "quantized-dropout"]),
        (("run", "quantized-dropout", "--scale", "papr", "--out", "o"), ["'paper'"]),
        (("run", "missing.toml", "--scale", "paper", "--out", "o"), ["missing.toml: cannot be"]),
        (
            ("run", "retraining", "--scale", "smoke", "--out", "o", "--only", "cifar-gap_seen-s1"),
            ["no cell 'cifar-gap_seen-s1'", "did you mean"],
        ),
        (
            ("run", "retraining", "--scale", "smoke", "--out", "o", "-p", "coco.path=x"),
            ["this command uses no plugin 'coco'"],
        ),
        (
            ("run", "retraining", "--scale", "smoke", "--out", "o", "--weights", "cifar=x.pth"),
            ["'cifar' is no network that starts from weights", "none at this scale"],
        ),
    ],
)
def test_mistakes_cost_one_line(tfrobust, here, arguments, words):
    result = tfrobust("study", *arguments)
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1
    for word in words:
        assert word in result.err
    assert not (here / "o").exists()


def test_one_page_over_all_studies_links_to_their_reports(tfrobust, here):
    result = tfrobust("study", "report", "--out", "pages")
    assert result.code == 0, result.err
    assert result.out.strip().endswith("pages/studies.html")
    for kind in ("md", "html"):
        page = (here / f"pages/studies.{kind}").read_text()
        for name in ("contextual-fusion", "pixel-noise", "retraining"):
            assert f"{name}/laptop/report.{kind}" in page
        assert f"calibrater/figures/report.{kind}" in page
        assert "cells of an earlier declaration" in page
    shown = json.loads(tfrobust("study", "report", "--out", "pages", "--json").out)
    computed = {folder.name for folder in (REPO / "studies/results").iterdir()}
    assert {one["study"] for one in shown["studies"]} == computed & set(studies())
    verdicts = {claim["verdict"] for one in shown["studies"] for claim in one["claims"]}
    known = {"holds", "does not hold", "cannot be judged", "not yet known"}
    assert verdicts <= known | {"not asked at this scale"}


def test_a_page_without_finished_cells_says_what_to_do(tfrobust, here):
    result = tfrobust("study", "report", "--out", "pages", "--results", "none")
    assert result.code == 0, result.err
    assert "No study has finished cells" in (here / "pages/studies.md").read_text()


def test_a_scale_that_lacks_data_and_weights_says_so_at_once(tfrobust, here):
    command = ("study", "run", "contextual-fusion", "--scale", "paper", "--out", "o")
    result = tfrobust(*command, "-p", "coco.path=nowhere", "--only", "objects-clean-s0")
    assert result.code == 2
    assert "no cell 'objects-clean-s0'" in result.err
    result = tfrobust(*command, "-p", "coco.path=nowhere", "--only", "fused-blur-s0")
    assert result.code == 2
    missing = [line for line in result.err.splitlines() if line.startswith("missing: ")]
    assert [line.partition(":")[2].split(":")[0].strip() for line in missing] == [
        "weights of objects",
        "weights of scenes",
        "data of coco",
    ]
    assert "--weights objects=FILE" in missing[0]
    assert "contextual-fusion cannot run at scale paper: 3 things are missing" in result.err
    assert not (here / "o").exists()


def test_summary_shows_larqs_table(tfrobust, here):
    result = tfrobust("summary", "lenet_bnn", "-p", "binary_activations=true", "--json")
    summary = json.loads(result.out)
    assert "# 1-bit x 1" in summary["columns"]
    assert float(summary["totals"]["Ratio of MACs that are binarized"]) > 0.5
    assert "Model size" in tfrobust("summary", "lenet_quantized").out


def test_summary_counts_the_parameters_of_any_model_and_of_a_stored_one(tfrobust, here):
    plain = json.loads(tfrobust("summary", "fully_connected", "-p", "units=3", "--json").out)
    assert plain["totals"]["parameters"] == str(64 * 3 + 3 + 3 * 10 + 10)
    tfrobust("train", "fully_connected", "-p", "units=3", "--name", "f1", "--epochs", 1)
    assert json.loads(tfrobust("summary", "f1", "--json").out)["totals"] == plain["totals"]


def test_summary_of_something_unknown_costs_one_line(tfrobust, with_store):
    assert "no classifier 'lenett'" in tfrobust("summary", "lenett").err
    result = tfrobust("summary", "d1")
    assert result.code == 2
    assert "nothing tells which model it was built from" in result.err


def test_export_puts_dropout_into_a_keras_file(tfrobust, here, trained):
    trained.model.save(here / "m.keras")
    result = tfrobust(
        "export", "m.keras", "served", "--defense", "mc_dropout", "-p", "rate=0.5",
        "-p", "samples=7",
    )  # fmt: skip
    assert result.code == 0, result.err
    served = load(here / "served/1")
    assert (served.stochastic, served.passes) == (True, 7)
    assert served.defenses[0].name == "mc_dropout"
    assert "uncertainty" in served.outputs(tf.zeros((2, 8, 8, 1)))


def test_export_serves_a_detectors_score(tfrobust, with_store, test_images):
    result = tfrobust(
        "export", "d1", "served", "--detector", "kernel_density", "--attack", "fgsm",
        "-p", "fgsm.eps=0.3", "--images", 120,
    )  # fmt: skip
    assert result.code == 0, result.err
    images, _ = test_images
    score = load(with_store / "served/1").outputs(tf.constant(images))["adversarial_score"]
    assert np.isfinite(score).all()
    record = read_card(with_store / "served/1").defenses[-1]
    assert record.params["fitted_on"]["attack"]["params"]["eps"] == 0.3
    assert "threshold" in record.params


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--detector", "mixture"), ["learns from an attack; give both or neither"]),
        (("--attack", "fgsm"), ["give both or neither"]),
        (("--detector", "mixtur", "--attack", "fgsm"), ["did you mean 'mixture'"]),
        (("--defense", "mc_dropout"), ["functional or sequential Keras model", "SavedModel"]),
        (("--defense", "pgd_training"), ["pgd_training trains the classifier"]),
        (("--detector", "mixture", "--attack", "fgsm"), ["SavedModelClassifier, not random"]),
    ],
)
def test_an_impossible_export_costs_one_line_and_leaves_nothing(
    tfrobust, with_store, arguments, words
):
    result = tfrobust("export", "d1", "served", *arguments)
    assert result.code in (1, 2)
    assert len(result.err.strip().splitlines()) == 1, result.err
    for word in words:
        assert word in result.err
    assert not (with_store / "served").exists()


@pytest.mark.slow
def test_train_and_evaluate_with_dropout_and_detectors(tfrobust, here):
    result = tfrobust(
        "train", "lenet_float", "--name", "avg", "--epochs", 1, "--defense", "mc_dropout",
        "-p", "samples=3", "--learning-rate", 0.01,
    )  # fmt: skip
    assert result.code == 0, result.err
    result = tfrobust(
        "evaluate", "avg", "--attack", "fgsm", "--detector", "variance_logistic",
        "--detector", "mahalanobis", "--limit", 40, "--no-baselines", "--out", "run",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "What the detectors saw" in result.out
    page = (here / "run/report.html").read_text()
    assert "What the detectors saw" in page
    assert page.count("its boundary") == 2
    (evaluation,) = json.loads((here / "run/results.json").read_text())["evaluations"]
    assert [d["name"] for d in evaluation["detectors"]] == ["variance_logistic", "mahalanobis"]


def test_a_study_that_cannot_be_read_is_named_and_the_others_are_listed(tfrobust, here):
    (here / "studies").mkdir()
    (here / "studies/mine.toml").write_text("title =")
    result = tfrobust("study", "list")
    assert result.code == 0
    assert "broken: studies/mine.toml: cannot be read" in result.err
    assert "calibrater" in result.out


def test_listing_studies_imports_no_tensorflow(here):
    code = """
import sys
sys.argv = ["tfrobust", "study", "list"]
from tfrobust_cli.main import main
try:
    main()
except SystemExit as left:
    assert not left.code, left.code
assert "tensorflow" not in sys.modules, "TensorFlow was imported"
"""
    done = python(code)
    assert done.returncode == 0, done.stderr[-500:]
    assert "quantized" in done.stdout


def test_the_bundled_study_file_is_found_from_any_folder(here):
    study, path = find_study("quantized-dropout")
    assert study.name == "quantized-dropout"
    assert path.is_absolute()
