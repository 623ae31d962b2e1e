"""The corrective attack corrects every image within reach on a linear classifier."""

import numpy as np
import pytest

from tfrobust.engine.run import run_attack
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images


@pytest.mark.parametrize("early_stop", [True, False])
def test_exactly_those_images_are_corrected_that_are_near_enough(early_stop):
    classifier = LinearClassifier((6, 5, 2), 2, seed=1)
    images, predicted = grey_images(classifier, 30, spread=0.3)
    labels = np.where(np.arange(30) < 20, 1 - predicted, predicted)  # twenty are misclassified
    least = classifier.least_perturbation(images, predicted, "linf")
    eps = float(np.median(least[:20]))
    attack = create("attacks", "reverse_ifgsm", eps=eps, early_stop=early_stop)
    corrected = run_attack(attack, classifier, images, labels).images
    right = classifier(corrected).numpy().argmax(1) == labels
    assert right[20:].all()
    near = least[:20] / eps
    assert right[:20][near < 0.999].all()
    assert not right[:20][near > 1.001].any()
    assert np.abs(corrected - images).max() <= eps * (1 + 1e-5)
    assert early_stop == np.array_equal(corrected[20:], images[20:])


def test_the_last_image_has_the_least_loss_in_the_ball():
    classifier = LinearClassifier((6, 5, 2), 2, seed=2)
    images, predicted = grey_images(classifier, 10, spread=0.3)
    attack = create("attacks", "reverse_ifgsm", eps=0.05, early_stop=False)
    corrected = run_attack(attack, classifier, images, 1 - predicted).images
    weights = classifier.weights.numpy()
    towards = np.sign(weights[:, 1] - weights[:, 0]).reshape(6, 5, 2)
    sign = np.where(predicted == 0, 1, -1)[:, None, None, None]
    assert np.allclose(corrected, np.clip(images + 0.05 * sign * towards, 0, 1), atol=1e-6)
