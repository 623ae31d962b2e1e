"""Box blur compared with a plain reference, which crops the box and filters the crop."""

import numpy as np
import pytest

from tfrobust.data.names import open_scenario
from tfrobust.engine.object_boxes import boxes_for, free_of
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, some_boxes

SHAPE = (23, 17, 3)
SIGMAS = [0.3, 1.0, 4.0, 45.0]


def blurred(image, sigma):
    """Return each pixel as the mean of all pixels of the image, weighted by their distance."""
    rows, columns = np.indices(image.shape[:2])
    result = np.empty(image.shape)
    for row, column in np.ndindex(image.shape[:2]):
        squares = np.square(rows - row) + np.square(columns - column)
        weight = np.exp(-squares / (2.0 * sigma**2))[..., None]
        result[row, column] = (weight * image).sum(axis=(0, 1)) / weight.sum()
    return result


def crafted(images, boxes, **options):
    classifier = LinearClassifier(SHAPE, 2)
    labels = np.zeros(len(images), np.int64)
    attack = create("attacks", "box_blur", **options)
    return run_attack(attack, classifier, images, labels, boxes=boxes, batch_size=2).images


def pictures(count=3):
    return np.random.default_rng(0).uniform(size=(count, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_a_box_is_blurred_as_its_crop_and_the_context_is_left_alone(sigma):
    images, height, width = pictures(), *SHAPE[:2]
    pixels = np.array([[2, 3, 12, 9], [0, 0, 23, 17], [20, 1, 23, 2]])  # one box is the whole image
    boxes = (pixels / [height, width, height, width]).astype(np.float32)[:, None]
    expected = images.copy()
    for image, (top, left, bottom, right) in zip(expected, pixels, strict=True):
        image[top:bottom, left:right] = blurred(image[top:bottom, left:right], sigma)
    blurry = crafted(images, boxes, sigma=sigma)
    assert np.abs(blurry - expected).max() <= 2e-6
    outside = np.ones(images.shape[:3], bool)
    for row, (top, left, bottom, right) in enumerate(pixels):
        outside[row, top:bottom, left:right] = False
    assert np.array_equal(blurry[outside], images[outside])


@pytest.mark.parametrize("region", ["foreground", "background"])
def test_only_pixels_of_the_region_count(region):
    """The result does not depend on other pixels, nor on the number of boxes."""
    images, boxes = pictures(), some_boxes(3)
    attack = create("attacks", "box_blur", region=region)
    free = np.asarray(free_of(attack, boxes, images))
    others = np.where(free, images, 1.0 - images)
    first, second = (crafted(batch, boxes, region=region) for batch in (images, others))
    assert np.array_equal(np.where(free, first, 0.0), np.where(free, second, 0.0))
    assert np.array_equal(np.where(free, 0.0, second), np.where(free, 0.0, others))
    flat = np.where(free, np.float32(0.3), images)
    assert np.abs(crafted(flat, boxes, region=region) - flat).max() <= 1e-6


def test_all_of_an_image_needs_no_box():
    images = pictures(1)
    blurry = crafted(images, None, region="all", sigma=2.0)
    assert np.abs(blurry[0] - blurred(images[0], 2.0)).max() <= 2e-6


def test_sigma_for_images_of_another_side_scales_with_the_shorter_side_of_the_image():
    images, boxes = pictures(), some_boxes(3)
    scaled = crafted(images, boxes, sigma=10, side=224)
    assert np.array_equal(scaled, crafted(images, boxes, sigma=10 * 17 / 224))
    assert np.array_equal(crafted(images, boxes, sigma=3, side=17), crafted(images, boxes, sigma=3))


@pytest.mark.parametrize("sigma", [0.0, 1e-300, 1e-3])
def test_no_blur_leaves_the_image_as_it_is(sigma):
    images = pictures()
    assert np.array_equal(crafted(images, some_boxes(3), sigma=sigma), images)


def test_a_wide_kernel_leaves_the_mean_of_the_box():
    images = pictures(1)
    box = np.array([[[0.0, 0.0, 1.0, 1.0]]], np.float32)
    blurry = crafted(images, box, sigma=1e4)
    assert np.abs(blurry - images.mean(axis=(1, 2))).max() <= 1e-5


@pytest.mark.parametrize("shift", ["fog.3", "gaussian_noise.1", "color_jitter"])
def test_blur_accepts_shifts_that_keep_objects_in_their_boxes(shift):
    scene = open_scenario(f"digits_in_places+{shift}")
    attack = create("attacks", "box_blur", sigma=2)
    boxes = boxes_for([attack], scene, "test", 6)
    assert np.array_equal(boxes, boxes_for([attack], open_scenario("digits_in_places"), "test", 6))


@pytest.mark.parametrize("shift", ["rotation", "b1", "elastic_transform.1", "zoom_blur.2", "a"])
def test_blur_refuses_shifts_that_move_objects(shift):
    scene = open_scenario(f"digits_in_places+{shift}")
    with pytest.raises(UsageError, match="may move objects out of their boxes"):
        boxes_for([create("attacks", "box_blur")], scene, "test", 6)
