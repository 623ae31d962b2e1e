"""Logit pairing: both losses, what is perturbed, and what many steps leave."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.knowing import naive_and_knowing
from helpers.support import InMemory, small_classifier
from tfrobust.pipeline.build import train
from tfrobust.random import image_seeds
from tfrobust.registry import create
from tfrobust.testing import defense_checks
from tfrobust.training.trainer import Trainer, TrainingOptions

DRAW = np.random.default_rng(5)
CLEAN, ATTACKED = (DRAW.normal(0, 2, (6, 4)).astype(np.float32) for _ in range(2))
LABELS = np.array([0, 1, 2, 3, 0, 1])


def pairing(**options):
    return create("defenses", "logit_pairing", **options)


def cross_entropy(logits):
    raised = np.exp(logits.astype(np.float64))
    return -np.log((raised / raised.sum(axis=1, keepdims=True))[np.arange(6), LABELS])


class Answering:
    """Gives prepared logits by the name of what it is shown."""

    def logits_in_training(self, shown):
        return tf.constant({"clean": CLEAN, "attacked": ATTACKED}[shown])


def test_an_image_and_itself_attacked_are_drawn_together():
    losses, logits = pairing(weight=0.7).objective(Answering(), "clean", "attacked", LABELS)
    apart = np.square(CLEAN - ATTACKED).mean(axis=1)
    expected = 0.5 * (cross_entropy(CLEAN) + cross_entropy(ATTACKED)) + 0.7 * apart
    assert np.allclose(losses, expected, atol=1e-5)
    assert np.array_equal(logits, ATTACKED)


def test_an_image_and_the_one_half_a_batch_away_are_drawn_together():
    losses, logits = pairing(weight=0.7).clean_objective(Answering(), None, "clean", LABELS)
    apart = np.square(CLEAN - np.roll(CLEAN, 3, axis=0)).mean(axis=1)
    assert np.allclose(losses, cross_entropy(CLEAN) + 0.7 * apart, atol=1e-5)
    assert np.array_equal(logits, CLEAN)


def test_clean_pairs_are_trained_on_with_noise_and_adversarial_ones_attacked():
    tasks = []

    class Watching(Trainer):
        def fit(self, classifier, scenario, task):
            tasks.append(task)
            return []

    for pairs in ("clean", "adversarial"):
        pairing(pairs=pairs, sigma=0.2).apply(small_classifier(), InMemory(), Watching())
    clean, adversarial = tasks
    assert clean.objective.__name__ == "clean_objective"
    assert (adversarial.objective.__name__, adversarial.perturb.__name__) == (
        "objective",
        "perturb",
    )
    shown = tf.constant(DRAW.uniform(size=(60, 4, 4, 1)).astype(np.float32))
    noise = clean.perturb(None, shown, None, image_seeds(1, 60)) - shown
    assert noise.numpy().std() == pytest.approx(0.2, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("pairs", ["adversarial", "clean"])
@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_logit_pairing_keeps_the_contract(check, pairs):
    check(pairing(pairs=pairs, steps=2))


@pytest.mark.slow
def test_many_steps_break_what_clean_pairs_hide_from_few():
    trainer = Trainer(TrainingOptions(epochs=15, learning_rate=3e-3))
    defense = pairing(pairs="clean", weight=5.0, sigma=0.3)
    model, scenario = create("models", "lenet"), create("scenarios", "digits")
    network = train(model, scenario, trainer, [defense])
    naive, knowing, clean = naive_and_knowing(network, 0.2, steps=1)
    assert clean > 0.8
    assert knowing < 0.1 < naive
