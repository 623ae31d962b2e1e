"""An export whose draws belong to the image answers it the same in any batch and any runtime."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import Drawing, small_classifier, small_model
from tfrobust import store
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.engine.victim import Expected, victim_of
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.serving import ExportSettings, export
from tfrobust.serving.seeded import Seeded

IMAGES = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
DEFENSES = {
    "mc_dropout": {"rate": 0.5, "samples": 4},
    "random_resize_pad": {"least": 0.5},
    "randomized_smoothing": {"training": "off", "samples": 4},
}


def defended(name):
    """Return a small network with a random defence around it."""
    defense = create("defenses", name, **DEFENSES[name])
    return defense.apply(KerasClassifier(small_model()), None, None).classifier


@pytest.mark.parametrize(
    "name",
    ["mc_dropout", *(pytest.param(name, marks=pytest.mark.slow) for name in list(DEFENSES)[1:])],
)
def test_an_image_has_one_answer_in_any_batch_and_another_by_another_seed(name):
    answers = tf.function(Seeded(defended(name)).outputs_of, reduce_retracing=True)
    together = answers(tf.constant(IMAGES), tf.zeros(5, tf.int32))
    again = answers(tf.constant(IMAGES[::-1][:3]), tf.zeros(3, tf.int32))
    other = answers(tf.constant(IMAGES), tf.fill([5], 1))
    for key, value in together.items():
        assert (again[key].numpy() == value[::-1][:3].numpy()).all()
    assert not np.array_equal(other["logits"], together["logits"])


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFENSES)
def test_over_seeds_the_answers_are_distributed_as_fresh_ones(name):
    inner, images = defended(name), np.repeat(IMAGES[:1], 400, axis=0)
    fresh = np.concatenate([inner(IMAGES[:1]) for _ in range(400)])
    seeds = tf.range(400)
    seeded = tf.function(Seeded(inner).outputs_of)(images, seeds)["logits"].numpy()
    spread = np.sqrt((fresh.var(axis=0) + seeded.var(axis=0)) / 400)
    assert (np.abs(fresh.mean(axis=0) - seeded.mean(axis=0)) < 4.5 * spread).all()
    assert seeded.std(axis=0) == pytest.approx(fresh.std(axis=0), rel=0.25)


@pytest.mark.slow
def test_the_export_serves_one_answer_takes_seeds_and_is_attacked_through_the_mean(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    small_model().save("small.keras")
    defense = create("defenses", "random_resize_pad", least=0.5)
    settings = ExportSettings(classifier="small.keras", defenses=[defense], draws="content")
    path = export(settings, "served").path
    signatures = tf.saved_model.load(str(path)).signatures
    answer = signatures["serving_default"](images=tf.constant(IMAGES))["logits"]
    by_seed = signatures["seeded"](images=tf.constant(IMAGES), seed=tf.zeros(5, tf.int32))
    assert (by_seed["logits"].numpy() == answer.numpy()).all()
    classifier = store.load(path)
    assert (classifier(IMAGES).numpy() == answer.numpy()).all()
    assert not classifier.stochastic
    assert [applied.name for applied in classifier.defenses] == ["random_resize_pad"]
    victim, _ = victim_of(create("attacks", "pgd", eps=0.1), classifier)
    one, other = (victim.backward(IMAGES).numpy() for _ in range(2))
    assert not np.array_equal(one, other)
    assert isinstance(Seeded(defended("random_resize_pad")).surrogate, Expected)


def test_what_cannot_be_seeded_is_refused_in_one_line():
    with pytest.raises(UsageError, match="draws nothing; leave the option out"):
        Seeded(small_classifier())
    with pytest.raises(UsageError, match=r"a state of its own \(.*\); export .* by its name"):
        Seeded(Drawing(small_classifier()))
    inner = defended("mc_dropout").replace(batch_dependent=True)
    with pytest.raises(UsageError, match="rest of the batch"):
        Seeded(inner)


@pytest.mark.slow
def test_a_network_of_drawn_signs_has_one_answer_too():
    model = create("models", "lenet_random_bnn").build((8, 8, 1), 10)
    inner = KerasClassifier(model, stochastic=True)
    images = tf.constant(np.random.default_rng(0).uniform(size=(3, 8, 8, 1)), tf.float32)
    answers = tf.function(Seeded(inner).outputs_of)
    first, again, other = (answers(images, tf.fill([3], seed))["logits"] for seed in (0, 0, 1))
    assert (first.numpy() == again.numpy()).all()
    assert not np.array_equal(first, other)
