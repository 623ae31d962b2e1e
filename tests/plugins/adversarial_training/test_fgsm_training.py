"""FGSM training: its step, and the end of a training that overfits catastrophically."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.support import Brightness, InMemory, small_classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.data.reading import arrays
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.norms import ball
from tfrobust.pipeline.build import train
from tfrobust.random import image_seeds
from tfrobust.registry import create
from tfrobust.store.cards import card_of
from tfrobust.testing import ConstantClassifier, LinearClassifier, grey_images
from tfrobust.training.task import TrainingTask
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_adversarial_training.inner_attack import attacked_by
from tfrobust_adversarial_training.overfitting import (
    collapsed,
    collapsed_in,
    overfitting_check,
)

SEEDS = image_seeds(3, 11)


def fgsm_training(**options):
    return create("defenses", "fgsm_training", **options)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_one_step_is_that_of_fgsm_from_a_point_of_the_ball(norm):
    classifier = LinearClassifier()
    images, labels = grey_images(classifier)
    crafted = fgsm_training(eps=0.08, norm=norm).one_step()(classifier, images, labels, SEEDS)
    start = images + ball(norm).draw(SEEDS, images.shape[1:], 0.08)
    step = create("attacks", "fgsm", eps=1.25 * 0.08, norm=norm)
    there = step(classifier, start, labels, seed=SEEDS)
    expected = ball(norm).project(there, ball(norm).region(images, 0.08))
    np.testing.assert_allclose(crafted, expected, atol=1e-6)
    assert ball(norm).distance(crafted, images).numpy().max() <= 0.08 + 1e-6
    assert (np.abs(crafted - images) > 0.07).mean() > 0.5 or norm == "l2"


def test_the_start_is_uniform_in_the_ball_and_follows_the_seed():
    classifier = ConstantClassifier()  # no gradient: only the random start changes the image
    images, labels = grey_images(classifier, 64)
    perturb = fgsm_training(eps=0.1).one_step()
    moved = [perturb(classifier, images, labels, image_seeds(s, 64)) - images for s in (1, 1, 2)]
    np.testing.assert_array_equal(moved[0], moved[1])
    assert np.abs(moved[0] - moved[2]).max() > 0.01
    shares = np.histogram(moved[0], bins=4, range=(-0.1, 0.1))[0] / moved[0].numpy().size
    np.testing.assert_allclose(shares, 0.25, atol=0.03)


@pytest.mark.parametrize(
    ("before", "now", "is_one"),
    [
        ((0.5, 0.6), (0.0, 0.9), True),
        ((0.5, 0.6), (0.31, 0.9), False),  # not far enough
        ((0.5, 0.6), (0.1, 0.1), False),  # the network forgot everything
        ((0.1, 0.2), (0.5, 0.6), False),
    ],
)
def test_a_collapse_is_a_fall_under_pgd_alone(before, now, is_one):
    logs = [
        dict(zip(("pgd_accuracy", "fgsm_accuracy"), accuracies, strict=True))
        for accuracies in (before, now)
    ]
    assert collapsed(*logs, 0.2) is is_one


def test_a_training_ends_before_the_epoch_in_which_pgd_breaks_it():
    """From the fourth epoch on, the strong attack inverts the images, which changes their class."""
    spoil, messages, seen = tf.Variable(False), [], []

    class Spoil(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            spoil.assign(epoch >= 3)

        def on_epoch_end(self, epoch, logs=None):
            seen.append([np.array(weight) for weight in self.model.get_weights()])

    def weak(classifier, images, labels, seeds):
        return images

    def strong(classifier, images, labels, seeds):
        return tf.where(spoil, 1 - images, images)

    options = TrainingOptions(epochs=9, batch_size=16, validation=0.0, learning_rate=0.05)
    classifier = small_classifier()
    history = Trainer(options, callbacks=[Spoil()], log=messages.append).fit(
        classifier,
        InMemory(images=64),
        TrainingTask(check=overfitting_check(strong, weak, count=30, drop=0.2)),
    )
    assert len(history) == 4
    assert history[2]["pgd_accuracy"] == history[2]["fgsm_accuracy"] > 0.5
    assert history[3]["pgd_accuracy"] < history[2]["pgd_accuracy"] - 0.2
    assert history[3]["fgsm_accuracy"] > history[3]["pgd_accuracy"] + 0.2
    assert all(map(np.array_equal, classifier.model.get_weights(), seen[2]))
    (line,) = messages
    assert line.startswith("catastrophic overfitting in epoch 4: under PGD accuracy fell from ")
    assert line.endswith("under FGSM; training ends, with the weights of epoch 3")


def checked(*epochs, drop=0.2):
    """Return the history of a training that ends when the check says so, and the check's message.

    Each epoch is `(accuracy under PGD, accuracy under FGSM)`, in hundredths.
    """
    right = tf.Variable([0, 0])  # images under each attack

    def reading_wrongly(which):
        def perturb(classifier, images, labels, seeds):
            wrong = tf.range(100) >= right[which]
            return tf.where(wrong[:, None, None, None], 1.0, 0.0) * tf.ones_like(images)

        return perturb

    class Data:
        def few(self, count):
            return tf.zeros((count, 2, 2, 1)), tf.zeros(count, tf.int64), tf.range(count)

        def seed_of(self, epoch):
            return tf.constant(epoch)

    check = overfitting_check(reading_wrongly(0), reading_wrongly(1), count=100, drop=drop)
    history, message = [], None
    for accuracies in epochs:
        assert message is None, "it went on after a collapse"
        right.assign(accuracies)
        logs = {}
        message = check(Brightness(), Data(), history, logs)
        history.append(logs)
    return history, message


def test_a_collapse_in_two_steps_is_one_against_the_best_epoch():
    history, message = checked((20, 30), (50, 60), (35, 70), (20, 80))
    assert [epoch["collapsed"] for epoch in history] == [0, 0, 0, 1]
    assert collapsed_in(history) == 4
    assert message == (
        "catastrophic overfitting in epoch 4: under PGD accuracy fell from 50% in epoch 2 to 20%, "
        "and is 80% under FGSM"
    )


@pytest.mark.parametrize(
    "epochs",
    [
        [(50, 60), (30, 70)],  # a fall of exactly this size is no collapse
        [(50, 60), (40, 50), (20, 30)],  # accuracy under FGSM fell too
        [(0, 70), (5, 80), (2, 90)],  # accuracy was never above zero
    ],
    ids=str,
)
def test_no_collapse_is_recorded_where_there_is_none(epochs):
    history, message = checked(*epochs)
    assert message is None
    assert collapsed_in(history) is None


class FewDigits(type(create("scenarios", "mnist"))):
    """The first 3,000 images of MNIST."""

    def load(self, split):
        return super().load(split).take(3000)


class WithoutStart(type(fgsm_training())):
    """FGSM as before Wong et al.: it starts from the image itself."""

    def one_step(self):
        return attacked_by(create("attacks", "fgsm", eps=self.eps))


@pytest.mark.slow
def test_a_network_that_overfits_catastrophically_is_caught_and_given_its_best_weights(tfds_data):
    """Accuracy under PGD sinks from 74 % to 14 % in small steps; no step alone is a collapse."""
    options = TrainingOptions(epochs=24, batch_size=32, learning_rate=3e-3, seed=2)

    def trained(drop):
        network, histories = create("models", "lenet"), []

        class Keeping(Trainer):
            def fit(self, *given, **keywords):
                histories.append(super().fit(*given, **keywords))
                return histories[-1]

        defense = WithoutStart(eps=0.15, drop=drop)
        classifier = train(network, FewDigits(), Keeping(options), [defense])
        return classifier, histories[0]

    _, unwatched = trained(drop=0.99)
    strong, weak = (
        np.array([epoch[key] for epoch in unwatched]) for key in ("pgd_accuracy", "fgsm_accuracy")
    )
    assert strong.max() > 0.6
    assert strong[-3:].mean() < strong.max() - 0.3
    assert weak[-3:].mean() > 0.75

    watched, history = trained(drop=0.2)
    ended = watched.defenses[0].found["collapsed_in_epoch"]
    assert ended == len(history) < len(unwatched)
    best = max(history[:-1], key=lambda epoch: epoch["val_accuracy"])
    assert history[-1]["pgd_accuracy"] < best["pgd_accuracy"] - 0.2
    assert history[-1]["fgsm_accuracy"] > best["fgsm_accuracy"] - 0.1
    images, labels = arrays(FewDigits(), "test", 300)
    pgd = create("attacks", "pgd", eps=0.15, steps=10)
    crafted = run_attack(pgd, watched, images, labels).images
    assert (clean_predictions(watched, crafted) == labels).mean() > best["val_accuracy"] - 0.1


@pytest.mark.parametrize(("spoiled_from", "collapsed_in_epoch"), [(3, 4), (99, None)])
def test_the_card_says_in_which_epoch_a_training_collapsed(spoiled_from, collapsed_in_epoch):
    """This holds also for a training that is resumed when no epoch is left to check."""
    spoiled = [(0.5, 0.6)] * spoiled_from + [(0.1, 0.9)]
    logs = [
        {"pgd_accuracy": strong, "fgsm_accuracy": weak, "collapsed": float(strong < 0.2)}
        for strong, weak in spoiled[:5]
    ]

    class Finished(Trainer):
        def fit(self, *_, **keywords):
            return logs

    trained = train(
        create("models", "fully_connected"),
        InMemory(),
        Finished(TrainingOptions()),
        [fgsm_training(eps=0.05)],
    )
    assert trained.defenses[0].found == {"collapsed_in_epoch": collapsed_in_epoch}
    assert card_of(trained).defenses[0].found == trained.defenses[0].found


def test_validation_is_under_pgd_and_the_check_may_be_left_out():
    tasks = []

    class Watching(Trainer):
        def fit(self, classifier, scenario, task):
            tasks.append(task)
            return []

    classifier = small_classifier()
    images, labels = grey_images(classifier, 11)
    unchecked = fgsm_training(eps=0.05, pgd_steps=2, checked=0)
    record = unchecked.apply(classifier, InMemory(), Watching()).found
    assert tasks[-1].check is None
    assert not record
    pgd = create("attacks", "pgd", eps=0.05, steps=2, early_stop=False)
    np.testing.assert_array_equal(
        tasks[-1].validate_on(classifier, tf.constant(images), labels, SEEDS),
        pgd(classifier, tf.constant(images), labels, seed=SEEDS),
    )
    fgsm_training().apply(classifier, InMemory(), Watching())
    assert tasks[-1].check is not None


@pytest.mark.parametrize(
    "options", [{"eps": -1}, {"step": 0}, {"step": 2.5}, {"drop": 0}, {"checked": -1},
                {"pgd_steps": 0}, {"norm": "l1"}], ids=str,
)  # fmt: skip
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=f"fgsm_training: {next(iter(options))}: .*received"):
        fgsm_training(**options)


def test_a_budget_larger_than_any_image_allows_is_refused_before_training():
    with pytest.raises(UsageError, match="eps: no two images of shape 4×4×1"):
        fgsm_training(eps=3).check(small_classifier(), InMemory())
