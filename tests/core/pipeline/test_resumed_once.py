"""A training that is killed in its last moments stores one version; threads decide the weights."""

import contextlib
import json
import shutil

import pytest

from helpers.interrupted_training import KilledError, Killer, store_run
from helpers.support import python
from tfrobust import store
from tfrobust.environment.versions import onednn, threads
from tfrobust.errors import StoreError, UsageError
from tfrobust.pipeline import stored_training, workspace
from tfrobust.registry import create
from tfrobust.store import models


def train(root, *, samples=(), epochs=2, **how):
    """Train for a few epochs, and wrap the network in Monte Carlo dropout of these samples."""
    defenses = [create("defenses", "mc_dropout", samples=count, rate=0.3) for count in samples]
    return store_run(root, defenses=defenses, epochs=epochs, **how)


def names(folder):
    return {path.name for path in folder.iterdir()}


def killed(*_, **__):
    raise KilledError


@contextlib.contextmanager
def patched(monkeypatch, *what):
    with monkeypatch.context() as patch:
        patch.setattr(*what)
        yield


PLAN = {"model": {}, "scenario": {"name": "m", "params": {}}, "defenses": [], "training": {}}
AFTER_EXPORT = (stored_training, "close_workspace")
MOMENTS = {
    "before the export": (models, "write_saved_model"),
    "before the version is there": (models, "write_card"),
    "after the export": AFTER_EXPORT,
    "while the network is kept": (workspace, "write_card"),
    "while the workspace is taken away": (workspace, "remove_folder"),
}


BEFORE_AND_AFTER = {"before the version is there", "after the export"}


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        *((name, 1) for name in MOMENTS),
        *(
            pytest.param(name, 0, marks=[] if name in BEFORE_AND_AFTER else pytest.mark.slow)
            for name in MOMENTS
        ),
    ],
)
def test_a_training_killed_in_its_last_moments_is_stored_once(name, epochs, tmp_path, monkeypatch):
    where, function = MOMENTS[name]
    calls = [0]

    def sudden(*given, **named):
        calls[0] += 1
        if function == "remove_folder" and calls[0] < 3:  # of the one before
            return original(*given, **named)
        raise KilledError

    original = getattr(where, function)
    with patched(monkeypatch, where, function, sudden), pytest.raises(KilledError):
        train(tmp_path, epochs=epochs)
    assert (tmp_path / "m1" / "1").exists() == (not name.startswith("before"))
    resumed = train(tmp_path, epochs=epochs, resume=True)
    assert names(tmp_path / "m1") == {"1"}
    assert resumed.folder.name == "1"
    assert train(tmp_path, epochs=epochs, resume=True).fresh is False


@pytest.mark.slow
def test_a_version_with_other_defences_is_another_version(tmp_path, monkeypatch):
    """The wrapping defences may change on a resume, which makes another version."""
    with (
        patched(monkeypatch, *AFTER_EXPORT, killed),
        pytest.raises(KilledError),
    ):
        train(tmp_path, samples=[2], epochs=1)
    resumed = train(tmp_path, samples=[3], epochs=1, resume=True)
    assert resumed.folder.name == "2"
    assert store.read_card(resumed.folder).defenses[0].params["samples"] == 3


def test_a_version_of_another_training_is_not_taken_for_this_ones(tmp_path, monkeypatch):
    with (
        patched(monkeypatch, *AFTER_EXPORT, killed),
        pytest.raises(KilledError),
    ):
        train(tmp_path)
    (tmp_path / "m1" / "1" / "saved_model.pb").write_bytes(b"another")
    assert train(tmp_path, resume=True).folder.name == "2"


@pytest.mark.slow
def test_a_workspace_without_its_plan_is_not_resumed(tmp_path):
    with pytest.raises(KilledError):
        train(tmp_path, callbacks=[Killer("batch_end", 1)])
    (tmp_path / "m1.unfinished" / "plan.json").unlink()
    resumed, whole = train(tmp_path, epochs=1, resume=True), train(tmp_path / "x", epochs=1)
    assert resumed.card == whole.card
    assert names(tmp_path / "m1") == {"1"}


