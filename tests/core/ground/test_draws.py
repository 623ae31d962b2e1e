"""Seeded draws are uniform, normal and independent, and belong to what an image shows."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfrobust.draws import PRIME, Draws, content_words, keys_of, repeated, seeded

COUNT = 60_000
STRIDES = (1, 2, PRIME)


def keys(seed):
    return keys_of(tf.reshape(seed, (1,)), tf.zeros((1, 2, 2, 1)))[0]


def drawn(seed, count=COUNT, kind="uniform"):
    with seeded(keys(seed)):
        return getattr(Draws(0), kind)((count,)).numpy()


def test_numbers_of_a_seed_pass_tests_of_their_distribution_and_of_independence():
    numbers, other = drawn(3).astype(float), drawn(4).astype(float)
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    assert stats.kstest(drawn(3, kind="normal"), "norm").pvalue > 1e-3
    for stride in STRIDES:
        assert abs(np.corrcoef(numbers[:-stride], numbers[stride:])[0, 1]) < 4 / np.sqrt(COUNT)
    assert abs(np.corrcoef(numbers, other)[0, 1]) < 4 / np.sqrt(COUNT)
    pairs = np.histogram2d(numbers[:-1], numbers[1:], bins=16)[0].ravel()
    assert stats.chisquare(pairs).pvalue > 1e-3
    assert 0 < numbers.min() < numbers.max() < 1


def test_chances_are_as_frequent_as_asked_for():
    kept = 45_000
    with seeded(keys(1)):
        share = float(tf.reduce_mean(tf.cast(Draws(0).chances((COUNT,), kept), tf.float32)))
    assert share == pytest.approx(kept / 2**16, abs=4 * 0.5 / np.sqrt(COUNT))


def test_each_draw_and_each_step_of_a_loop_gives_other_numbers_and_again_the_same():
    draws = Draws(0)

    @tf.function
    def all_of(seed):
        def step(number):
            with repeated(number):
                return draws.uniform((2,))

        with seeded(keys(seed)):
            looped = tf.map_fn(step, tf.range(3), fn_output_signature=tf.float32)
            return tf.concat([tf.reshape(looped, (-1,)), draws.uniform((2,)), step(0)], 0)

    numbers = all_of(tf.constant(5)).numpy()
    assert len(set(numbers)) == len(numbers)
    assert (all_of(tf.constant(5)).numpy() == numbers).all()
    assert not (all_of(tf.constant(6)).numpy() == numbers).any()


def test_words_tell_images_apart_that_differ_in_the_last_bit_of_one_pixel():
    images = np.random.default_rng(0).uniform(0.5, 1, (200, 4, 5, 3)).astype(np.float32)
    images[1:] = images[0]
    for number in range(1, 60):
        pixels = images[number].reshape(-1)
        pixels[number] = np.nextafter(pixels[number], np.float32(0))
    words = content_words(tf.constant(images[:60])).numpy()
    assert len(np.unique(words, axis=0)) == 60
    assert (content_words(tf.constant(images[60:])).numpy() == words[0]).all()
    assert words.min() >= 0
    assert words.max() < PRIME


def test_fresh_draws_are_those_of_a_generator():
    expected = tf.random.Generator.from_seed(7).normal((5,)).numpy()
    assert (Draws(7).normal((5,)).numpy() == expected).all()
