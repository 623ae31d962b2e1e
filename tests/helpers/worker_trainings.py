"""Trainings that one process and several workers run alike: `main(FOLDER, WAY, …)`.

The strategy comes first: TensorFlow may not be used before the workers have met.
"""

from pathlib import Path

import numpy as np

from tfrobust.training.trainer import Trainer, TrainingOptions

OPTIONS = TrainingOptions(epochs=4, batch_size=16, validation=0.25)  # five steps an epoch
OTHER = "another.keras"  # a network in the folder, which is there before
DEFENSES = {
    "plain": None,
    "pgd_training": {"eps": 0.05, "steps": 2},
    "trades": {"eps": 0.05, "steps": 2},
    "mart": {"eps": 0.05, "steps": 2},
    "fgsm_training": {"eps": 0.05, "pgd_steps": 2},
    "free_training": {"eps": 0.05, "replays": 2, "pgd_steps": 1},
    "defensive_distillation": {},
    "fine_tuning": {},
    "deep_compression": {"bits": 3, "prune_epochs": 1, "tune_epochs": 1},
    "calibrater": {},
    "retraining": {"attack": "fgsm", "options": {"eps": 0.3}},
    "adversarial_retraining": {"eps": 0.05},
    "mc_dropout": {"rate": 0.5},
    "magnet": {"filters": 2},
    "thermometer": {"levels": 4},
    "contextual_fusion": {"background": OTHER},
    "ensemble_training": {"networks": OTHER, "eps": 0.05},
}


def trained(folder, way, strategy):
    """Train by one defence, always from the same weights; return the weights of all networks.

    Args:
        folder: of the other network.
        way: the name of a defence, or `plain`.
        strategy: of tf.distribute.
    """
    from helpers.support import InMemory
    from tfrobust.pipeline.build import train
    from tfrobust.registry import create

    options = DEFENSES[way]
    if options is not None:
        options = {k: str(Path(folder) / OTHER) if v == OTHER else v for k, v in options.items()}
    defenses = [] if options is None else [create("defenses", way, **options)]
    model = create("models", "fully_connected", units=16)
    trainer = Trainer(OPTIONS, strategy=strategy)
    classifier = train(model, InMemory(images=108), trainer, defenses)
    weights = []
    while classifier is not None:
        if "model" in vars(classifier):
            weights += classifier.model.get_weights()
        classifier = classifier.inner
    return weights


def main(folder, *ways):
    """Train as a worker in several ways; the chief writes the weights of each."""
    trainer = Trainer(TrainingOptions(strategy="multiworker"))
    for way in ways:
        weights = trained(folder, way, trainer.strategy)
        every = trainer.workers.agreed(lambda weights=weights: [w.tolist() for w in weights])
        assert every.count(every[0]) == len(every), f"{way}: the workers end at different weights"
        if trainer.workers.chief:
            np.savez(Path(folder) / f"{way}.npz", *weights)
