"""Each command does what its help says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.support import small_model
from tfrobust import __version__
from tfrobust.execution import Failed, InProcess
from tfrobust.registry import create
from tfrobust.results.outcomes import Outcomes
from tfrobust.store.models import load


def test_train_stores_a_servable_classifier_with_its_card(tfrobust, here):
    result = tfrobust("train", "lenet", "--name", "d1", "--epochs", 1, "-p", "width=2", "--json")
    assert result.code == 0, result.err
    card = json.loads(result.out)
    assert card["path"] == "saved_models/d1/1"
    assert card["model"] == {"name": "lenet", "params": {"width": 2}}
    assert load("d1").class_names == tuple("0123456789")
    on_disk = json.loads((here / "saved_models/d1/1/assets.extra/tfrobust.json").read_text())
    assert on_disk["clean_accuracy"] == card["clean_accuracy"]
    assert (here / "saved_models/d1.training/model.keras").exists()


def test_training_again_makes_the_next_version_and_resuming_makes_none(tfrobust, here):
    command = ("train", "fully_connected", "--name", "d1", "--epochs", 0)
    assert "saved_models/d1/1" in tfrobust(*command).out
    assert "saved_models/d1/2" in tfrobust(*command).out
    assert "already trained: saved_models/d1/2" in tfrobust(*command, "--resume").out


def test_evaluate_writes_results_outcomes_and_report(tfrobust, with_store):
    result = tfrobust(
        "evaluate", "d1", "--attack", "fgsm", "--attack", "pgd", "-p", "fgsm.eps=0.1",
        "-p", "pgd.steps=3", "--limit", 40, "--out", "run",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "fgsm" in result.out
    assert "worst case" in result.out
    results = json.loads((with_store / "run/results.json").read_text())
    evaluation = results["evaluations"][0]
    assert [a["name"] for a in evaluation["attacks"]] == ["fgsm", "pgd"]
    assert evaluation["attacks"][1]["params"]["steps"] == 3
    assert evaluation["scenario"]["images"] == 40
    assert Outcomes.read(with_store / "run").rows(0, "prediction").shape == (2, 40)
    page = (with_store / "run/report.html").read_text()
    assert page.count("data:image/webp;base64,") == 2 * 6 * 3
    assert page.count("<script") == 1  # the page's own, which its policy names
    assert "http" not in page.replace("http-equiv", "")


class Dying(InProcess):
    """Gives up on the block from image 16 on."""

    def map(self, job, items):
        for item, rows in super().map(job, items):
            yield item, Failed("workers died") if item.start == 16 else rows


def test_a_run_that_lacks_images_exits_with_4_and_the_same_command_goes_on(
    tfrobust, with_store, monkeypatch
):
    command = ("evaluate", "d1", "--attack", "fgsm", "--limit", 40, "--block-size", 16,
               "--no-baselines", "--out", "run")  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr("tfrobust.evaluation.evaluator.InProcess", Dying)
        result = tfrobust(*command)
    assert result.code == 4
    missing = "16 images could not be computed, the first of them 16 to 31 (workers died)"
    assert missing in result.err
    assert "fgsm" in result.out
    page = with_store / "run/report.html"
    assert "16 to 31" in page.read_text()
    assert tfrobust(*command).code == 0
    assert "16 to 31" not in page.read_text()


def test_evaluate_at_several_budgets_gives_a_curve_and_its_worst_cases(tfrobust, with_store):
    result = tfrobust(
        "evaluate", "d1", "--attack", "fgsm", "--eps", 0.1, "--eps", 0.3, "--limit", 30,
        "--no-baselines", "--out", "run", "--json",
    )  # fmt: skip
    evaluation = json.loads(result.out)["evaluations"][0]
    assert [a["params"]["eps"] for a in evaluation["attacks"]] == [0.1, 0.3]
    assert [w["eps"] for w in evaluation["worst_case_by_budget"]] == [0.1, 0.3]
    assert "<svg" in (with_store / "run/report.html").read_text()


def test_attack_writes_images_that_the_arrays_scenario_reads_back(tfrobust, with_store):
    result = tfrobust(
        "attack", "d1", "--attack", "fgsm", "-p", "eps=0.2", "--limit", 30, "--out", "r"
    )
    assert result.code == 0, result.err
    broken = json.loads((with_store / "r/results.json").read_text())["evaluations"][0]
    result = tfrobust(
        "evaluate", "d1", "--scenario", "arrays", "-p", "path=r/adversarial", "-p",
        "arrays.classes=10", "--out", "again", "--json", "--clean-only",
    )  # fmt: skip
    assert result.code == 0, result.err
    again = json.loads(result.out)["evaluations"][0]
    assert again["clean"]["accuracy"] == pytest.approx(broken["attacks"][0]["accuracy"], abs=0.04)


def test_report_writes_the_page_again_from_the_run_folder(tfrobust, with_store):
    few = ("--limit", 10, "--no-baselines")
    tfrobust("evaluate", "d1", "--attack", "fgsm", *few, "--out", "run")
    page = with_store / "run/report.html"
    before = page.read_text()
    page.unlink()
    assert tfrobust("report", "run").code == 0
    assert page.read_text() == before


def test_export_makes_the_next_version_with_the_card(tfrobust, with_store):
    assert tfrobust("export", "d1", "served/digits").out.strip() == "served/digits/1"
    assert tfrobust("export", "d1", "served/digits").out.strip() == "served/digits/2"
    assert tfrobust("export", "d1", "served/digits", "--version", 7).code == 0
    card = json.loads((with_store / "served/digits/7/assets.extra/tfrobust.json").read_text())
    assert card["image_shape"] == [8, 8, 1]


def card_of(folder):
    return json.loads((folder / "assets.extra/tfrobust.json").read_text())


def test_a_keras_file_is_exported_with_the_card_of_its_training(tfrobust, here):
    trained = ("train", "fully_connected", "--name", "d1", "--epochs", 0, "--seed", 3)
    assert tfrobust(*trained).code == 0
    result = tfrobust("export", "saved_models/d1.training/model.keras", "served")
    assert result.code == 0, result.err
    assert card_of(here / "served/1") == card_of(here / "saved_models/d1/1")
    averaged = ("--defense", "mc_dropout", "-p", "rate=0.5", "-p", "samples=2")
    result = tfrobust("export", "saved_models/d1.training/model.keras", "averaged", *averaged)
    assert result.code == 0, result.err
    card, before = card_of(here / "averaged/1"), card_of(here / "saved_models/d1/1")
    assert [defense["name"] for defense in card["defenses"]] == ["mc_dropout"]
    assert card["clean_accuracy"] is None  # another classifier answers now
    same = ("scenario", "model", "training", "seed", "versions", "class_names")
    assert {key: card[key] for key in same} == {key: before[key] for key in same}
    assert card["seed"] == 3


def test_a_keras_file_without_a_card_gets_class_names_from_the_given_scenario(tfrobust, here, npz):
    small_model((4, 4, 1), 3).save("m.keras")
    images = np.random.default_rng(0).uniform(size=(9, 4, 4, 1)).astype(np.float32)
    path = npz(images=images, labels=np.arange(9) % 3)
    given = ("--scenario", "arrays", "-p", f"path={path}")
    assert tfrobust("export", "m.keras", "served", *given).code == 0
    assert tfrobust("export", "m.keras", "served").code == 0
    named, plain = card_of(here / "served/1"), card_of(here / "served/2")
    assert (named["scenario"], plain["scenario"]) == ("arrays", None)
    assert named["class_names"] == list(create("scenarios", "arrays", path=path).class_names)
    assert "tensorflow" in named["versions"]


def test_a_detector_changes_no_answer_and_keeps_the_clean_accuracy(tfrobust, here):
    assert tfrobust("train", "fully_connected", "--name", "d1", "--epochs", 0).code == 0
    guard = ("--detector", "mahalanobis", "--attack", "fgsm", "--images", 200)
    result = tfrobust("export", "d1", "served", *guard)
    assert result.code == 0, result.err
    before, card = card_of(here / "saved_models/d1/1"), card_of(here / "served/1")
    assert card["clean_accuracy"] == before["clean_accuracy"] is not None
    assert [defense["name"] for defense in card["defenses"]] == ["mahalanobis"]


@pytest.fixture
def random_network(here):
    """An untrained network with dropout in `m.keras`."""
    small_model((8, 8, 1), 10, dropout=0.5).save(here / "m.keras")


def test_a_sweep_over_counts_of_noise_gives_a_curve(tfrobust, with_store):
    counts = ("--sweep", "count=0,5,30")
    result = tfrobust(
        "evaluate", "d1", "--attack", "white_to_black", *counts, "--limit", 30, "--out", "run",
        "--no-baselines", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    (evaluation,) = json.loads(result.out)["evaluations"]
    assert [a["params"]["count"] for a in evaluation["attacks"]] == [0, 5, 30]
    assert evaluation["attacks"][0]["accuracy"] == evaluation["clean"]["accuracy"]
    page = (with_store / "run/report.html").read_text()
    assert page.count("<svg") == 1
    assert "white_to_black  × 30" in page


@pytest.mark.slow
def test_one_seed_gives_one_result_where_a_detector_draws(tfrobust, here, random_network):
    chosen = ("--detector", "variance_logistic", "--attack", "fgsm", "--no-baselines")
    detectors = []
    for number, seed in enumerate((0, 0, 1)):
        run = ("--out", f"run{number}", "--limit", 60, "--seed", seed, "--json")
        result = tfrobust("evaluate", "m.keras", *chosen, *run)
        assert result.code == 0, result.err
        detectors.append(json.loads(result.out)["evaluations"][0]["detectors"])
    assert detectors[0] == detectors[1] != detectors[2]


@pytest.mark.slow
def test_one_seed_exports_one_guard(tfrobust, here, random_network):
    guard = ("--detector", "variance_logistic", "--attack", "fgsm", "--images", 100)
    averaged = ("--defense", "mc_dropout", "-p", "mc_dropout.samples=5")
    images = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32)
    served = []
    for version in (1, 2):
        result = tfrobust("export", "m.keras", "served", *guard, *averaged, "--seed", 5)
        assert result.code == 0, result.err
        outputs = load(here / "served" / str(version)).outputs(images)
        served.append({name: np.asarray(value) for name, value in outputs.items()})
    assert set(served[0]) == {"logits", "probabilities", "uncertainty", "adversarial_score"}
    for name, value in served[0].items():
        np.testing.assert_array_equal(value, served[1][name])
    cards = [card_of(here / "served" / str(version)) for version in (1, 2)]
    assert cards[0] == cards[1]


def test_plugins_lists_kinds_names_and_owners(tfrobust):
    listed = json.loads(tfrobust("plugins", "--json").out)
    attacks = {entry["name"] for entry in listed if entry["kind"] == "attacks"}
    assert {"fgsm", "pgd", "cleverhans_cw_l2", "cleverhans_spsa"} <= attacks
    assert all(entry["problem"] is None for entry in listed)
    assert "lenet" in tfrobust("plugins", "models").out


def test_plugins_show_lists_each_option_with_its_range_and_default(tfrobust):
    shown = json.loads(tfrobust("plugins", "show", "attacks/pgd", "--json").out)
    options = {option["name"]: option for option in shown["options"]}
    assert options["eps"] == {
        "name": "eps", "type": "float", "default": 0.1, "range": "≥ 0",
        "help": "radius of the ball, in the unit of the norm",
    }  # fmt: skip
    assert "restarts" in tfrobust("plugins", "show", "attacks/pgd").out


def test_doctor_reports_versions_devices_plugins_and_data(tfrobust, with_store):
    report = json.loads(tfrobust("doctor", "--json").out)
    assert report["plugins"]["broken"] == []
    assert report["plugins"]["working"] >= 20
    assert any("CPU" in device for device in report["devices"])
    assert report["store"]["classifiers"] == ["d1"]
    assert not any("no classifier is stored" in line for line in report["remedies"])
    assert "TensorFlow is no sandbox" in report["security"]


def test_the_version_option_works_without_a_command(tfrobust):
    for arguments in (("--version",), ("--version", "train"), ("--version", "nonsense")):
        assert tfrobust(*arguments) == (0, f"tfrobust {__version__}\n", "")


@pytest.mark.parametrize(
    "command", ["demo", "doctor", "plugins", "train", "attack", "evaluate", "export", "report"]
)
def test_every_help_text_shows_an_example(tfrobust, command):
    result = tfrobust(command, "--help")
    assert result.code == 0
    assert f"Example: tfrobust {command}" in " ".join(result.out.split())


@pytest.mark.parametrize("command", [["--help"], ["--version"], ["plugins"], ["plugins", "--json"]])
def test_help_version_and_plugins_import_no_tensorflow(command):
    program = (
        "import sys\nfrom tfrobust_cli.main import app\n"
        f"app({command!r}, standalone_mode=False)\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'sklearn')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("tfrobust evaluate d1 --attack cleverhans_f", "cleverhans_fgsm"),
        ("tfrobust train len", "lenet"),
        ("tfrobust export d", "d1"),
    ],
)
def test_the_shell_completes_plugins_and_stored_classifiers(with_store, words, completed):
    environment = os.environ | {
        "_TFROBUST_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    script = Path(sys.executable).parent / "tfrobust"
    done = subprocess.run(
        [script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert completed in done.stdout.split(), done.stderr


def test_a_suite_runs_its_attacks_with_options_and_adds_noise_baselines(tfrobust, with_store):
    result = tfrobust(
        *("evaluate", "d1", "--out", "run", "--suite", "fast", "--limit", 20, "--json"),
        *("-p", "pgd.steps=3", "-p", "square.queries=30"),
    )
    assert result.code == 0, result.err
    evaluation = json.loads(result.out)["evaluations"][0]
    attacks = {attack["name"]: attack["params"] for attack in evaluation["attacks"]}
    assert list(attacks) == ["fgsm", "pgd", "deepfool", "square"]
    assert (attacks["pgd"]["steps"], attacks["square"]["queries"]) == (3, 30)
    assert attacks["deepfool"]["norm"] == "linf"
    noise = [baseline["name"] for baseline in evaluation["baselines"]]
    assert noise == ["gaussian_noise", "uniform_noise", "contrast", "gaussian_blur"]


def test_an_attack_that_learns_nothing_has_no_export(tfrobust, with_store):
    result = tfrobust("attack", "d1", "--attack", "fgsm", "--out", "run", "--export", "served")
    assert result.code == 2
    assert "expected an attack that learns" in result.err
    assert not (with_store / "run").exists()


def test_an_attack_that_learns_stores_what_it_learned_with_its_images(tfrobust, with_store):
    result = tfrobust(
        *("attack", "d1", "--attack", "uap", "--out", "run", "--limit", 20, "--export", "served")
    )
    assert result.code == 0, result.err
    assert (with_store / "run" / "uap.npz").exists()
    assert (with_store / "served" / "1" / "saved_model.pb").exists()


def test_plugins_show_names_the_attacks_that_know_a_defence(tfrobust):
    [attack] = json.loads(tfrobust("plugins", "show", "defenses/jpeg", "--json").out)["adaptive"]
    assert attack["attack"] == "pgd"
    assert "BPDA" in attack["why"]
    shown = " ".join(tfrobust("plugins", "show", "defenses/jpeg").out.split())
    assert "adaptive attack: pgd -p steps=100 (also in l2, l1)" in shown


def test_adaptive_tells_that_a_classifier_carries_no_defence(tfrobust, with_store):
    result = tfrobust("evaluate", "d1", "--adaptive", "--eps", 0.1, "--limit", 8, "--out", "run")
    assert result.code == 0, result.err
    assert "d1: it carries no defence" in result.err
    assert (
        json.loads((with_store / "run/results.json").read_text())["evaluations"][0]["adaptive"]
        == []
    )


def test_adaptive_attacks_are_not_crafted_on_another_classifier(tfrobust, with_store):
    result = tfrobust(
        "evaluate", "d1", "--adaptive", "--attack", "fgsm", "--crafted-on", "d1", "--out", "run"
    )
    assert result.code == 2
    assert "leave out --crafted-on" in result.err


def test_plugins_are_found_by_a_word_and_say_what_they_are_without_being_imported(tfrobust, here):
    every = json.loads(tfrobust("plugins", "--json").out)
    silent = [f"{entry['kind']}/{entry['name']}" for entry in every if not entry["what"]]
    assert silent == []
    found = json.loads(tfrobust("plugins", "search", "SMOOTHING", "--json").out)
    assert {"median_smoothing", "randomized_smoothing", "smoothing"} == {e["name"] for e in found}
    assert "Replaces each pixel" in tfrobust("plugins", "search", "median").out
    nothing = tfrobust("plugins", "search", "smothing")
    assert (nothing.code, nothing.err.count("\n")) == (2, 1)
    assert "did you mean 'smoothing'" in nothing.err
    assert tfrobust("plugins", "search").code == 2
