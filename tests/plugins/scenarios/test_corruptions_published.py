"""Every corruption equals a plain reference of the published one under the same draws."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from helpers import corruption_reference as reference
from helpers.thinned import product
from tfrobust.random import fold
from tfrobust.registry import create
from tfrobust_scenarios.corruptions.blur import GlassBlur, moved, shuffled
from tfrobust_scenarios.corruptions.digital import affine, drawn_aside
from tfrobust_scenarios.corruptions.ice import frosted_pane
from tfrobust_scenarios.corruptions.plasma import plasma, plasma_draws
from tfrobust_scenarios.corruptions.weather import falling, whitened

SEED = tf.constant([3, 4])
SIZES = 32, 64, 224
SEVERITIES = 1, 2, 3, 4, 5
at_each = pytest.mark.parametrize(("size", "severity"), product(SIZES, SEVERITIES))
each_size = pytest.mark.parametrize("size", SIZES)


def picture(size, channels=3):
    """Smooth shapes, an edge and some grain, in 8 bits like any photograph."""
    draw = np.random.default_rng(size)
    smooth = ndimage.gaussian_filter(draw.uniform(size=(size, size, channels)), (3, 3, 0)) - 0.5
    smooth = 0.5 + smooth / np.abs(smooth).max() / 2.5
    smooth[size // 3 : size // 2, size // 4 :] = 0.9
    grain = draw.normal(size=smooth.shape, scale=0.03)
    return np.float32(np.round(np.clip(smooth + grain, 0, 1) * 255) / 255)


def corrupted(name, image, severity):
    return create("shifts", name, severity=severity)(image, seed=SEED).numpy()


def constants(name, size, severity):
    shift = create("shifts", name, severity=severity)
    return type(shift).strengths[size][severity - 1]


@at_each
def test_gaussian_noise_adds_the_draws(size, severity):
    image = picture(size)
    draws = tf.random.stateless_normal(image.shape, SEED).numpy()
    expected = np.clip(image + constants("gaussian_noise", size, severity) * draws, 0, 1)
    assert np.allclose(corrupted("gaussian_noise", image, severity), expected, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.5])
@each_size
def test_shot_noise_has_a_poisson_variables_mean_and_variance(size, value):
    image = np.full((128, 128, 3), value, np.float32)
    shift = create("shifts", "shot_noise", severity=2)
    quanta = constants("shot_noise", size, 2)
    noisy = shift.corrupted(tf.constant(image), quanta, SEED).numpy()
    error = 5 / np.sqrt(image.size)
    assert noisy.mean() == pytest.approx(value, abs=error * np.sqrt(value / quanta) + 1e-7)
    assert noisy.var() == pytest.approx(value / quanta, rel=5 * error + 1e-9)
    assert np.allclose(noisy * quanta, np.round(noisy * quanta), atol=1e-3)


@at_each
def test_impulse_noise_loses_its_share_of_values_half_to_white(size, severity):
    image = np.full((size, size, 3), 0.5, np.float32)
    noisy = corrupted("impulse_noise", image, severity)
    share, deviation = constants("impulse_noise", size, severity), 4 / np.sqrt(image.size)
    assert (noisy == 1).mean() == pytest.approx(share / 2, abs=deviation * np.sqrt(share / 2))
    assert (noisy == 0).mean() == pytest.approx(share / 2, abs=deviation * np.sqrt(share / 2))
    assert (noisy == 0.5).sum() == image.size - (noisy == 1).sum() - (noisy == 0).sum()
    channels = (noisy != 0.5).sum(-1)
    assert set(channels.ravel()) & {1, 2}, "channels are lost together"


@at_each
def test_defocus_blur_is_a_convolution_with_the_disk(size, severity):
    image = picture(size)
    expected = reference.defocus(image, *constants("defocus_blur", size, severity))
    assert np.allclose(corrupted("defocus_blur", image, severity), expected, atol=1e-5)


@pytest.mark.parametrize("delta", [1, 2, 4])
def test_glass_blur_shuffles_one_pixel_after_the_other(delta):
    image = np.arange(40 * 30 * 1, dtype=np.float32).reshape(40, 30, 1)
    inner = 2, 40 - 2 * delta, 30 - 2 * delta
    for seed in range(5):
        offsets = np.random.default_rng(seed).integers(-delta, delta, inner, np.int32)
        expected = reference.shuffle(image, offsets, delta)
        assert np.array_equal(shuffled(tf.constant(image), tf.constant(offsets), delta), expected)


def test_a_shuffled_value_can_travel_far():
    image = np.arange(32 * 32, dtype=np.float32).reshape(32, 32, 1)
    offsets = np.zeros((2, 30, 30), np.int32)
    offsets[1] = -1
    result = shuffled(tf.constant(image), tf.constant(offsets), 1)
    assert np.array_equal(result, reference.shuffle(image, offsets, 1))


def test_exchanging_two_colour_pixels_by_assignment_copies_one():
    """The published images of glass blur were made in this way, and so are ours."""
    pixels = np.arange(6).reshape(2, 3)
    pixels[0], pixels[1] = pixels[1], pixels[0]
    assert np.array_equal(pixels, [[3, 4, 5], [3, 4, 5]])


@each_size
def test_glass_blur_smooths_shuffles_and_smooths(size):
    image, severity = picture(size), 5
    sigma, delta, rounds = constants("glass_blur", size, severity)
    inner = rounds, 2, size - 2 * delta, size - 2 * delta
    offsets = tf.random.stateless_uniform(inner, SEED, -delta, delta, tf.int32).numpy()
    expected = reference.gauss(image, sigma, "nearest", 4.0)
    for round_offsets in offsets:
        expected = reference.shuffle(expected, round_offsets, delta)
    expected = reference.gauss(expected, sigma, "nearest", 4.0)
    blurred = GlassBlur(severity=severity)(image, seed=SEED)
    assert np.allclose(blurred, expected, atol=1e-5)


@pytest.mark.parametrize("angle", [-135.0, -90.0, -45.0, -30.5, 0.0, 17.0, 45.0])
@pytest.mark.parametrize(("radius", "sigma"), [(6, 1), (9, 2.5), (12, 3)])
def test_motion_blur_equals_that_of_imagemagick(angle, radius, sigma):
    image = picture(32)[:20, :24]
    blurred = moved(tf.constant(image), tf.constant(angle + 1e-3), radius, sigma)
    expected = reference.motion(image, angle + 1e-3, radius, sigma)
    assert np.allclose(blurred, expected, atol=1e-5)


@at_each
def test_zoom_blur_is_the_mean_of_enlarged_images(size, severity):
    image = picture(size)
    factors = np.arange(1, *constants("zoom_blur", size, severity))
    expected = reference.zoom_blur(image, factors)
    assert np.allclose(corrupted("zoom_blur", image, severity), expected, atol=1e-5)


@at_each
def test_snow_falls_as_published(size, severity):
    mean, deviation, zoom, threshold, radius, sigma, clear = constants("snow", size, severity)
    noise = np.random.default_rng(severity).normal(mean, deviation, (size, size, 1))
    layer = reference.zoom(noise, zoom) if zoom > 1 else noise
    layer = np.clip(np.where(layer < threshold, 0, layer), 0, 1)
    whole = falling(tf.constant(np.float32(noise)), -71.0, (zoom, threshold, radius, sigma)).numpy()
    plain = reference.motion(layer, -71.0, radius, sigma)
    # A pixel whose noise equals the threshold to the last bit may be on either side.
    assert (np.abs(whole - plain) < 1e-4).mean() > 0.999
    image = picture(size)
    grey = (image @ [0.299, 0.587, 0.114])[..., None]
    expected = clear * image + (1 - clear) * np.maximum(image, grey * 1.5 + 0.5)
    assert np.allclose(whitened(tf.constant(image), clear), expected, atol=1e-5)


def test_snow_is_whitened_image_flakes_and_flakes_turned():
    image = picture(32)
    mean, deviation, *flaky, clear = constants("snow", 32, 4)
    noise = mean + deviation * tf.random.stateless_normal((32, 32, 1), SEED)
    angle = tf.random.stateless_uniform((), fold(SEED, 1), -135.0, -45.0)
    flakes = falling(noise, angle, tuple(flaky)).numpy()
    expected = whitened(tf.constant(image), clear).numpy() + flakes + np.rot90(flakes, 2)
    assert np.allclose(corrupted("snow", image, 4), np.clip(expected, 0, 1), atol=1e-6)


@pytest.mark.parametrize("decay", [3, 2.5, 1.75])
@pytest.mark.parametrize("size", [2, 32, 64])
def test_plasma_is_the_diamond_square_algorithm(size, decay):
    draws = plasma_draws(SEED, (size, size))
    expected = reference.diamond_square([draw.numpy() for draw in draws], decay)
    drawn = plasma(draws, decay).numpy()
    assert drawn.shape == expected.shape == (size, size)
    assert np.allclose(drawn, expected, atol=1e-5)


@at_each
def test_fog_dims_and_lifts_as_published(size, severity):
    image, (amount, decay) = picture(size), constants("fog", size, severity)
    heights = plasma(plasma_draws(SEED, image.shape), decay).numpy()[:size, :size, None]
    expected = (image + amount * heights) * image.max() / (image.max() + amount)
    assert np.allclose(corrupted("fog", image, severity), np.clip(expected, 0, 1), atol=1e-5)


@at_each
def test_frost_blends_image_and_pane_as_published(size, severity):
    image, (kept, iced) = picture(size), constants("frost", size, severity)
    pane = frosted_pane(image.shape, size, SEED).numpy()
    expected = np.clip(kept * image + iced * pane, 0, 1)
    assert np.allclose(corrupted("frost", image, severity), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "count"),
    [(32, 60), (64, 60), (224, 20), pytest.param(224, 60, marks=pytest.mark.slow)],
)
def test_panes_have_the_photographs_brightness_contrast_and_tint(size, count):
    """The figures are measured on crops of the five photographs, cut as the authors did."""
    drawn = tf.function(lambda seed: frosted_pane((size, size, 3), size, seed))
    panes = [drawn(tf.constant([0, k])).numpy() for k in range(count)]
    grey = np.array([pane.mean(-1) for pane in panes])
    assert grey.mean() == pytest.approx(0.634, abs=0.06)
    contrast = {32: 0.058, 64: 0.069, 224: 0.092}[size]
    assert grey.std((1, 2)).mean() == pytest.approx(contrast, rel=0.2)
    red, _, blue = np.mean(panes, axis=(0, 1, 2))
    assert 0.05 < blue - red < 0.25
    centred = grey - grey.mean((1, 2), keepdims=True)
    correlation = (centred[:, :, 1:] * centred[:, :, :-1]).mean() / np.square(centred).mean()
    assert 0.5 < correlation < 0.95, "neighbouring pixels of ice are neither alike nor strangers"


@at_each
def test_brightness_raises_the_value_in_hsv(size, severity):
    image = picture(size)[:24, :24]
    image[0, 0] = 0  # black has no hue
    strength = constants("brightness", size, severity)
    shift = create("shifts", "brightness", severity=severity)
    brightened = shift.corrupted(tf.constant(image), strength, SEED)
    assert np.allclose(brightened, reference.brighter(image, strength), atol=1e-5)


@at_each
def test_contrast_shrinks_towards_each_channels_mean(size, severity):
    image, kept = picture(size), constants("contrast", size, severity)
    mean = image.mean((0, 1))
    expected = (image - mean) * kept + mean
    assert np.allclose(corrupted("contrast", image, severity), expected, atol=1e-5)


@at_each
def test_elastic_transform_maps_and_displaces(size, severity):
    image = picture(size)
    factor, sigma, reach = np.array(constants("elastic_transform", size, severity)) * size
    draw = np.random.default_rng(severity)
    moves = draw.uniform(-reach, reach, (3, 2)).astype(np.float32)
    noise = draw.uniform(-1, 1, (size, size, 2)).astype(np.float32)
    mapped = affine(tf.constant(image), tf.constant(moves)).numpy()
    expected = reference.affine(image, moves)
    # Far beyond the border float32 positions are off by 1e-4 pixels.
    assert np.abs(mapped - expected).max() < 2e-3
    distorted = drawn_aside(tf.constant(image), tf.constant(noise), factor, sigma).numpy()
    assert np.abs(distorted - reference.elastic(image, noise, factor, sigma)).max() < 1e-3


@at_each
def test_pixelation_equals_the_box_filter_of_pillow(size, severity):
    image, share = picture(size), constants("pixelate", size, severity)
    pixelated = corrupted("pixelate", image, severity)
    # Pillow rounds to 8 bits after each of its four passes.
    assert np.abs(pixelated - reference.pixelated(image, share)).max() <= 2 / 255


@pytest.mark.parametrize("channels", [1, 3])
@at_each
def test_jpeg_equals_that_of_libjpeg(size, severity, channels):
    image, quality = picture(size, channels), constants("jpeg_compression", size, severity)
    compressed = corrupted("jpeg_compression", image, severity)
    expected = reference.through_jpeg(image, quality)
    assert np.array_equal(np.round(compressed * 255), np.round(expected * 255))
