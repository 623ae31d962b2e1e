import numpy as np
import pytest
from tfrobust.errors import DataError
from tfrobust.testing import scenario_checks

from tfrobust_example_plugin.shapes import Shapes, draw


@pytest.mark.parametrize("check", scenario_checks(), ids=lambda check: check.__name__)
def test_shapes_keep_the_contract(check):
    check(Shapes(train_images=100, test_images=80))


def test_the_classes_are_balanced_and_equally_large():
    images, labels = draw(400, 64, 0.0, np.random.default_rng(0))
    inside = np.abs(images - images[:, :1, :1])
    areas = (inside / inside.max((1, 2), keepdims=True)).sum((1, 2, 3))
    means = [areas[labels == k].mean() for k in range(4)]
    assert np.bincount(labels).tolist() == [100] * 4
    assert max(means) < 1.1 * min(means)


def test_another_seed_draws_other_images():
    first, second = (next(iter(Shapes(seed=seed).load("test")))["image"] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_an_unknown_split_is_refused():
    with pytest.raises(DataError, match="expected train or test; received: 'all'"):
        Shapes().load("all")
