"""What a defence may ask of the training loop: an objective, replays, a check."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.support import InMemory, small_classifier
from helpers.weights import same, weights
from tfrobust.training.data import TrainingData
from tfrobust.training.task import TrainingTask, cross_entropy, of_attacked
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_adversarial_training.replays import replayed

generations = pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras3", "tf_keras"])
DATA = InMemory(images=48)
OPTIONS = TrainingOptions(epochs=3, batch_size=12, validation=0.25, learning_rate=0.02)


def fit(*, trainer=None, options=OPTIONS, kind=keras, task=None):
    classifier = small_classifier(kind=kind)
    trainer = dataclasses.replace(trainer or Trainer(), options=options)
    history = trainer.fit(classifier, DATA, task)
    return weights(classifier), history


def darker(classifier, images, labels, seeds):
    return images * 0.5


def inverted(classifier, images, labels, seeds):
    return 1 - images


def test_perturb_and_loss_of_a_call_replace_those_of_its_task():
    def doubled(labels, logits):
        return 2 * cross_entropy(labels, logits)

    task = TrainingTask(perturb=inverted, validate_on=darker)
    classifier = small_classifier()
    history = Trainer(OPTIONS).fit(classifier, DATA, task, perturb=darker, loss=doubled)
    expected = fit(task=TrainingTask(perturb=darker, loss=doubled))
    assert same(weights(classifier), expected[0])
    assert history == expected[1]


def test_an_objective_on_perturbed_images_alone_equals_a_loss():
    by_loss = fit(task=TrainingTask(perturb=darker))
    by_objective = fit(task=TrainingTask(perturb=darker, objective=of_attacked(cross_entropy)))
    assert same(by_loss[0], by_objective[0])
    assert by_loss[1] == by_objective[1]


def test_a_ramp_lets_the_change_of_the_images_grow_over_a_share_of_the_training():
    def brighter(classifier, images, labels, seeds):
        return images + 1

    def change(classifier, images, perturbed, labels):
        logits = classifier.logits_in_training(images)
        return tf.reduce_mean(perturbed - images, axis=(1, 2, 3)) + 0 * logits[:, 0], logits

    task = TrainingTask(perturb=brighter, objective=change, ramp=0.5)
    options = dataclasses.replace(OPTIONS, epochs=2)
    _, history = fit(options=options, task=task)
    steps = TrainingData(DATA, options).steps
    np.testing.assert_allclose(history[0]["loss"], np.mean(np.arange(steps) / steps), rtol=1e-5)
    np.testing.assert_allclose(history[1]["loss"], 1, rtol=1e-5)


@generations
def test_an_objective_sees_clean_and_perturbed_images_and_is_traced_once(kind):
    seen = []

    def objective(classifier, images, perturbed, labels):
        seen.append(1)
        logits = classifier.logits_in_training(images)
        difference = tf.reduce_max(tf.abs(0.5 * images - perturbed), (1, 2, 3))
        return cross_entropy(labels, logits) * 0 + difference, logits

    _, history = fit(kind=kind, task=TrainingTask(perturb=darker, objective=objective))
    assert len(seen) == 1
    assert [logs["loss"] for logs in history] == [0, 0, 0]
    assert history[0]["val_loss"] > 0  # which is cross-entropy


def test_validation_may_have_an_attack_of_its_own():
    once = dataclasses.replace(OPTIONS, epochs=1)
    classifier = small_classifier()
    (logs,) = Trainer(once).fit(
        classifier,
        DATA,
        TrainingTask(perturb=darker, validate_on=lambda _, images, *__: 1 - images),
    )
    images, labels, _ = TrainingData(DATA, once).few(12)
    losses = cross_entropy(labels, classifier(1 - images))
    assert logs["val_loss"] == pytest.approx(float(tf.reduce_mean(losses)), rel=1e-5)


def still(perturbation, gradient):
    return perturbation


@generations
def test_one_replay_that_moves_nothing_is_plain_training(kind):
    plain, free = fit(kind=kind), fit(kind=kind, task=replayed(1, still))
    assert same(plain[0], free[0])
    assert plain[1] == free[1]


def test_replays_train_on_a_batch_again_and_carry_the_perturbation_to_the_next():
    """Compared with a plain loop of two steps per batch, over two epochs."""
    options = dataclasses.replace(OPTIONS, epochs=2, validation=0.0, optimizer="sgd")

    def climb(perturbation, gradient):
        return tf.clip_by_value(perturbation + 0.1 * tf.sign(gradient), -0.15, 0.15)

    trained_weights, history = fit(options=options, task=replayed(2, climb))
    twin = small_classifier()
    given = [variable.value for variable in twin.model.trainable_variables]
    optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
    optimizer.build(twin.model.trainable_variables)
    data = TrainingData(DATA, options)
    change, losses = tf.zeros((12, 4, 4, 1)), []
    for images, labels, _ in [batch for epoch in range(2) for batch in data.epoch(epoch)]:
        for _ in range(2):
            with tf.GradientTape() as tape:
                tape.watch(change)
                logits = twin.model(tf.clip_by_value(images + change, 0.0, 1.0))
                loss = tf.reduce_mean(cross_entropy(labels, logits))
            *gradients, slope = tape.gradient(loss, [*given, change])
            optimizer.apply_gradients(zip(gradients, twin.model.trainable_variables, strict=True))
            change = climb(change, slope)
            losses.append(float(loss))
    for weight, expected in zip(trained_weights, weights(twin), strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-5)
    assert history[1]["loss"] == pytest.approx(np.mean(losses[8:]), abs=1e-5)


def test_a_resumed_training_continues_with_its_perturbation(tmp_path):
    def run(folder, epochs, resume=False):
        task = replayed(2, lambda perturbation, slope: 0.9 * perturbation + 0.1 * tf.sign(slope))
        trainer = Trainer(workspace=folder, resume=resume)
        return fit(trainer=trainer, options=dataclasses.replace(OPTIONS, epochs=epochs), task=task)

    run(tmp_path, 2)
    halves, whole = run(tmp_path, 4, resume=True), run(None, 4)
    assert same(halves[0], whole[0])
    assert halves[1] == whole[1]


def test_schedules_count_every_replay():
    options = dataclasses.replace(OPTIONS, optimizer="sgd", schedule="step", epochs=4)
    _, history = fit(options=options, task=replayed(3, still))
    rates = [logs["learning_rate"] for logs in history]
    assert rates == pytest.approx([0.02, 0.02, 0.002, 0.0002])  # after 18 and 27 of 36


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_a_check_ends_a_training_and_discards_its_epoch(validation, tmp_path):
    messages, seen = [], []

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([np.array(weight) for weight in self.model.get_weights()])

    def check(classifier, data, history, logs):
        logs["checked"] = float(len(history))
        return "it went wrong" if len(history) == 2 else None

    def run(**more):
        trainer = Trainer(workspace=tmp_path, log=messages.append, **more)
        options = dataclasses.replace(OPTIONS, epochs=6, validation=validation)
        return fit(trainer=trainer, options=options, task=TrainingTask(check=check))

    kept, history = run(callbacks=[Keep()])
    assert [logs["checked"] for logs in history] == [0, 1, 2]
    assert same(kept, seen[1])  # it was learning: a later epoch is better
    assert messages == ["it went wrong; training ends, with the weights of epoch 2"]
    again, same_history = run(resume=True)
    assert same(again, kept)
    assert same_history == history
    assert len(messages) == 1


def test_a_few_images_are_held_out_ones_where_there_are_any():
    held_out = TrainingData(DATA, OPTIONS)
    first, again = ([int(number) for number in held_out.few(5)[2]] for _ in range(2))
    numbers = [int(number) for *_, index in held_out.validation for number in index]
    assert first == again
    assert first != numbers[:5]  # which may all be of one class
    assert set(first) < set(numbers)
    assert len(held_out.few(100)[0]) == 12
    trained_on = TrainingData(DATA, dataclasses.replace(OPTIONS, validation=0.0))
    assert len(set(trained_on.few(20)[2].numpy())) == 20
