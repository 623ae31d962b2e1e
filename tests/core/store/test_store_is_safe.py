"""A later failure loses nothing that was finished."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory
from tfrobust.data.shifted import Shifted
from tfrobust.errors import ClassifierError, DataError, StoreError
from tfrobust.files.arrays import read_arrays
from tfrobust.options import plugin
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.scenario import Scenario, Shift
from tfrobust.store.models import load
from tfrobust.training.trainer import Trainer, TrainingOptions


def stored(root, scenario=None, epochs=1, **how):
    trainer = Trainer(TrainingOptions(epochs=epochs, batch_size=16))
    model, scenario = create("models", "fully_connected", units=4), scenario or InMemory()
    return train_and_store(model, scenario, "m", trainer, root=root, **how)


def test_a_failed_training_keeps_the_files_of_the_earlier_one(tmp_path):
    stored(tmp_path)
    kept = {path: path.read_bytes() for path in (tmp_path / "m.training").iterdir()}
    with pytest.raises(DataError):
        stored(tmp_path, create("scenarios", "arrays", path=tmp_path / "nothere.npz"))
    assert {path: path.read_bytes() for path in (tmp_path / "m.training").iterdir()} == kept
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["1"]


def test_resuming_a_finished_training_whose_version_was_removed_trains_again(tmp_path):
    folder = stored(tmp_path).folder
    folder.rename(tmp_path / "elsewhere")
    again = stored(tmp_path, resume=True)
    assert again.fresh
    assert load("m", root=tmp_path).num_classes == 3


def test_force_beats_resume_and_another_plan_makes_the_next_version(tmp_path):
    stored(tmp_path)
    assert stored(tmp_path, resume=True).fresh is False
    assert stored(tmp_path, resume=True, epochs=2).folder.name == "2"
    assert stored(tmp_path, resume=True, epochs=2, force=True).folder.name == "3"


@plugin
class Dim(Shift):
    """Half the brightness."""

    def __call__(self, image, *, seed):
        return image * 0.5


def test_a_shifted_scenario_is_trained_on_and_recorded(tmp_path):
    scenario: Scenario = Shifted(InMemory(), Dim(), seed=3)
    stored(tmp_path, scenario)
    plan = json.loads((tmp_path / "m.training/plan.json").read_text())
    assert plan["scenario"]["shift"] == {"name": "dim", "params": {}, "seed": 3}


def test_a_label_out_of_range_is_noticed_at_any_position(tmp_path, npz):
    images = np.zeros((600, 4, 4, 1), np.float32)
    labels = np.arange(600) % 3
    path = npz(images=images, labels=labels)
    scenario = create("scenarios", "arrays", path=path, classes=3)
    whole = type(scenario).load

    def broken(self, split):
        def spoil(index, example):
            label = tf.where(index == 500, tf.constant(12, tf.int64), example["label"])
            return {**example, "label": label}

        return whole(self, split).enumerate().map(spoil)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(scenario), "load", broken)
        with pytest.raises(DataError, match="labels: expected 0 to 2"):
            stored(tmp_path, scenario)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"\x93NUMPY\x01\x00 no"])
def test_a_file_that_is_no_npz_costs_one_line(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.npz: not a readable \.npz"):
        read_arrays(path)


def test_a_npy_named_npz_costs_one_line(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(StoreError, match=r"not a readable \.npz"):
        read_arrays(tmp_path / "a.npz")


def test_a_saved_model_of_one_batch_size_is_refused(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec((1, 4, 4, 1), tf.float32, name="images")
    module.serve = tf.function(
        lambda images: {"logits": tf.reshape(images, (1, 16))}, input_signature=[spec]
    )
    tf.saved_model.save(module, str(tmp_path / "fixed"), {"serving_default": module.serve})
    with pytest.raises(ClassifierError, match="batch left open"):
        load(tmp_path / "fixed")


def test_a_callback_that_schedules_the_learning_rate_and_one_that_stops(tmp_path):
    rates = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    trainer = Trainer(TrainingOptions(epochs=5, batch_size=16), callbacks=[rates, Stop()])
    scenario = InMemory()
    from tfrobust.classifiers.keras.classifier import KerasClassifier

    model = create("models", "fully_connected", units=4).build(scenario.image_shape, 3)
    history = trainer.fit(KerasClassifier(model), scenario)
    assert [round(epoch["learning_rate"], 3) for epoch in history] == [0.1, 0.05]
