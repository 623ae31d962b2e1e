"""Free training: its step, and how epochs are counted."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory, small_classifier
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

DATA = InMemory(images=48)


def free_training(**options):
    return create("defenses", "free_training", **options)


def test_the_perturbation_takes_steps_as_long_as_the_budget_and_stays_inside():
    step = free_training(eps=0.1).step
    moved = step(tf.constant([0.0, 0.1, 0.1, -0.1, 0.05]), tf.constant([3.0, 2.0, -1.0, -9.0, 0.0]))
    np.testing.assert_allclose(moved, [0.1, 0.1, 0.0, -0.1, 0.05], atol=1e-7)


def test_without_a_budget_and_replays_free_training_is_plain_training():
    trainer = Trainer(TrainingOptions(epochs=2, batch_size=12, validation=0.25))
    plain, free = small_classifier(), small_classifier()
    trainer.fit(plain, DATA)
    free_training(eps=0, replays=1, pgd_steps=1).apply(free, DATA, trainer)
    assert all(map(np.array_equal, plain.model.get_weights(), free.model.get_weights()))


@pytest.mark.parametrize(("epochs", "passes"), [(0, 0), (8, 2), (9, 3)])
def test_replays_divide_the_number_of_passes(epochs, passes):
    seen = []

    class Watching(Trainer):
        def fit(self, classifier, scenario, task):
            seen.append((self.options.epochs, task.repeats))
            return []

        def altered(self, **options):
            return Watching(TrainingOptions(**options))

    free_training(replays=4).apply(
        small_classifier(), DATA, Watching(TrainingOptions(epochs=epochs))
    )
    assert seen == [(passes, 4)]


@pytest.mark.parametrize("options", [{"eps": 1.5}, {"replays": 0}, {"pgd_steps": 0}], ids=str)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=f"free_training: {next(iter(options))}: .*received"):
        free_training(**options)
