"""A training that was killed and resumed ends where an uninterrupted one does, bit for bit."""

import dataclasses
import functools
import signal

import numpy as np
import pytest
import tf_keras

from helpers.interrupted_training import EPOCHS, KilledError, Killer, store_run
from helpers.support import InMemory, python, small_classifier
from helpers.weights import weights
from tfrobust import pipeline, store
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import StoreError, UsageError
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

BATCHES = 3  # an epoch: 48 images less a quarter in batches of 12


def train(folder, *, dropout=0.0, callbacks=(), resume=False, **options):
    """Train a network that always starts from the same weights; return it and its history."""
    options = {"epochs": EPOCHS, "batch_size": 12, "validation": 0.25} | options
    trainer = Trainer(
        TrainingOptions(**options), workspace=folder, resume=resume, callbacks=callbacks
    )
    classifier = small_classifier(dropout=dropout)
    history = trainer.fit(classifier, InMemory(images=48))
    return weights(classifier), history


KINDS = {
    "plain": {},
    "dropout": {"dropout": 0.4},
    "sgd and step schedule": {"optimizer": "sgd", "schedule": "step", "learning_rate": 0.05},
    "decay and cosine": {"weight_decay": 0.01, "schedule": "cosine", "dropout": 0.2},
}
MOMENTS = [
    ("batch_end", 0, 1),
    ("epoch_end", 0, 0),
    ("epoch_begin", 1, 0),
    ("batch_end", 2, BATCHES - 1),
    ("epoch_end", 3, 0),
]


RICHEST = "decay and cosine"  # it drops units, too
QUICK = {("plain", 0), ("dropout", 1), ("sgd and step schedule", 3), (RICHEST, 2), (RICHEST, 4)}
AT_MOMENTS = [
    pytest.param(
        moment,
        kind,
        marks=[] if (kind, place) in QUICK else pytest.mark.slow,
        id=f"{moment[0]}-{moment[1]}-{kind}",
    )
    for place, moment in enumerate(MOMENTS)
    for kind in KINDS
]


@functools.cache
def uninterrupted(kind):
    return train(None, **KINDS[kind])


@pytest.mark.parametrize(("moment", "kind"), AT_MOMENTS)
def test_killed_at_any_moment_and_resumed_ends_at_the_same_weights(moment, kind, tmp_path):
    whole, history = uninterrupted(kind)
    options = KINDS[kind]
    with pytest.raises(KilledError):
        train(tmp_path, callbacks=[Killer(*moment)], **options)
    resumed, resumed_history = train(tmp_path, resume=True, **options)
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))
    assert resumed_history == history


def test_killed_twice_and_resumed_twice_ends_at_the_same_weights(tmp_path):
    whole, _ = uninterrupted("dropout")
    for number, moment in enumerate([("batch_end", 1, 0), ("batch_end", 3, 1)]):
        with pytest.raises(KilledError):
            train(tmp_path, dropout=0.4, callbacks=[Killer(*moment)], resume=number > 0)
    resumed, _ = train(tmp_path, dropout=0.4, resume=True)
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))


def test_a_finished_training_is_not_continued_when_resumed(tmp_path):
    finished, history = train(tmp_path)
    again, same_history = train(tmp_path, resume=True, callbacks=[Killer("epoch_begin", 3)])
    assert all(np.array_equal(a, b) for a, b in zip(finished, again, strict=True))
    assert same_history == history


def test_patience_keeps_counting_after_a_kill(tmp_path):
    options = {"epochs": 30, "learning_rate": 0.3, "patience": 2}
    whole, history = train(None, **options)
    with pytest.raises(KilledError):
        train(tmp_path, callbacks=[Killer("batch_end", len(history) - 2)], **options)
    resumed, resumed_history = train(tmp_path, resume=True, **options)
    assert len(resumed_history) == len(history) < 30
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))


def test_a_damaged_checkpoint_costs_one_line(tmp_path):
    with pytest.raises(KilledError):
        train(tmp_path, callbacks=[Killer("batch_end", 2)])
    (damaged,) = (tmp_path / "stage-1").glob("*.data-*")
    damaged.write_bytes(damaged.read_bytes()[:50])
    with pytest.raises(StoreError, match=r"the checkpoint cannot be read .*--force") as refusal:
        train(tmp_path, resume=True)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "dropout",
    [
        0.0,
        pytest.param(
            0.3,
            marks=pytest.mark.xfail(
                strict=True, reason="Keras 2's dropout draws from op state no checkpoint holds"
            ),
        ),
    ],
)
def test_a_tf_keras_model_is_resumed_too(dropout, tmp_path):
    def run(folder, epochs, resume=False):
        options = TrainingOptions(epochs=epochs, batch_size=12, validation=0.25)
        classifier = small_classifier(kind=tf_keras, dropout=dropout)
        trainer = Trainer(options, workspace=folder, resume=resume)
        trainer.fit(classifier, InMemory(images=48))
        return weights(classifier)

    run(tmp_path, 2)
    halves, whole = run(tmp_path, 4, resume=True), run(None, 4)
    assert all(np.array_equal(a, b) for a, b in zip(whole, halves, strict=True))


