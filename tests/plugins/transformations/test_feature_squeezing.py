"""The detector of feature squeezing, and the attack that evades it."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage, special

from tfrobust import store
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.serving.guard import guard
from tfrobust.testing import LinearClassifier
from tfrobust_transformations.feature_squeezing import FeatureSqueezing


def softmax(classifier, images):
    return special.softmax(np.asarray(classifier(tf.constant(images))), axis=1)


def test_the_score_is_the_largest_change_of_the_probabilities_over_squeezers(digits):
    images = digits["test"][0][:20]
    classifier = LinearClassifier((8, 8, 1), 4)
    fitted = FeatureSqueezing(bits=1, window=3).fit(classifier, images, images + 0.1)
    versions = np.round(images), ndimage.median_filter(images, (1, 3, 3, 1), mode="reflect")
    plain = softmax(classifier, images)
    changes = [np.abs(plain - softmax(classifier, v)).sum(axis=1) for v in versions]
    assert np.allclose(fitted.score(tf.constant(images)), np.max(changes, axis=0), atol=1e-5)
    outputs = classifier.outputs(tf.constant(images))
    assert np.allclose(
        fitted.score(tf.constant(images), outputs), np.max(changes, axis=0), atol=1e-5
    )


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_as_many_clean_images_exceed_the_threshold_as_were_allowed(share, trained, digits):
    images = digits["train"][0][:200]
    detector = FeatureSqueezing(bits=3, false_positives=share)
    fitted = detector.fit(trained, images, 1 - images)
    exceed = (np.asarray(fitted.score(tf.constant(images))) > fitted.threshold).mean()
    assert exceed <= share
    assert exceed >= share - 0.02


def test_an_attack_that_knows_the_squeezers_evades_the_detector(trained, digits):
    clean, (images, labels) = digits["train"][0][:300], (part[:60] for part in digits["test"])
    detector = FeatureSqueezing(bits=2, window=None)
    fitted = detector.fit(trained, clean, 1 - clean)
    # As Xu et al. attack: no more than needed to fool the classifier.
    naive = run_attack(create("attacks", "ddn", steps=30), trained, images, labels).images
    knows = create("attacks", "pgd", eps=0.3, steps=40, early_stop=False)
    knowing = run_attack(knows, detector.evading(trained), images, labels).images
    unseen = {}
    for kind, crafted in (("naive", naive), ("knowing", knowing)):
        fooled = softmax(trained, crafted).argmax(axis=1) != labels
        passed = np.asarray(fitted.score(tf.constant(crafted))) <= fitted.threshold
        unseen[kind] = (fooled & passed).mean()
    assert unseen["knowing"] > unseen["naive"] + 0.3
    assert unseen["knowing"] > 0.8


@pytest.mark.slow
def test_a_guarded_export_serves_the_score(trained, tmp_path, digits):
    detector, attack = FeatureSqueezing(bits=2), create("attacks", "fgsm", eps=0.2)
    guarded = guard(trained, detector, attack, create("scenarios", "digits"), images=100)
    loaded = store.load(store.export(guarded, tmp_path / "m" / "1"))
    images = tf.constant(digits["test"][0][:5])
    scores = [one.outputs(images)["adversarial_score"] for one in (guarded, loaded)]
    assert np.allclose(*scores, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": None, "window": None}, "expected bits or window"),
        ({"window": 9}, "expected 8 or less"),
    ],
)
def test_squeezers_that_cannot_be_are_refused(options, message, digits):
    images = digits["test"][0][:4]
    with pytest.raises(UsageError, match=message):
        FeatureSqueezing(**options).fit(LinearClassifier((8, 8, 1), 3), images, images + 0.1)
