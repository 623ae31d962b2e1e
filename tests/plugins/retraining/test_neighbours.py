"""Labels by nearest neighbours, against plain search."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from tfrobust_retraining.neighbours import Neighbours, _drawn, _fitted_pca


@pytest.fixture(scope="module")
def known(digits):
    return digits["train"]


def test_neighbours_are_those_of_plain_search_where_all_components_are_kept(known, digits):
    images, labels = known
    others = digits["test"][0][:50]
    neighbours = Neighbours(images, labels, k=1, dimensions=60, seed=0).look_up(others)
    gaps = np.linalg.norm(others.reshape(50, 1, -1) - images.reshape(1, len(images), -1), axis=2)
    assert neighbours.distances == pytest.approx(gaps.min(axis=1), abs=1e-3)
    assert (neighbours.labels == labels[gaps.argmin(axis=1)]).mean() > 0.97


def test_the_most_frequent_class_of_k_neighbours_wins():
    images = np.array([0.0, 0.1, 0.2, 0.9], np.float32).reshape(4, 1, 1, 1)
    images = np.concatenate([images, images], axis=2)
    known = Neighbours(images, np.array([1, 2, 2, 1]), k=3, dimensions=1, seed=0)
    assert known.look_up(images[:1]).labels == [2]


def test_of_classes_with_as_many_votes_that_of_the_nearest_wins():
    images = np.array([0.0, 0.1, 0.5, 0.9], np.float32).reshape(4, 1, 1, 1).repeat(2, axis=2)
    known = Neighbours(images, np.array([2, 1, 0, 3]), k=2, dimensions=1, seed=0)
    assert known.look_up(images).labels.tolist() == [2, 1, 0, 3]


def test_what_components_leave_out_counts_as_distance(known):
    images, labels = known
    few = Neighbours(images, labels, k=1, dimensions=10, seed=0)
    noise = np.random.default_rng(0).uniform(size=(20, 8, 8, 1)).astype(np.float32)
    mirrored = images[:20, :, ::-1]
    assert few.look_up(images[:20]).distances == pytest.approx(0, abs=1e-2)
    assert few.look_up(noise).distances.min() > few.reach(0.999)
    assert few.look_up(mirrored).distances.min() < few.look_up(noise).distances.min()


def test_a_neighbour_that_is_left_out_has_no_vote(known):
    images, labels = (array[:200] for array in known)
    asked = Neighbours(images, labels, k=3, dimensions=30, seed=0)
    rows = np.arange(200)
    neighbours = asked.voted(asked.nearest(images), without=rows)
    apart = np.linalg.norm(asked._known[:, None] - asked._known[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = np.argsort(apart, axis=1)[:, :3]
    assert neighbours.distances == pytest.approx(apart.min(axis=1), abs=1e-3)
    for label, votes in zip(neighbours.labels, labels[nearest], strict=True):
        assert (votes == label).sum() == np.bincount(votes).max()


@pytest.mark.parametrize("most", [500, 2000])
def test_components_of_a_sample_are_those_of_a_copy_of_it_and_no_image_changes(known, most):
    images = known[0].copy()
    fitted = _fitted_pca(images, 20, most, seed=0)
    np.testing.assert_array_equal(images, known[0])
    sample = _drawn(images, most, 0).reshape(min(most, len(images)), -1)
    expected = PCA(20, random_state=0).fit(sample)
    np.testing.assert_array_equal(fitted.components_, expected.components_)
    np.testing.assert_array_equal(fitted.mean_, expected.mean_)
    assert fitted.n_samples_ == len(sample)