@pytest.mark.slow
def test_leftovers_of_a_kill_before_the_first_epoch_are_removed(tmp_path):
    (tmp_path / "m1.unfinished" / "stage-1").mkdir(parents=True)
    (tmp_path / "m1.unfinished" / "plan.json").write_text(json.dumps(PLAN))
    train(tmp_path)
    assert names(tmp_path / "m1") == {"1"}


@pytest.fixture(scope="module")
def killed_with_two_threads(tmp_path_factory):
    root = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_NUM_INTRAOP_THREADS", "2")
        with pytest.raises(KilledError):
            train(root, callbacks=[Killer("batch_end", 1)])
    return root


@pytest.fixture
def of_two_threads(killed_with_two_threads, tmp_path):
    """A training that was begun with two threads, and killed."""
    return shutil.copytree(killed_with_two_threads, tmp_path, dirs_exist_ok=True)


def test_a_training_is_not_resumed_with_another_number_of_threads(of_two_threads, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    with pytest.raises(UsageError) as refusal:
        train(of_two_threads, resume=True)
    assert str(refusal.value) == (
        "resume: m1 was started with 2 threads; received: 3, which would end at other weights; "
        "set TF_NUM_INTRAOP_THREADS=2, or start over with --force"
    )
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "2")  # as the message says
    assert train(of_two_threads, resume=True).card.versions["threads"] == "2"
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    assert train(of_two_threads, resume=True).fresh is False  # nothing is trained


def test_a_training_is_not_resumed_with_other_kernels(of_two_threads, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "2")
    path = of_two_threads / "m1.unfinished" / "plan.json"
    plan = json.loads(path.read_text())
    assert plan["onednn"] is onednn()
    path.write_text(json.dumps(plan | {"onednn": not onednn()}))
    then, now = ("off", "on") if onednn() else ("on", "off")
    with pytest.raises(UsageError) as refusal:
        train(of_two_threads, resume=True)
    assert str(refusal.value) == (
        f"resume: m1 was started with oneDNN's kernels: {then}; received: {now}, which would "
        "end at other weights; set "
        f"TF_ENABLE_ONEDNN_OPTS={int(not onednn())}, or start over with --force"
    )
    del plan["onednn"]  # an older one
    path.write_text(json.dumps(plan))
    assert train(of_two_threads, resume=True).card.versions["onednn"] == now


def test_a_training_may_start_over_with_another_number_of_threads(of_two_threads, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    assert train(of_two_threads, force=True).folder.name == "1"
    plan = json.loads((of_two_threads / "m1.training" / "plan.json").read_text())
    assert plan["threads"] == 3


def test_an_older_plan_without_threads_is_resumed(of_two_threads, monkeypatch):
    path = of_two_threads / "m1.unfinished" / "plan.json"
    plan = json.loads(path.read_text())
    del plan["threads"]
    path.write_text(json.dumps(plan))
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    assert train(of_two_threads, resume=True).fresh


@pytest.mark.parametrize(("value", "expected"), [("5", 5), ("0", None), ("", None), ("many", None)])
def test_the_number_of_threads_is_the_one_that_tensorflow_uses(value, expected, monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    cores = threads()
    assert cores >= 1
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", value)
    assert threads() == (expected or cores)


def test_an_unfinished_training_still_says_how_to_continue(of_two_threads, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    with pytest.raises(StoreError, match=r"go on with --resume, or start over with --force"):
        train(of_two_threads)


WEIGHTS = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import hashlib
from tfrobust import pipeline
from tfrobust.environment.versions import threads
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions
trained = pipeline.train(create("models", "lenet"), create("scenarios", "digits"),
                         Trainer(TrainingOptions(epochs=1)))
content = b"".join(weight.tobytes() for weight in trained.model.get_weights())
print(threads(), hashlib.sha256(content).hexdigest())
"""


@pytest.mark.slow
def test_the_variable_that_the_message_names_decides_the_weights():
    outputs = [python(WEIGHTS, TF_NUM_INTRAOP_THREADS=count).stdout.split() for count in "1221"]
    assert [threads for threads, _ in outputs] == ["1", "2", "2", "1"]
    assert outputs[0] == outputs[3] != outputs[1] == outputs[2]
