"""Defensive distillation: softened labels, a sharp student, masked gradients."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory, small_classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.pipeline.build import train
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier
from tfrobust.training.trainer import Trainer, TrainingOptions

DRAW = np.random.default_rng(5)
LOGITS, TAUGHT = (DRAW.normal(0, 9, (6, 4)).astype(np.float32) for _ in range(2))


def distillation(**options):
    return create("defenses", "defensive_distillation", **options)


def softmax(logits):
    raised = np.exp(logits.astype(np.float64))
    return raised / raised.sum(1, keepdims=True)


class Answering:
    def __init__(self, logits):
        self.logits_in_training = lambda images: tf.constant(logits)


def test_the_student_lowers_cross_entropy_to_the_softened_answers():
    objective = distillation(temperature=5).objective(lambda images: tf.constant(TAUGHT))
    losses, logits = objective(Answering(LOGITS), "images", "images", np.zeros(6))
    expected = -(softmax(TAUGHT / 5) * np.log(softmax(LOGITS / 5))).sum(1)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_array_equal(logits, LOGITS)


def test_the_teacher_learns_the_labels_at_the_temperature_and_then_teaches():
    fitted = []

    class Watching(Trainer):
        def fit(self, classifier, scenario, task):
            fitted.append((classifier, task.loss, task.objective))
            return []

    student = small_classifier()
    defense = distillation(temperature=2)
    assert defense.apply(student, InMemory(), Watching()).classifier is student
    (teacher, loss, none), (last, _, objective) = fitted
    assert none is None
    assert last is student
    assert teacher.model is not student.model
    labels = np.array([0, 1, 2, 3, 0, 1])
    expected = -np.log(softmax(LOGITS / 2)[np.arange(6), labels])
    np.testing.assert_allclose(loss(labels, tf.constant(LOGITS)), expected, rtol=1e-4)
    # The objective asks this teacher: with its own answers the student would have the least loss.
    images = tf.constant(DRAW.uniform(size=(5, 4, 4, 1)).astype(np.float32))
    losses, _ = objective(Answering(teacher(images)), images, images, None)
    p = softmax(teacher(images).numpy() / 2)
    np.testing.assert_allclose(losses, -(p * np.log(p)).sum(1), rtol=1e-4)


@pytest.fixture(scope="module")
def distilled():
    trainer = Trainer(TrainingOptions(epochs=6, batch_size=32, learning_rate=0.02))
    model = create("models", "fully_connected", units=32)
    return train(model, create("scenarios", "digits"), trainer, [distillation(temperature=50)])


def test_distillation_masks_the_gradient_of_its_softmax_and_does_not_resist_attacks_on_logits(
    distilled, digits
):
    images, labels = (array[:100] for array in digits["test"])
    right = clean_predictions(distilled, images) == labels
    assert right.mean() > 0.85
    with tf.GradientTape() as tape:
        x = tf.constant(images)
        tape.watch(x)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, distilled(x))
    steepest = tf.reduce_max(tf.abs(tape.gradient(losses, x)), (1, 2, 3)).numpy()[right]
    assert (steepest < 1e-6).mean() > 0.5
    attack = create("attacks", "pgd", eps=0.3)
    crafted = run_attack(attack, distilled, images, labels).images
    assert (clean_predictions(distilled, crafted) == labels).mean() < 0.1


def test_impossible_options_and_models_are_refused():
    with pytest.raises(UsageError, match="defensive_distillation: expected a Keras model"):
        distillation().check(LinearClassifier(), InMemory())
    with pytest.raises(UsageError, match=r"defensive_distillation: temperature: .*received: 0\.5"):
        distillation(temperature=0.5)
