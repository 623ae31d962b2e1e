"""Gradients that are NaN, and rows of the loop that are done: neither may reach a result."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.thinned import thinned
from tfrobust.classifier import Wrapped
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine import loop
from tfrobust.engine.run import run_attack
from tfrobust.evaluation.audit import audit
from tfrobust.registry import create
from tfrobust.testing import grey_images, small_classifier
from tfrobust_attacks.minimum_norm.feature_pairs import best_pair

WHITE_BOX = {
    "fgsm": {"eps": 0.1},
    "bim": {"eps": 0.1},
    "mim": {"eps": 0.1},
    "pgd": {"eps": 0.1, "steps": 10},
    "apgd_ce": {"eps": 0.1, "steps": 10},
    "apgd_t": {"eps": 0.1, "steps": 10},
    "deepfool": {},
    "cw_l2": {"steps": 50, "binary_search_steps": 3, "initial_const": 1.0},
    "ead": {"steps": 50, "binary_search_steps": 3, "initial_const": 1.0},
    "fab": {"steps": 5},
    "fab_t": {"steps": 5, "target_classes": 2},
    "ddn": {"steps": 20},
    "fmn": {"steps": 20},
    "jsma": {"targeted": False},
    "sigma_zero": {"steps": 20},
}
# Attacks of one step, that stop no row early, or all of whose state is the outcome.
WHOLE = ("fgsm", "ddn", "fmn", "deepfool", "spatial", "square", "jsma", "sigma_zero")
# Attacks whose own step leaves the best image of a row alone once the row is done.
GUARDED = ("cw_l2", "ead", "square", "zoo")
# Attacks that run the loop of apgd_t and of fab_t.
SAME_LOOP = ("apgd_ce", "fab")
SHRINKING = WHITE_BOX | {
    "mim": {"eps": 0.1, "early_stop": True},
    "square": {"eps": 0.1, "queries": 50},
    "spsa": {"eps": 0.1, "steps": 6, "samples_per_step": 16},
    "zoo": {"binary_search_steps": 3, "steps": 40, "coordinates": 24, "initial_const": 1.0},
    "spatial": {"rotations": 5, "translations": 3},
}


class Torn(Wrapped):
    """A classifier whose gradient is NaN in every other pixel."""

    def __call__(self, images):
        @tf.custom_gradient
        def torn(images):
            def backward(upstream):
                rows = tf.reshape(tf.range(tf.shape(upstream)[1]) % 2, (1, -1, 1, 1))
                return tf.where(rows == 0, upstream, float("nan"))

            return tf.identity(images), backward

        return self.inner(torn(images))


@pytest.mark.parametrize(
    "name",
    thinned(
        (pytest.param(name, marks=[pytest.mark.slow] * (name in SAME_LOOP)) for name in WHITE_BOX),
        one_in=2,
    ),
)
def test_a_gradient_with_some_nan_values_makes_no_image_invalid(name):
    classifier = Torn(small_classifier())
    images, labels = grey_images(classifier, 8)
    attack = create("attacks", name, **WHITE_BOX[name])
    crafted = run_attack(attack, classifier, images, labels).images
    judged = audit(classifier, attack, images, labels, crafted, clean=labels)
    assert not judged.violation.any()
    assert judged.reached.any()
    if attack.minimum_norm:
        change = np.abs(crafted - images)
        assert change[:, 1::2].max() < 0.05 * change[:, ::2].max()


def test_the_search_for_pairs_ends_where_every_slope_is_nan():
    nan = tf.fill((2, 12), float("nan"))
    assert best_pair(nan, nan, tf.ones((2, 12), tf.bool)).value.numpy().tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "name",
    # Where all of the state is the outcome, there is nothing undefined.
    thinned(
        pytest.param(name, marks=[pytest.mark.slow] * (name in (*WHOLE, *SAME_LOOP)))
        for name in SHRINKING
    ),
)
def test_undefined_values_in_finished_rows_reach_no_result(name, monkeypatch):
    """With all undefined values replaced by NaN, the images are the same, bit for bit."""
    classifier = small_classifier()
    images, labels = grey_images(classifier, 24, spread=0.3)
    attack = create("attacks", name, **SHRINKING[name])
    plain = run_attack(attack, classifier, images, labels)
    freeze, poisoned = loop._freeze, []

    def poisoning(before, after, outcome):
        kept = freeze(before, after, outcome)

        def spoil(old, new):
            if new is old or new.dtype != tf.float32:
                return new
            poisoned.append(new)
            return loop.blend(before.done, tf.fill(tf.shape(new), np.float32("nan")), new)

        guarded = {"best"} if name in GUARDED else set()
        undefined = set(kept._fields) - {*outcome, "done"} - guarded if outcome else ()
        return kept._replace(
            **{
                field: tf.nest.map_structure(spoil, getattr(before, field), getattr(kept, field))
                for field in undefined
            }
        )

    monkeypatch.setattr(loop, "_freeze", poisoning)
    again = small_classifier()  # another object, so it is traced again
    assert np.array_equal(clean_predictions(again, images), labels)
    assert np.array_equal(run_attack(attack, again, images, labels).images, plain.images)
    assert bool(poisoned) is (name not in WHOLE)