def test_a_network_that_draws_weights_and_drops_units_is_resumed_bit_for_bit(tmp_path):
    def run(folder, epochs, resume=False):
        tf_keras.utils.set_random_seed(1)
        model = create("models", "lenet_random_bnn", dropout=0.3).build((4, 4, 1), 3)
        options = TrainingOptions(epochs=epochs, batch_size=12, validation=0.25)
        classifier = KerasClassifier(model, stochastic=True)
        Trainer(options, workspace=folder, resume=resume).fit(classifier, InMemory(images=48))
        return weights(classifier)

    run(tmp_path, 1)
    halves, whole = run(tmp_path, 2, resume=True), run(None, 2)
    assert all(np.array_equal(a, b) for a, b in zip(whole, halves, strict=True))


SUICIDE = """
import os, signal, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras
from pathlib import Path
from helpers.interrupted_training import Killer, store_run
from helpers.quick import trace_quickly

class Sudden(Killer):
    def _at(self, moment, epoch):
        if (moment, epoch) == (self.moment, self.epoch):
            os.kill(os.getpid(), signal.SIGKILL)

trace_quickly()
store_run(Path(sys.argv[1]), callbacks=[Sudden("batch_end", 2, 1)])
"""


def test_after_a_real_kill_the_stored_model_is_that_of_an_uninterrupted_run(tmp_path):
    done = python(SUICIDE, tmp_path / "killed")
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert store.versions(tmp_path / "killed" / "m1") == []
    with pytest.raises(StoreError, match=r"interrupted training is here; go on with --resume"):
        store_run(tmp_path / "killed")
    with pytest.raises(UsageError, match=r"another configuration \(training.epochs: 4 then, 5"):
        store_run(tmp_path / "killed", resume=True, epochs=5)
    resumed, whole = store_run(tmp_path / "killed", resume=True), store_run(tmp_path / "whole")
    for a, b in zip(weights(resumed.classifier), weights(whole.classifier), strict=True):
        assert np.array_equal(a, b)
    assert resumed.card == whole.card
    leftovers = {path.name for path in (tmp_path / "killed" / "m1").rglob("*")}
    assert not any(name.startswith((".tfrobust-", "stage-")) for name in leftovers)


# Without a defence, and adversarially.
WAYS = pytest.mark.parametrize("defenses", [[], pytest.param(None, marks=pytest.mark.slow)])


@WAYS
def test_resuming_a_finished_training_returns_it(defenses, tmp_path):
    first = store_run(tmp_path, defenses=defenses, epochs=1)
    again = store_run(tmp_path, defenses=defenses, epochs=1, resume=True)
    assert (first.fresh, again.fresh) == (True, False)
    assert again.folder == first.folder
    images = np.full((2, 4, 4, 1), 0.5, np.float32)
    assert np.allclose(again.classifier(images), first.classifier(images), atol=1e-6)
    assert store_run(tmp_path, defenses=defenses, epochs=1).folder.name == "2"


@WAYS
def test_force_discards_an_interrupted_training(defenses, tmp_path):
    with pytest.raises(KilledError):
        store_run(tmp_path, defenses=defenses, callbacks=[Killer("batch_end", 2)])
    assert store_run(tmp_path, defenses=defenses, force=True).folder.name == "1"


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "/tmp/x"])  # noqa: S108
def test_a_name_that_is_no_folder_name_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match=r"name: expected a plain folder name of letters"):
        pipeline.train_and_store(
            create("models", "lenet"), InMemory(), name, Trainer(), root=tmp_path
        )
    assert not any(tmp_path.iterdir())


def test_the_card_records_how_a_model_was_trained(tmp_path):
    card = store_run(tmp_path, epochs=1).card
    assert card == store.read_card(tmp_path / "m1" / "1")
    assert card.model["name"] == "fully_connected"
    assert card.model["params"]["units"] == 7
    assert card.training["epochs"] == 1
    assert card.seed == 0
    assert 0 <= card.clean_accuracy <= 1
    assert [dataclasses.asdict(d)["name"] for d in card.defenses] == ["pgd_training"]
    assert card.class_names == ("class 0", "class 1", "class 2")
    assert "tensorflow" in card.versions
