"""Randomness belongs to an image, not to its place in a batch."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust import random
from tfrobust.registry import create
from tfrobust.testing import small_classifier

DRAWS = pytest.mark.parametrize("draw", [random.uniform, random.normal])


@DRAWS
def test_an_images_draw_does_not_depend_on_the_other_images_of_the_batch(draw):
    seeds = random.image_seeds(7, 10)
    whole = draw(seeds, (3, 2, 1)).numpy()
    for rows in ([4], [9, 0], [3, 4, 5, 6]):
        assert np.array_equal(draw(tf.gather(seeds, rows), (3, 2, 1)).numpy(), whole[rows])


@DRAWS
def test_images_seeds_and_purposes_get_draws_of_their_own(draw):
    draws = [
        draw(random.fold(random.image_seeds(seed, 8), number), (2, 2, 1)).numpy().reshape(8, -1)
        for seed in (0, 1, 2)
        for number in range(4)
    ]
    rows = np.concatenate(draws)
    assert len({row.tobytes() for row in rows}) == len(rows)


def test_image_seeds_come_back_unchanged():
    seeds = random.image_seeds(3, 5)
    assert random.image_seeds(seeds, 5) is seeds
    assert seeds.numpy().tolist() == [[3, number] for number in range(5)]


@pytest.mark.parametrize("name", ["pgd", "cleverhans_pgd", "cleverhans_madry", "cleverhans_spsa"])
def test_a_random_attack_crafts_the_same_image_alone_and_in_a_batch(name):
    few = {"cleverhans_spsa": {"nb_iter": 2, "spsa_samples": 4}, "pgd": {"steps": 2}}
    attack = create("attacks", name, **few.get(name, {"nb_iter": 2}))
    classifier = small_classifier()
    images = tf.random.stateless_uniform((6, 6, 5, 2), (0, 0))
    labels = tf.zeros(6, tf.int64)
    seeds = random.image_seeds(0, 6)
    whole = attack(classifier, images, labels, seed=seeds).numpy()
    for rows in ([2], [5, 1]):
        part = [tf.gather(tensor, rows) for tensor in (images, labels, seeds)]
        alone = attack(classifier, part[0], part[1], seed=part[2]).numpy()
        assert alone == pytest.approx(whole[rows], abs=1e-6)


@pytest.mark.parametrize("name", ["pgd", "cleverhans_pgd", "cleverhans_spsa"])
def test_another_seed_gives_other_images(name, linear):
    from tfrobust.engine.run import run_attack

    few = {"cleverhans_spsa": {"nb_iter": 2, "spsa_samples": 4}, "pgd": {"steps": 1}}
    attack = create("attacks", name, **few.get(name, {"nb_iter": 1, "eps_iter": 0.01}))
    first, second = (run_attack(attack, *linear, seed=seed).images for seed in (0, 1))
    assert not np.array_equal(first, second)
