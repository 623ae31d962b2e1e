"""Images that look like nothing and are classified with near certainty."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predict
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.pipeline.build import train
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_attacks.universal.fooling import _mutated

METHODS = ("gradient", "evolution")
ROUNDING = 1e-4


def probabilities(classifier, images):
    return tf.nn.softmax(predict(classifier, images)).numpy()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("targeted", [True, False])
def test_by_default_the_network_is_as_confident_as_required_on_every_image(
    trained, digits, method, targeted
):
    images, labels = digits["test"]
    attack = create("attacks", "fooling", method=method, targeted=targeted)
    crafted = run_attack(attack, trained, images, labels, targets="next")
    reached = probabilities(trained, crafted.images)
    goals = crafted.targets if targeted else reached.argmax(1)
    assert (goals != labels).all()
    assert reached[np.arange(len(labels)), goals].min() >= 0.99 - ROUNDING


def test_nothing_of_the_original_image_remains(trained, test_images):
    images, labels = (part[:20] for part in test_images)
    attack = create("attacks", "fooling")
    fooling = run_attack(attack, trained, images, labels, targets="next").images
    for original in (images, 1 - images):
        assert abs(np.corrcoef(fooling.ravel(), original.ravel())[0, 1]) < 0.2


@pytest.fixture(scope="module")
def hesitant():
    """A barely trained network: its confidence reaches 99 % for at most half of its classes."""
    trainer = Trainer(TrainingOptions(epochs=4))
    return train(create("models", "fully_connected"), create("scenarios", "digits"), trainer)


@pytest.mark.parametrize("count", [80, pytest.param(None, marks=pytest.mark.slow, id="all")])
def test_without_targets_it_finds_a_class_that_a_hesitant_network_is_sure_of(
    count, hesitant, digits
):
    images, labels = (part[:count] for part in digits["test"])
    attack = create("attacks", "fooling", targeted=False)
    reached = probabilities(hesitant, run_attack(attack, hesitant, images, labels).images)
    assert (reached.argmax(1) != labels).all()
    assert reached.max(1).min() >= 0.99 - ROUNDING


def test_an_image_below_the_required_confidence_comes_back_clean(hesitant):
    attack = create("attacks", "fooling")
    run = evaluate(
        {"d": hesitant}, create("scenarios", "digits"), [attack], targets="next", keep_images=True
    )
    fooling, targets = run.adversarial[0][0], (run.outcomes.column("label") + 1) % 10
    sure = probabilities(hesitant, fooling)[np.arange(len(fooling)), targets] >= 0.99 - ROUNDING
    clean = (fooling == run.images).all(axis=(1, 2, 3))
    assert 0.2 < sure.mean() < 0.8
    assert np.array_equal(clean, ~sure)
    right = run.outcomes.column("e0_clean") == run.outcomes.column("label")
    assert np.array_equal(run.outcomes.row(0, 0, "success")[right], sure[right])


class Capped(Classifier):
    """Predicts class 1 for noise with low confidence, and class 2 for bright images with high."""

    def __init__(self):
        super().__init__(image_shape=(4, 4, 1), num_classes=3)

    def __call__(self, images):
        bright = tf.reduce_mean(images, axis=(1, 2, 3))
        zeros = tf.zeros_like(bright)
        return tf.stack([zeros, zeros + 1.0, 20.0 * (bright - 0.7)], axis=1)


@pytest.mark.parametrize("method", METHODS)
def test_another_class_is_tried_where_the_nearest_is_out_of_reach(method):
    classifier, images = Capped(), np.zeros((3, 4, 4, 1), np.float32)
    attack = create("attacks", "fooling", method=method, targeted=False)
    fooling = run_attack(attack, classifier, images, np.zeros(3, np.int64)).images
    assert probabilities(classifier, fooling)[:, 2].min() >= 0.99 - ROUNDING


def test_the_result_of_the_last_step_counts_too():
    classifier, images = Capped(), np.zeros((3, 4, 4, 1), np.float32)
    attack = create("attacks", "fooling", steps=1, step_size=1.0)
    crafted = run_attack(attack, classifier, images, np.full(3, 1), targets=np.full(3, 2))
    assert probabilities(classifier, crafted.images)[:, 2].min() >= 0.99 - ROUNDING


def test_less_confidence_takes_fewer_queries(trained, test_images):
    images, labels = (part[:20] for part in test_images)
    cost = [
        run_attack(
            create("attacks", "fooling", confidence=confidence), trained, images, labels
        ).queries
        for confidence in (0.5, 0.9, 0.999)
    ]
    assert cost[0] < cost[1] < cost[2]


def test_evolution_asks_for_no_gradient(trained, test_images):
    attack = create("attacks", "fooling", method="evolution", steps=50)
    crafted = run_attack(attack, trained, *(part[:5] for part in test_images))
    assert crafted.gradients == 0 < crafted.queries
    assert attack.threat.knowledge == "score"


def test_mutation_changes_a_tenth_of_the_pixels_a_little_and_half_as_many_later():
    images, ages = tf.fill((2, 60, 60, 3), 0.5), tf.constant([0, 1000])
    early, late = (_mutated(images, ages, tf.constant([7, 3])) - images).numpy()
    assert (early != 0).mean() == pytest.approx(0.1, abs=0.01)
    assert (late != 0).mean() == pytest.approx(0.05, abs=0.01)
    changed = early[early != 0]
    assert abs(changed.mean()) < 0.01
    # Of polynomial mutation: E δ² = 2 / ((η + 2)(η + 3)) for the index η, before the cut.
    assert np.square(changed).mean() == pytest.approx(2 / (17 * 18), rel=0.15)


def test_a_mutant_of_a_small_and_old_image_still_changes():
    images, ages = tf.fill((200, 4, 4, 1), 0.5), tf.fill((200,), 9000)
    changed = [
        (_mutated(images, ages, tf.constant([7, number])).numpy() != 0.5).mean()
        for number in range(200)
    ]
    assert np.mean(changed) == pytest.approx(1 / 16, abs=0.02)


def test_a_confidence_of_one_is_refused():
    with pytest.raises(UsageError, match=r"fooling: confidence: .*received: 1"):
        create("attacks", "fooling", confidence=1.0)
