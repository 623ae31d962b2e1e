"""Retrainings of a small network on digits."""

from tfrobust.pipeline.build import train
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

FGSM = {"attack": "fgsm", "options": {"eps": 0.15}}


def small_network(scenario):
    trainer = Trainer(TrainingOptions(epochs=5))
    return train(create("models", "fully_connected"), scenario, trainer)


def retraining(network, scenario, *, log=lambda _: None, epochs=4, **options):
    """Return the retrained network and what was measured."""
    trainer = Trainer(TrainingOptions(epochs=epochs), log=log)
    return create("defenses", "retraining", **options).apply(network, scenario, trainer)


def retrained(network, scenario, **options):
    """Return the retrained network."""
    return retraining(network, scenario, **options).classifier
