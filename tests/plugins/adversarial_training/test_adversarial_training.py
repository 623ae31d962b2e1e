"""Adversarial training: any attack inside, and its effect."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory, noise, small_classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import arrays
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.norms import L0, ball
from tfrobust.options import plugin
from tfrobust.pipeline.build import train
from tfrobust.random import numbered_seeds
from tfrobust.registry import create, name_of
from tfrobust.testing import LinearClassifier, defense_checks
from tfrobust.training.data import TrainingData
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_adversarial_training.inner_attack import in_drawn_order

INNER = [
    {"attack": "fgsm"},
    {"attack": "pgd", "steps": 2},
    pytest.param({"attack": "cleverhans_fgsm"}, marks=pytest.mark.slow),
    {"attack": "cleverhans_pgd", "options": {"nb_iter": 2}},
    pytest.param({"attack": "pgd", "steps": 2, "options": {"norm": "l2"}}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("options", INNER, ids=lambda o: o["attack"])
def test_adversarial_training_runs_with_any_attack_inside(options):
    trainer = Trainer(TrainingOptions(epochs=2, batch_size=16))
    defense = create("defenses", "pgd_training", eps=0.05, **options)
    classifier = train(create("models", "fully_connected"), InMemory(images=48), trainer, [defense])
    assert [applied.name for applied in classifier.defenses] == ["pgd_training"]
    assert classifier.defenses[0].params["attack"] == options["attack"]


@pytest.mark.parametrize("inner", [{"attack": "pgd", "options": {"targeted": True}},
                                   {"attack": "box_blur"},
                                   {"attack": "pgd", "options": {"region": "background"}},
                                   {"attack": "pdg"}, {"options": {"stps": 3}}])  # fmt: skip
def test_adversarial_training_refuses_attacks_it_cannot_run(inner):
    with pytest.raises(UsageError, match=r"untargeted|did you mean"):
        create("defenses", "pgd_training", **inner).inner_attack()


@pytest.mark.parametrize(
    ("attack", "options", "eps"),
    [("deepfool", {}, 0.05), ("ddn", {}, 0.05), ("fmn", {"norm": "l0"}, 1.0)],
)
def test_a_least_perturbation_is_cut_off_at_the_budget(attack, options, eps, digits):
    images, labels = (tf.constant(array[:40]) for array in digits["test"])
    network = small_classifier((8, 8, 1), 10)
    defense = create("defenses", "pgd_training", attack=attack, eps=eps, options=options)
    inner = defense.inner_attack()
    free = create("attacks", attack, **options)(network, images, labels, seed=0)
    norm = L0() if inner.threat.norm == "l0" else ball(inner.threat.norm)
    assert norm.distance(free, images).numpy().max() > eps
    crafted = inner(network, images, labels, seed=0)
    assert norm.distance(crafted, images).numpy().max() == pytest.approx(eps, rel=1e-4)
    assert name_of(inner) == attack


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"attack": "fgsm", "steps": 3}, "pgd_training: steps: fgsm has no such option; leave it"),
        ({"attack": "spatial", "eps": 0.2}, "pgd_training: eps: spatial has no such option"),
    ],
)
def test_an_option_that_the_inner_attack_does_not_have_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        create("defenses", "pgd_training", **given).inner_attack()
    create("defenses", "pgd_training", attack=given["attack"]).inner_attack()


TAKES_AN_ATTACK = ["pgd_training", "trades", "mart", "ensemble_training", "adversarial_retraining"]


def refused(name, attack, options=None):
    """Return the message with which a defence refuses an inner attack before training."""
    data = InMemory()
    defense = create("defenses", name, attack=attack, options=options)
    with pytest.raises(UsageError, match=f"^{name}: attack: expected .*received: '{attack}'") as it:
        defense.check(small_classifier(data.image_shape, data.num_classes), data)
    assert "\n" not in str(it.value)
    return str(it.value)


@pytest.mark.parametrize("attack", ["gap", "uap"])
@pytest.mark.parametrize("name", TAKES_AN_ATTACK)
def test_an_attack_that_learns_from_many_images_is_refused_before_training(name, attack):
    message = refused(name, attack)
    assert "learns from many images first" in message
    assert message.endswith("take the defence retraining, which collects images of any attack")


@pytest.mark.parametrize("name", ["pgd_training", "adversarial_retraining"])
def test_a_pattern_learned_before_is_refused_as_inner_attack(name, tmp_path):
    (tmp_path / "uap.npz").touch()
    assert "take the defence retraining" in refused(name, "uap", {"file": tmp_path / "uap.npz"})


@pytest.mark.parametrize("name", TAKES_AN_ATTACK)
def test_an_attack_that_lowers_the_loss_is_refused(name):
    assert "'reverse_ifgsm', which helps the classifier; take" in refused(name, "reverse_ifgsm")


@pytest.mark.parametrize("targeted", [True, False])
def test_an_attack_that_keeps_nothing_of_its_images_is_refused(targeted):
    message = refused("pgd_training", "fooling", {"targeted": targeted})
    assert (
        "'fooling', which keeps nothing of what it is given; take another, such as pgd" in message
    )


def test_retraining_refuses_a_budget_larger_than_any_image_allows():
    network = small_classifier()
    with pytest.raises(UsageError, match="eps: no two images of shape 4×4×1"):
        create("defenses", "adversarial_retraining", eps=8).check(network, InMemory())


def test_retraining_attacks_a_share_of_each_batch_and_trains_a_copy():
    data = InMemory(images=40)
    network = small_classifier(data.image_shape, data.num_classes)
    before = network.model.get_weights()
    seen = []

    class Watching(Trainer):
        def fit(self, classifier, scenario, task):
            images, labels = arrays(scenario, "train", 10)
            seeds = tf.zeros((10, 2), tf.int32)
            given = tf.constant(images), tf.constant(labels), seeds
            seen.append((images, task.perturb(classifier, *given).numpy()))
            return super().fit(classifier, scenario, task)

        def altered(self, **options):
            return Watching(dataclasses.replace(self.options, **options))

    defense = create("defenses", "adversarial_retraining", eps=0.05, share=0.25, epochs=1)
    tuned = defense.apply(network, data, Watching(TrainingOptions(epochs=9))).classifier
    clean, attacked = seen[0]
    changed = (clean != attacked).any(axis=(1, 2, 3))
    assert changed[:3].all()
    assert not changed[3:].any()
    assert np.abs(attacked - clean).max() == pytest.approx(0.05, abs=1e-6)
    assert all(map(np.array_equal, before, network.model.get_weights()))
    assert not all(map(np.array_equal, before, tuned.model.get_weights()))


@plugin
class Sorted(InMemory):
    """Noise, sorted by class."""

    def load(self, split):
        images, _ = noise(self.splits.index(split), self.images, self.shape, self.classes)
        labels = np.arange(self.images) * self.classes // self.images
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})


@pytest.mark.parametrize("batch_size", [40, 300], ids=["several batches", "one batch"])
def test_validation_images_that_retraining_attacks_are_drawn_over_all_classes(batch_size):
    data, tasks = Sorted(images=300, with_validation=True), []

    class Watching(Trainer):
        def fit(self, classifier, scenario, task):
            tasks.append(task)
            return []

    def attacked(epoch, seed=0):
        options = TrainingOptions(batch_size=batch_size, seed=seed)
        defense = create("defenses", "adversarial_retraining", eps=0.05)
        defense.apply(small_classifier(), data, Watching(options))
        held_out, changed, labels = TrainingData(data, options), [], []
        for images, truth, index in held_out.validation:
            seeds = numbered_seeds(held_out.seed_of(epoch), index)
            perturbed = tasks[-1].validate_on(small_classifier(), images, truth, seeds)
            changed.extend((perturbed != images).numpy().any(axis=(1, 2, 3)))
            labels.extend(truth.numpy())
        return np.array(changed), np.array(labels)

    changed, labels = attacked(0)
    assert changed.sum() == 150
    assert all(0.3 < changed[labels == k].mean() < 0.7 for k in range(3))
    assert np.array_equal(attacked(1)[0], changed)
    assert not np.array_equal(attacked(0, seed=1)[0], changed)


def test_a_drawn_order_is_restored_after_the_attack():
    images, labels = (tf.constant(array) for array in noise(0, 12))
    seeds = numbered_seeds(7, tf.range(12) + 5)
    kept = []

    def perturb(classifier, images, labels, seeds):
        kept.append((images, labels, seeds))
        return images + tf.cast(labels, tf.float32)[:, None, None, None]

    attacked = in_drawn_order(perturb, 3)(None, images, labels, seeds)
    np.testing.assert_allclose(attacked, images + tf.cast(labels, tf.float32)[:, None, None, None])
    order = kept[0][2][:, 1].numpy() - 5
    assert sorted(order) == list(range(12)) != list(order)
    np.testing.assert_array_equal(kept[0][0], tf.gather(images, order))
    np.testing.assert_array_equal(kept[0][1], tf.gather(labels, order))


@pytest.mark.parametrize(
    "options",
    [{"attack": "box_blur"}, {"attack": "pgd", "options": {"targeted": True}}, {"attack": "pdg"}],
    ids=str,
)
def test_retraining_refuses_attacks_it_cannot_run(options):
    data = InMemory()
    network = small_classifier(data.image_shape, data.num_classes)
    defense = create("defenses", "adversarial_retraining", **options)
    with pytest.raises(UsageError, match=r"adversarial_retraining: attack|did you mean"):
        defense.check(network, data)


def test_retraining_refuses_what_is_no_keras_model():
    data = InMemory()
    with pytest.raises(UsageError, match="expected a Keras model"):
        create("defenses", "adversarial_retraining").check(LinearClassifier(), data)


def test_adversarial_training_makes_digits_harder_to_attack_than_plain_training_does(digits):
    images, labels = (array[:100] for array in digits["test"])
    attack = create("attacks", "pgd", eps=0.1, steps=10)
    model = create("models", "fully_connected", units=64)
    attacked = KerasClassifier(model.build((8, 8, 1), 10))  # of each network's weights in turn
    accuracy = []
    for defenses in ([], [create("defenses", "pgd_training", eps=0.1, steps=4)]):
        trainer = Trainer(TrainingOptions(epochs=12, batch_size=64, learning_rate=5e-3))
        scenario = create("scenarios", "digits")
        classifier = train(model, scenario, trainer, defenses)
        attacked.model.set_weights(classifier.model.get_weights())
        crafted = run_attack(attack, attacked, images, labels).images
        accuracy.append((clean_predictions(classifier, crafted) == labels).mean())
    assert accuracy[1] > accuracy[0] + 0.1


@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_retraining_keeps_the_contract(check):
    check(create("defenses", "adversarial_retraining", eps=0.1))
