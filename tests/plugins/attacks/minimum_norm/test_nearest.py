"""`nearest` is no farther than what FMN and FAB find, and optimality measures how near that is."""

import numpy as np
import pytest

from benchmarks.optimality import optimality
from tfrobust.engine.run import run_attack
from tfrobust.norms.distances import distances
from tfrobust.registry import create
from tfrobust.testing import grey_images, small_classifier


@pytest.mark.slow  # five traces; what each attack finds is tested beside it
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_no_image_is_farther_than_the_nearer_of_the_two(norm):
    classifier = small_classifier()
    images, labels = grey_images(classifier, 6, spread=0.3)
    attack = create("attacks", "nearest", norm=norm, steps=5, target_classes=2)

    def found(attack):
        crafted = run_attack(attack, classifier, images, labels).images
        far = distances(images, crafted)[norm]
        return np.where(far > 0, far, np.inf)

    nearer = np.min([found(single) for single in attack.attacks()], axis=0)
    assert np.isfinite(nearer).any()
    assert (found(attack) <= nearer * (1 + 1e-4)).all()


def test_optimality_is_one_for_the_best_and_zero_for_nothing_found():
    best = np.array([1.0, 2.0, 3.0, np.inf])
    assert optimality(best, best) == 1.0
    assert optimality(np.full(4, np.inf), best) == 0.0
    assert optimality(np.array([1.0, np.inf, 9.0, np.inf]), best) == pytest.approx(2 / 3)
    assert optimality(np.array([1.0, 2.5, 3.0, np.inf]), best) == pytest.approx(5 / 6)
