"""Pixel noises that draw each cell at most once, and what repetition does instead."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.plain_pixel_noise import NOISES, pictures, plain_noise
from tfrobust.random import content_seeds
from tfrobust.registry import create
from tfrobust_attacks.noise.pixel_noise import draws

COUNTS = (0, 1, 7, 30)


@pytest.mark.parametrize(("shape", "side"), [((7, 5, 1), 1), ((6, 8, 1), 2), ((1, 1, 1), 1)])
@pytest.mark.parametrize("name", NOISES)
def test_without_repetition_each_generation_agrees_with_the_plain_reference(name, shape, side):
    attack = create("attacks", name, pixel_size=side, repeat=False)
    images = pictures(shape)
    seeds = tf.constant(content_seeds(3, images))
    drawn = draws(seeds, max(COUNTS)).numpy()
    stages = attack.stages(tf.constant(images), COUNTS, seed=seeds).numpy()
    for count, stage in zip(COUNTS, stages, strict=True):
        for image, line, noisy in zip(images, drawn, stage, strict=True):
            rule = {"constant": attack.c, "side": side, "repeat": False}
            expected = plain_noise(name, image, line[:count], **rule)
            np.testing.assert_array_equal(noisy, expected)


def test_without_repetition_the_control_noise_inverts_every_cell_exactly_once():
    images = pictures((4, 5, 1))
    stages = create("attacks", "random_pixel_invert", repeat=False).stages
    *growing, all_of_them, longer = stages(tf.constant(images), (0, 7, 19, 20, 30), seed=0).numpy()
    levels = np.rint(images * 255).astype(int)
    inverted_once = np.where(levels > 127, (255 - levels) / 1.25, 255 - levels / 1.25).astype(int)
    np.testing.assert_array_equal(np.rint(all_of_them * 255), inverted_once)
    np.testing.assert_array_equal(longer, all_of_them)
    for count, stage in zip((0, 7, 19), growing, strict=True):
        assert ((stage != images).sum(axis=(1, 2, 3)) == count).all()


def test_without_repetition_white_to_black_reaches_every_grey_where_repetition_stays_at_85():
    images, counts = tf.fill((1, 3, 3, 1), 100 / 255), (9, 120)
    once, again = (
        tf.function(create("attacks", "white_to_black", repeat=repeat).stages)(
            images, counts, seed=0
        ).numpy()
        for repeat in (False, True)
    )
    np.testing.assert_array_equal(np.rint(once * 255), 77)  # int((255 − 100) / 2), once each
    assert set(np.unique(np.rint(again[1] * 255))) <= {84, 85, 86}


@pytest.mark.parametrize("name", NOISES)
def test_one_pixel_of_the_original_is_one_cell_at_every_resolution(name):
    images, seeds = pictures((6, 5, 1)), tf.constant([[0, 1], [0, 2], [0, 3]])
    for repeat in (False, True):
        small, large = (
            create("attacks", name, pixel_size=side, repeat=repeat).stages(
                tf.repeat(tf.repeat(tf.constant(images), side, 1), side, 2), (12,), seed=seeds
            )[0]
            for side in (1, 2)
        )
        np.testing.assert_array_equal(tf.repeat(tf.repeat(small, 2, 1), 2, 2), large)
