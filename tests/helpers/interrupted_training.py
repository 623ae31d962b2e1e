"""Trainings that are killed at one moment, and go on."""

import keras

from helpers.support import InMemory
from tfrobust import pipeline
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

EPOCHS = 4


class KilledError(Exception):
    """Stands for the kill of the process."""


class Killer(keras.callbacks.Callback):
    """Raises at one moment of the training."""

    def __init__(self, moment, epoch, batch=0):
        super().__init__()
        self.moment, self.epoch, self.batch, self.now = moment, epoch, batch, -1

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch
        self._at("epoch_begin", epoch)

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            self._at("batch_end", self.now)

    def on_epoch_end(self, epoch, logs=None):
        self._at("epoch_end", epoch)

    def _at(self, moment, epoch):
        if (moment, epoch) == (self.moment, self.epoch):
            raise KilledError


def store_run(root, *, model=None, defenses=None, epochs=EPOCHS, callbacks=(), **how):
    """Train through the pipeline, as the command line does; adversarially by default."""
    options = TrainingOptions(epochs=epochs, batch_size=12, validation=0.25)
    if defenses is None:
        defenses = [create("defenses", "pgd_training", steps=2, eps=0.02)]
    return pipeline.train_and_store(
        model or create("models", "fully_connected", units=7),
        InMemory(images=48),
        "m1",
        Trainer(options, callbacks=callbacks),
        defenses,
        root=root,
        **how,
    )
