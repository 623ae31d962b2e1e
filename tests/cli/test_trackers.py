"""`--tracker` of the commands: what runs tell trackers, and that none is lost by one."""

import json

import pytest
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from helpers.commands import one_line

EVALUATE = (
    "evaluate", "d1", "--attack", "fgsm", "--eps", 0.1, "--limit", 8, "--no-baselines", "--out",
    "run",
)  # fmt: skip
BOARD = ("--tracker", "tensorboard", "-p", "tensorboard.folder=logs")


def tags_of(folder):
    """Return run → the names of its scalars and images, without the settings as text."""
    board = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    tags = {name: set(found["tensors"]) - {"settings"} for name, found in board.Runs().items()}
    return {name: found for name, found in tags.items() if found}


def test_an_evaluation_tells_trackers_its_trials_its_worst_case_and_its_images(
    tfrobust, with_store
):
    told = tfrobust(*EVALUATE, *BOARD, "--json")
    assert told.code == 0, told.err
    tags = tags_of(with_store / "logs")
    assert set(tags) == {"run/trials/d1/fgsm_linf_0.1", "run/d1", "run/images"}
    assert {"accuracy", "clean_accuracy", "mean_linf"} < tags["run/trials/d1/fgsm_linf_0.1"]
    assert tags["run/d1"] == {"clean_accuracy", "worst_case_accuracy"}
    assert tags["run/images"] == {"clean", "d1/fgsm linf 0.1"}


def test_a_tracker_that_fails_costs_a_line_and_no_run(tfrobust, with_store):
    (with_store / "logs").write_text("a file, and no folder", encoding="utf-8")
    told = tfrobust(*EVALUATE, *BOARD, "--json")
    assert told.code == 0
    assert "tracker tensorboard failed: " in told.err
    assert "; the run goes on without it" in told.err
    assert json.loads(told.out)["evaluations"][0]["attacks"]
    assert (with_store / "run" / "report.html").exists()


def test_trackers_are_keys_of_experiments_and_mistakes_are_named(tfrobust, with_store):
    printed = tfrobust(*EVALUATE, *BOARD, "--print-config").out
    assert 'tracker = ["tensorboard"]' in printed
    one_line(tfrobust(*EVALUATE, "--tracker", "tensorbord"), 2, "did you mean 'tensorboard'?")
    one_line(tfrobust(*EVALUATE, *BOARD[:2], "-p", "tensorboard.foldr=x"), 2, "mean 'folder'?")


def test_tensorboard_is_asked_for_once(tfrobust, here):
    train = ("train", "linear", "--scenario", "circles", "--epochs", 1)
    one_line(tfrobust(*train, *BOARD[:2], "--tensorboard", "logs"), 2, "leave one out")


def test_a_missing_package_is_said_with_its_command_before_anything_is_computed(
    tfrobust, with_store, monkeypatch
):
    import sys

    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delitem(sys.modules, "tfrobust_trackers.mlflow", raising=False)
    told = tfrobust(*EVALUATE, "--tracker", "mlflow")
    one_line(told, 1, "it needs mlflow", "pip install 'tfrobust[mlflow]'")
    assert not (with_store / "run").exists()


@pytest.mark.slow
def test_a_training_tells_curves_of_training_and_validation_apart(tfrobust, here):
    train = ("train", "linear", "--scenario", "circles", "--name", "m", "--epochs", 2)
    assert tfrobust(*train, "--tensorboard", "logs").code == 0
    tags = tags_of(here / "logs")
    assert set(tags) == {"m", "m/stage-1/train", "m/stage-1/validation"}
    assert tags["m/stage-1/train"] == {"loss", "accuracy", "learning_rate"}
    assert tags["m/stage-1/validation"] == {"loss", "accuracy"}
    assert tags["m"] == {"clean_accuracy"}
    before = sorted((here / "logs").rglob("*"))
    again = tfrobust(*train, "--tensorboard", "logs", "--resume")
    assert "already trained" in again.out
    assert sorted((here / "logs").rglob("*")) == before  # nothing was done: there is no run of it


@pytest.mark.slow
def test_a_diagnosis_and_a_certification_tell_trackers(tfrobust, with_store):
    diagnosis = ("diagnose", "d1", "--eps", 0.1, "--images", 20, "--out", "signs")
    assert tfrobust(*diagnosis, *BOARD).code == 0
    radii = ("--certifier", "smoothing", "-p", "smoothing.sigma=0.25", "-p", "smoothing.n=100")
    certification = ("certify", "d1", *radii, "--eps", 0.25, "--limit", 8, "--out", "proven")
    assert tfrobust(*certification, *BOARD).code == 0
    tags = tags_of(with_store / "logs")
    assert tags["signs/d1"] == {"clean_accuracy", "attacked_accuracy", "lowest_accuracy"}
    assert any(name.startswith("signs/trials/d1/") for name in tags)
    assert "certified_accuracy l2 0.25" in tags["proven/trials/d1/smoothing_l2"]


@pytest.mark.slow
def test_a_server_that_is_not_there_costs_a_line_and_no_run(tfrobust, with_store):
    pytest.importorskip("mlflow", reason="MLflow is not installed; pip install 'tfrobust[mlflow]'")
    told = tfrobust(*EVALUATE, "--tracker", "mlflow", "-p", "mlflow.uri=http://127.0.0.1:9")
    assert told.code == 0
    assert "tracker mlflow failed: " in told.err
