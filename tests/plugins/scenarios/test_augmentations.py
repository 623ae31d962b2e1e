"""Crops, rotations, colours and the scenes A, B1 and B2: pixel by pixel, and as shifts."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from helpers import augmentation_reference as plain
from helpers.support import InMemory
from tfrobust.data.reading import arrays
from tfrobust.data.shifted import Shifted
from tfrobust.errors import UsageError
from tfrobust.random import fold, uniform
from tfrobust.registry import create
from tfrobust.testing import shift_checks
from tfrobust.training.data import TrainingData
from tfrobust.training.trainer import TrainingOptions
from tfrobust_scenarios.augmentations.color_jitter import jittered
from tfrobust_scenarios.augmentations.random_resized_crop import enlarged
from tfrobust_scenarios.augmentations.rotation import rotated

COUNT = 40
NAMES = ("a", "b1", "b2", "rotation", "color_jitter", "random_resized_crop", "random_crop")
SHAPES = [(12, 10, 3), (9, 16, 1), (32, 32, 3)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.mark.parametrize("check", shift_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_every_augmentation_keeps_the_contract(check, name):
    check(create("shifts", name))


def drawn(shape):
    images = tf.random.stateless_uniform((COUNT, *shape), (3, 4))
    return images, tf.stack([tf.fill([COUNT], 5), tf.range(COUNT)], axis=1)


@each_shape
def test_rotation_turns_as_the_reference_does(shape):
    images, seeds = drawn(shape)
    turned = create("shifts", "rotation", degrees=60).batch(images, seeds=seeds).numpy()
    angles = uniform(seeds, [], -60.0, 60.0).numpy()
    expected = [plain.rotate(*pair) for pair in zip(images.numpy(), angles, strict=True)]
    differ = (turned != np.stack(expected)).any(-1).mean()
    assert differ < 1e-3  # a place on the edge between two pixels, in single precision
    assert np.abs(angles).max() > 50


def test_rotation_equals_that_of_pillow():
    image = np.random.default_rng(0).integers(0, 256, (32, 24, 3), np.uint8)
    for angle in (-137.3, -20.0, -3.1, 0.0, 7.7, 20.0, 90.0):
        expected = np.asarray(Image.fromarray(image).rotate(angle))
        turned = rotated(tf.constant(image[np.newaxis] / 255, tf.float32), tf.constant([angle]))
        assert ((turned[0].numpy() * 255).round() != expected).any(-1).mean() < 2e-3, angle


@each_shape
def test_colours_change_as_in_the_reference(shape):
    images, seeds = drawn(shape)
    jitter = create("shifts", "color_jitter", brightness=2, contrast=0.5, saturation=1.5)
    numbers = uniform(seeds, [6]).numpy()
    low, high = np.array([0.0, 0.5, 0.0]), np.array([3.0, 1.5, 2.5])
    factors = low + numbers[:, :3] * (high - low)
    orders = numbers[:, 3:].argsort(1)
    expected = [
        plain.jitter(*arguments) for arguments in zip(images.numpy(), factors, orders, strict=True)
    ]
    assert np.allclose(jitter.batch(images, seeds=seeds), expected, atol=1e-5)
    assert len({tuple(order) for order in orders}) == 6
    assert (expected != images.numpy()).any()


def test_colours_equal_those_of_pillow_up_to_rounding_to_8_bits():
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for which, enhancer in enumerate(enhancers):
        for factor in (0.0, 0.3, 1.0, 1.8, 3.0):
            expected = np.asarray(enhancer(Image.fromarray(image)).enhance(factor), np.float32)
            factors = np.ones((1, 3), np.float32)
            factors[0, which] = factor
            pixels = tf.constant(image[np.newaxis] / 255, tf.float32)
            changed = jittered(pixels, tf.constant(factors), tf.constant([[0, 1, 2]]))[0]
            assert np.abs(changed.numpy() * 255 - expected).max() < 2.5, (which, factor)


@each_shape
@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.9, 1.0)])
def test_crops_equal_those_of_the_reference(shape, scale):
    images, seeds = drawn(shape)
    crop = create("shifts", "random_resized_crop", min_scale=scale[0], flip=0.5)
    numbers = uniform(seeds, [23]).numpy()
    expected, fitted = [], 0
    for image, draws in zip(images.numpy(), numbers, strict=True):
        box = plain.crop_box(
            shape[:2], draws[:10], draws[10:20], draws[20:22], scale=scale, ratio=(3 / 4, 4 / 3)
        )
        large = plain.enlarge(image, *box)
        fitted += box[2:] != shape[:2]
        expected.append(large[:, ::-1] if draws[22] < 0.5 else large)
    assert fitted
    assert np.allclose(crop.batch(images, seeds=seeds), expected, atol=1e-5)


def test_enlarging_equals_bilinear_resizing_of_pillow():
    image = np.random.default_rng(2).integers(0, 256, (20, 20), np.uint8)
    box = [tf.constant([float(number)]) for number in (3, 5, 11, 9)]
    result = enlarged(tf.constant(image[np.newaxis, ..., np.newaxis] / 255, tf.float32), *box)
    part = Image.fromarray(image[3:14, 5:14])
    expected = np.asarray(part.resize((20, 20), Image.Resampling.BILINEAR), np.float32)
    assert np.abs(result[0, ..., 0].numpy() * 255 - expected).max() < 1.01


@each_shape
def test_random_crops_are_parts_of_the_image_in_a_black_margin(shape):
    images, seeds = drawn(shape)
    moved = create("shifts", "random_crop", padding=2, flip=0.5).batch(images, seeds=seeds).numpy()
    padded = np.pad(images.numpy(), [(0, 0), (2, 2), (2, 2), (0, 0)])
    numbers = uniform(seeds, [3]).numpy()
    places = (numbers[:, :2] * 5).astype(int)
    for image, large, (top, left), flip in zip(moved, padded, places, numbers[:, 2], strict=True):
        part = large[top : top + shape[0], left : left + shape[1]]
        assert np.array_equal(image, part[:, ::-1] if flip < 0.5 else part)
    assert len(set(map(tuple, places))) > 15  # of the 25, by 40 images
    still = create("shifts", "random_crop", padding=0, flip=0.0).batch(images, seeds=seeds)
    assert np.array_equal(still, images)


def test_the_largest_allowed_part_in_the_middle_is_taken_where_none_fits():
    images = tf.random.stateless_uniform((3, 4, 16, 1), (1, 2))
    crop = create("shifts", "random_resized_crop", min_scale=1.0)
    cropped = crop.batch(images, seeds=tf.constant([[0, 0], [0, 1], [0, 2]]))
    expected = [plain.enlarge(image, 0, 5, 4, 5) for image in images.numpy()]
    assert np.allclose(cropped, expected, atol=1e-6)


def test_the_scenes_consist_of_a_crop_or_of_a_rotation_and_a_jitter():
    images, seeds = drawn((12, 10, 3))
    crop = create("shifts", "random_resized_crop", flip=0.5)
    assert np.array_equal(
        create("shifts", "a").batch(images, seeds=seeds), crop.batch(images, seeds=seeds)
    )
    gentle = create("shifts", "random_resized_crop", min_scale=0.5, flip=0.5)
    assert np.array_equal(
        create("shifts", "a", min_scale=0.5).batch(images, seeds=seeds),
        gentle.batch(images, seeds=seeds),
    )
    for name, degrees, change in (("b1", 15, 0.8), ("b2", 20, 2.0)):
        turned = create("shifts", "rotation", degrees=degrees).batch(images, seeds=seeds)
        jitter = create(
            "shifts", "color_jitter", brightness=change, contrast=change, saturation=change
        )
        expected = jitter.batch(turned, seeds=fold(seeds, 1))
        assert np.array_equal(create("shifts", name).batch(images, seeds=seeds), expected)


def test_one_image_has_one_shifted_version_in_the_test_split():
    shifted = Shifted(InMemory(images=20, shape=(8, 8, 3)), create("shifts", "b2"), seed=3)
    once, _ = arrays(shifted, "test", 20)
    assert np.array_equal(once, arrays(shifted, "test", 20)[0])
    assert np.array_equal(once[:7], arrays(shifted, "test", 7)[0])


def test_every_epoch_of_a_training_draws_new_shifts_and_validation_draws_once():
    shifted = Shifted(
        InMemory(images=40, shape=(8, 8, 3)), create("shifts", "color_jitter"), seed=3
    )

    def seen(seed, epoch):
        data = TrainingData(shifted, TrainingOptions(seed=seed, batch_size=6))
        batches = [(images.numpy(), index.numpy()) for images, _, index in data.epoch(epoch)]
        return {k: image for images, ids in batches for image, k in zip(images, ids, strict=True)}

    first, second = seen(0, 0), seen(0, 1)
    both = set(first) & set(second)
    assert both
    assert not any(np.array_equal(first[k], second[k]) for k in both)
    assert all(np.array_equal(image, first[k]) for k, image in seen(0, 0).items())
    assert not any(np.array_equal(image, first[k]) for k, image in seen(1, 0).items() if k in first)
    data = TrainingData(shifted, TrainingOptions(validation=0.2, batch_size=6))
    everything, _ = arrays(shifted, "train", 40)
    for images, _, index in data.validation:
        assert np.allclose(images, everything[index.numpy()], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("rotation", {"degrees": 181}, "degrees"),
        ("color_jitter", {"brightness": -0.1}, "brightness"),
        ("random_resized_crop", {"min_scale": 0}, "min_scale"),
        (
            "random_resized_crop",
            {"min_scale": 0.5, "max_scale": 0.4},
            "min_scale: expected at most",
        ),
        ("b1", {"degrees": 3}, "degrees"),
    ],
)
def test_options_out_of_range_cost_one_line(name, options, words):
    with pytest.raises(UsageError, match=words) as refusal:
        create("shifts", name, **options)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["a", "b2"])
def test_a_split_shifted_by_batches_is_the_one_shifted_image_by_image(name):
    base = InMemory(shape=(12, 10, 3), images=150)
    shift = create("shifts", name)
    shifted, _ = arrays(Shifted(base, shift, seed=4), "test")
    images, _ = arrays(base, "test")
    for place in (0, 63, 64, 149):
        alone = shift(images[place], seed=tf.constant([4, place]))
        assert np.array_equal(shifted[place], alone)


def test_images_with_boxes_are_shifted_one_by_one():
    """Images with different numbers of boxes, which do not fit into one batch."""

    class Boxed(InMemory):
        def load(self, split):
            def boxed(index, example):
                return {**example, "boxes": tf.zeros((tf.cast(index, tf.int32) % 3, 4))}

            return super().load(split).enumerate().map(boxed)

    scenario = Boxed(shape=(12, 10, 3), images=5)
    shift = create("shifts", "color_jitter")
    examples = list(Shifted(scenario, shift, seed=4).load("test").as_numpy_iterator())
    plain, _ = arrays(Shifted(InMemory(shape=(12, 10, 3), images=5), shift, seed=4), "test")
    assert [len(example["boxes"]) for example in examples] == [0, 1, 2, 0, 1]
    assert np.array_equal(np.stack([example["image"] for example in examples]), plain)
