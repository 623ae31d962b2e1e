"""The training loop: what it learns, keeps, logs and refuses."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.support import InMemory, small_classifier
from helpers.weights import same, weights
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.options import build
from tfrobust.pipeline.build import train
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier
from tfrobust.training.optimizers import optimizer_for, rate_used
from tfrobust.training.trainer import Trainer, TrainingOptions

generations = pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras3", "tf_keras"])


def fit(classifier=None, scenario=None, trainer=None, **options):
    """Train a small network on noise; return its classifier and the history."""
    options = {"epochs": 3, "batch_size": 16} | options
    trainer = dataclasses.replace(trainer or Trainer(), options=TrainingOptions(**options))
    classifier = classifier or small_classifier()
    return classifier, trainer.fit(classifier, scenario or InMemory(images=64))


def test_a_lenet_learns_the_digits_in_four_epochs(digits):
    trainer = Trainer(TrainingOptions(epochs=4, batch_size=64, learning_rate=3e-3))
    classifier = train(create("models", "lenet"), create("scenarios", "digits"), trainer)
    images, labels = digits["test"]
    assert (clean_predictions(classifier, images) == labels).mean() > 0.8


@generations
def test_a_model_of_either_generation_learns(kind):
    _, history = fit(small_classifier(kind=kind), epochs=20, learning_rate=0.02)
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert history[-1]["accuracy"] > history[0]["accuracy"]
    assert set(history[0]) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}


@pytest.mark.parametrize("optimizer", ["adam", pytest.param("sgd", marks=pytest.mark.slow)])
def test_one_seed_gives_one_set_of_weights(optimizer):
    first, second = (weights(fit(optimizer=optimizer, seed=4)[0]) for _ in range(2))
    assert same(first, second)
    assert not same(first, weights(fit(optimizer=optimizer, seed=5)[0]))


def test_a_model_of_another_shape_or_no_keras_model_is_refused():
    with pytest.raises(ClassifierError, match=r"does not fit the scenario: images: expected"):
        fit(small_classifier((5, 4, 1)))
    with pytest.raises(ClassifierError, match=r"only Keras classifiers.*LinearClassifier"):
        fit(LinearClassifier((4, 4, 1), 3))


def test_a_loss_that_becomes_nan_is_one_line_that_says_what_to_do():
    with pytest.raises(ClassifierError, match=r"loss became NaN in epoch 1; lower the learn") as e:
        fit(optimizer="sgd", learning_rate=1e30)
    assert "\n" not in str(e.value)


def recorder(kind=keras):
    """Return a callback that keeps the weights of every epoch, and the calls it received."""

    class Recorder(kind.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.events, self.weights = [], []

        def on_train_begin(self, logs=None):
            self.events.append("begin")

        def on_epoch_begin(self, epoch, logs=None):
            self.events.append(f"epoch {epoch}")

        def on_train_batch_end(self, batch, logs=None):
            self.events.append("batch")

        def on_epoch_end(self, epoch, logs=None):
            self.events.append(sorted(logs))
            self.weights.append([np.array(weight) for weight in self.model.get_weights()])

        def on_train_end(self, logs=None):
            self.events.append("end")

    return Recorder()


@generations
def test_keras_callbacks_are_called_for_every_epoch_and_batch(kind):
    seen = recorder(kind)
    fit(small_classifier(kind=kind), trainer=Trainer(callbacks=[seen]), epochs=2, validation=0.25)
    keys = ["accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"]
    epoch = ["batch"] * 3 + [keys]
    assert seen.events == ["begin", "epoch 0", *epoch, "epoch 1", *epoch, "end"]


def test_the_weights_of_the_best_epoch_are_kept():
    seen = recorder()
    classifier, history = fit(
        trainer=Trainer(callbacks=[seen]), epochs=8, learning_rate=0.3, validation=0.3
    )
    scores = [(logs["val_accuracy"], -logs["val_loss"]) for logs in history]
    best = max(range(8), key=scores.__getitem__)
    assert same(weights(classifier), seen.weights[best])
    assert best < 7  # otherwise this proves nothing


def test_without_validation_the_last_epoch_is_kept():
    seen = recorder()
    classifier, history = fit(trainer=Trainer(callbacks=[seen]), validation=0.0)
    assert "val_loss" not in history[0]
    assert same(weights(classifier), seen.weights[-1])


def test_patience_ends_training_after_so_many_epochs_without_a_better_one():
    _, history = fit(epochs=40, learning_rate=0.3, patience=3)
    scores = [(logs["val_accuracy"], -logs["val_loss"]) for logs in history]
    best = max(range(len(scores)), key=scores.__getitem__)
    assert len(history) < 40
    assert len(history) - 1 - best == 3


def test_training_ends_with_the_epoch_that_reaches_its_target():
    _, history = fit(epochs=40, learning_rate=0.03, target=0.6)
    scores = [logs["val_accuracy"] for logs in history]
    assert len(history) < 40
    assert scores[-1] >= 0.6 > max(scores[:-1], default=0)


def test_no_epochs_leave_the_weights_as_they_are():
    classifier = small_classifier()
    before = weights(classifier)
    trained, history = fit(classifier, epochs=0)
    assert history == []
    assert same(weights(trained), before)


def test_a_callback_can_stop_training():
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    assert len(fit(trainer=Trainer(callbacks=[Stop()]), epochs=5)[1]) == 2


# The rates of the eight updates of four epochs, in units of the first one's.
SCHEDULES = {
    "constant": [1] * 8,
    "step": [1, 1, 1, 1, 1 / 10, 1 / 10, 1 / 100, 1 / 100],
    "quarters": [1, 1, 1 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 10, 1 / 10],
    "cosine": [(1 + np.cos(np.pi * done / 8)) / 2 for done in range(8)],
    "epoch": [1, 1, 1 / 5, 1 / 5, 1 / 25, 1 / 25, 1 / 125, 1 / 125],
}


@generations
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_each_update_is_made_at_the_rate_its_schedule_promises(kind, schedule):
    model = kind.Sequential([kind.Input((1,)), kind.layers.Dense(1, use_bias=False)])
    options = TrainingOptions(
        optimizer="sgd", learning_rate=0.1, schedule=schedule, decay=5, epochs=4
    )
    optimizer = optimizer_for(model, options, 2)
    weight, speed, actual, reported = float(model.get_weights()[0][0, 0]), 0.0, [], []
    for _ in range(8):
        optimizer.apply_gradients([(tf.ones((1, 1)), model.trainable_variables[0])])
        reported.append(rate_used(optimizer))
        before, weight = weight, float(model.get_weights()[0][0, 0])
        actual.append(0.9 * speed - (weight - before))  # of momentum 0.9, with a gradient of 1
        speed = weight - before
    assert actual == pytest.approx(0.1 * np.array(SCHEDULES[schedule]), abs=1e-6)
    assert reported == pytest.approx(0.1 * np.array(SCHEDULES[schedule]), rel=1e-5)


@pytest.mark.parametrize(
    ("schedule", "kind"),
    [
        pytest.param(
            schedule,
            kind,
            marks=[] if (number + place) % 2 == 0 else pytest.mark.slow,
            id=f"{schedule}-{name}",
        )
        for number, schedule in enumerate(["constant", "step", "cosine", "epoch"])
        for place, (name, kind) in enumerate({"keras3": keras, "tf_keras": tf_keras}.items())
    ],
)
def test_the_history_records_the_rate_of_each_epochs_last_update(kind, schedule):
    _, history = fit(
        small_classifier(kind=kind),
        InMemory(images=32),  # two batches an epoch
        learning_rate=0.1,
        schedule=schedule,
        decay=5,
        epochs=4,
        validation=0.0,
    )
    rates = [logs["learning_rate"] for logs in history]
    assert rates == pytest.approx(0.1 * np.array(SCHEDULES[schedule][1::2]), rel=1e-5)


def test_a_rate_that_a_callback_sets_is_recorded_for_the_epoch_that_used_it():
    class Lower(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.01

    _, history = fit(
        trainer=Trainer(callbacks=[Lower()]), batch_size=64, validation=0.0, learning_rate=0.1
    )
    assert [logs["learning_rate"] for logs in history] == pytest.approx([0.1, 0.01, 0.01])


@generations
def test_weight_decay_shrinks_weights(kind):
    plain, decayed = (
        weights(fit(small_classifier(kind=kind), weight_decay=decay, validation=0.0)[0])
        for decay in (0.0, 0.5)
    )
    assert np.linalg.norm(decayed[0]) < np.linalg.norm(plain[0])


@pytest.mark.parametrize(
    ("option", "value"),
    [("epochs", -1), ("target", 1.5), ("decay", 0.5),
     ("batch_size", 0), ("learning_rate", 0), ("validation", 1.0),
     ("learning_rate", "nan"), ("optimizer", "adagrad"), ("patience", 0), ("seed", -1)],
)  # fmt: skip
def test_impossible_training_options_are_refused(option, value):
    with pytest.raises(UsageError, match=f"train: {option}: .*received"):
        build(TrainingOptions, "train", {option: value})


def test_each_training_of_a_defence_is_a_stage_of_its_own():
    told = []
    trainer = Trainer(
        TrainingOptions(epochs=2, batch_size=16),
        on_epoch=lambda stage, epoch, logs: told.append((stage, epoch, "val_loss" in logs)),
    )
    create("defenses", "defensive_distillation").apply(small_classifier(), InMemory(), trainer)
    create("defenses", "fine_tuning", epochs=1).apply(small_classifier(), InMemory(), trainer)
    epochs = [("stage-1", 0), ("stage-1", 1), ("stage-2", 0), ("stage-2", 1), ("stage-3", 0)]
    assert told == [(*epoch, True) for epoch in epochs]


def test_progress_is_reported_batch_by_batch():
    reports = []
    fit(trainer=Trainer(report=lambda *what: reports.append(what)), epochs=2, validation=0.25)
    expected = [(f"epoch {e}/2", number, 3) for e in (1, 2) for number in (1, 2, 3)]
    assert reports == expected
