"""Trainings that smooth, bound or quantize a network: killed and resumed, they end the same."""

import keras
import numpy as np
import pytest

from helpers.support import InMemory, small_classifier
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

TOY = InMemory(images=48)
EVERY = {
    "kwta": {"share": 0.3, "start": 0.4, "fall": 0.1},
    "dynamic_quantization": {"steps": 2},
    "defensive_quantization": {},
    "logit_pairing": {"pairs": "clean"},
    "ibp_training": {"pgd_steps": 2},
    "parseval": {},
    "randomized_smoothing": {"training": "adversarial", "steps": 2},
    "pixel_dp": {"after": "first_layer"},
}


class KilledError(Exception):
    """Stands for the kill."""


class Killer(keras.callbacks.Callback):
    """Raises at the start of an epoch, counted over all trainings of a defence."""

    def __init__(self, epochs):
        super().__init__()
        self.left = epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.left -= 1
        if not self.left:
            raise KilledError


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), EVERY.items(), ids=EVERY)
def test_a_killed_and_resumed_training_ends_at_the_same_weights(name, options, tmp_path):
    def run(folder, resume=False, callbacks=()):
        keras.utils.set_random_seed(3)
        asked = TrainingOptions(epochs=4, batch_size=12, validation=0.25)
        trainer = Trainer(asked, workspace=folder, resume=resume, callbacks=callbacks)
        done = create("defenses", name, **options).apply(small_classifier(), TOY, trainer)
        network = done.classifier
        return (network.model or network.inner.model).get_weights()

    with pytest.raises(KilledError):
        run(tmp_path / "begun", callbacks=[Killer(5 if name == "kwta" else 3)])
    halves, whole = run(tmp_path / "begun", resume=True), run(None)
    assert all(map(np.array_equal, halves, whole))
