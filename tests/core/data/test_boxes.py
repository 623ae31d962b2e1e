"""Boxes are exact to the pixel, also after cropping and resizing and at the borders."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.data.boxes import check_boxes, covered, cropped, masks, of_pixels
from tfrobust.errors import DataError


def drawn(boxes, height, width):
    """Paint boxes whose edges lie between pixels into an image, row by row."""
    image = np.zeros((height, width), bool)
    for top, left, bottom, right in boxes:
        rows = slice(round(top * height), round(bottom * height))
        image[rows, round(left * width) : round(right * width)] = True
    return image


def of_whole_pixels(seed, count, height, width):
    draw = np.random.default_rng(seed)
    boxes = []
    for _ in range(count):
        top, bottom = np.sort(draw.choice(height + 1, 2, replace=False))
        left, right = np.sort(draw.choice(width + 1, 2, replace=False))
        boxes.append(of_pixels(left, top, right, bottom, (height, width)))
    return np.stack(boxes)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("height", "width"), [(7, 7), (64, 64), (13, 40)])
def test_masks_are_the_painted_pixels_and_their_share_is_the_covered_share(seed, height, width):
    boxes = of_whole_pixels(seed, 1 + seed, height, width)
    painted = drawn(boxes, height, width)
    assert np.array_equal(masks(boxes[np.newaxis], height, width)[0, ..., 0], painted)
    assert covered(boxes) == pytest.approx(painted.mean())


def test_a_batch_has_the_masks_of_its_images_and_zeros_are_no_box():
    boxes = np.zeros((3, 2, 4), np.float32)
    boxes[0] = of_whole_pixels(1, 2, 9, 8)
    boxes[1, 0] = 0, 0, 1, 1
    masked = masks(boxes, 9, 8).numpy()
    assert np.array_equal(masked[0, ..., 0], drawn(boxes[0], 9, 8))
    assert masked[1].all()
    assert not masked[2].any()


@pytest.mark.parametrize("seed", range(8))
def test_a_crop_of_the_painted_image_is_the_painted_crop(seed):
    """Windows and boxes of whole pixels, some of them at the borders."""
    boxes = of_whole_pixels(seed, 3, 12, 10)
    (window,) = of_whole_pixels(100 + seed, 1, 12, 10)
    top, left, bottom, right = np.rint(window * [12, 10, 12, 10]).astype(int)
    painted = drawn(boxes, 12, 10)[top:bottom, left:right]
    remaining = cropped(boxes, window)
    assert np.array_equal(drawn(remaining, bottom - top, right - left), painted)
    for box in remaining:
        check_boxes(box, "a crop")


def test_resizing_leaves_a_box_where_it_is():
    box = of_pixels(2, 4, 8, 6, (8, 8))
    large = tf.image.resize(tf.cast(masks([[box]], 8, 8), tf.float32), (24, 24), "nearest")
    assert np.array_equal(large[0] > 0, masks([[box]], 24, 24)[0])


def test_a_box_at_the_borders_keeps_its_outermost_pixels():
    whole = of_pixels(0, 0, 64, 64, (64, 64))
    check_boxes([whole], "x")
    assert masks([[whole]], 64, 64).numpy().all()
    last = of_pixels(63, 63, 64, 64, (64, 64))
    assert np.argwhere(masks([[last]], 64, 64)[0, ..., 0].numpy()).tolist() == [[63, 63]]


def test_boxes_that_lie_outside_a_window_or_only_touch_it_are_left_out():
    window = [0.0, 0.0, 0.5, 0.5]
    assert cropped([[0.5, 0.0, 1.0, 1.0]], window).shape == (0, 4)
    assert cropped(np.zeros((0, 4)), window).shape == (0, 4)
    np.testing.assert_allclose(cropped([[0.25, 0.25, 1, 1]], window), [[0.5, 0.5, 1, 1]])


def test_overlaps_are_counted_once():
    assert covered([[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]]) == pytest.approx(0.25)
    assert covered([[0, 0, 0.6, 0.6], [0.4, 0.4, 1, 1]]) == pytest.approx(0.36 * 2 - 0.04)
    assert covered([]) == 0


@pytest.mark.parametrize(
    ("box", "what"),
    [
        ((0.5, 0, 0.5, 1), "is empty"),
        ((0, 0.6, 1, 0.4), "is empty"),
        ((-0.1, 0, 1, 1), "reaches out"),
        ((0, 0, 1, 1.01), "reaches out"),
        ((0, np.nan, 1, 1), "reaches out"),
    ],
)
def test_empty_boxes_and_boxes_outside_the_image_cost_one_line(box, what):
    with pytest.raises(DataError, match=rf"^a.jpg: box {what}.*received: \("):
        check_boxes([(0, 0, 1, 1), box], "a.jpg")
