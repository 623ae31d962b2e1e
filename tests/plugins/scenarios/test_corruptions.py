"""The fifteen corruptions as shifts: the contract, seeds, sizes, severities, names."""

import io
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.support import shared_folder
from helpers.thinned import thinned
from tfrobust import suites
from tfrobust.data.names import open_scenario
from tfrobust.data.reading import arrays
from tfrobust.data.shifted import Shifted
from tfrobust.errors import DataError, UsageError
from tfrobust.registry import create, entries, name_of
from tfrobust.testing import shift_checks
from tfrobust_scenarios.corruptions.corruption import SIZES, published_size
from tfrobust_scenarios.suites import Corruptions

NAMES = tuple(Corruptions.members)
each_name = pytest.mark.parametrize("name", NAMES)
RANDOM = {
    "gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "frost",
    "fog", "elastic_transform",
}  # fmt: skip
# Their published constants do not rise in every step, or do not move pixels farther.
UNEVEN = {"glass_blur", "motion_blur", "frost", "elastic_transform"}


@pytest.mark.parametrize("check", shift_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize("severity", [1, 5])
@each_name
def test_every_corruption_keeps_the_contract(check, name, severity):
    check(create("shifts", name, severity=severity))


def test_there_are_fifteen_and_all_are_registered():
    assert len(set(NAMES)) == 15
    assert set(NAMES) <= {entry.name for entry in entries("shifts")}
    built = suites.corruptions()
    assert [name_of(several[0]) for several in built.values()] == list(NAMES)
    assert all([s.severity for s in several] == [1, 2, 3, 4, 5] for several in built.values())


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (2, 3, 3), (8, 8, 1), (28, 28, 1), (12, 40, 4), (64, 64, 1), (224, 224, 3)]
)
@each_name
def test_images_of_any_size_and_channels_are_corrupted(name, shape):
    image = tf.random.stateless_uniform(shape, (1, 2))
    for severity in (1, 5):
        shifted = create("shifts", name, severity=severity)(image, seed=tf.constant([0, 1])).numpy()
        assert shifted.shape == shape
        assert np.isfinite(shifted).all()
        assert shifted.min() >= 0
        assert shifted.max() <= 1


@each_name
def test_every_severity_of_every_published_size_has_its_constants(name):
    strengths = type(create("shifts", name)).strengths
    assert tuple(strengths) == SIZES
    assert all(len(constants) == 5 for constants in strengths.values())


def test_other_sizes_get_the_constants_of_the_nearest():
    sides = {8: 32, 28: 32, 45: 32, 46: 64, 96: 64, 119: 64, 120: 224, 299: 224}
    assert {side: published_size((side, side + 9, 3)) for side in sides} == sides


@each_name
def test_another_seed_gives_another_image_where_anything_is_random(name):
    image = tf.random.stateless_uniform((32, 32, 3), (1, 2))
    shift = create("shifts", name, severity=4)
    one, two = (shift(image, seed=tf.constant([0, k])).numpy() for k in (1, 2))
    assert np.array_equal(one, two) == (name not in RANDOM)


@each_name
def test_batches_orders_and_repetitions_change_nothing(name):
    digits = create("scenarios", "digits")
    shifted = Shifted(digits, create("shifts", name, severity=3), seed=5)
    first, labels = arrays(shifted, "test", 12)
    again, _ = arrays(shifted, "test", 6)
    assert np.array_equal(first[:6], again)
    assert np.array_equal(labels, arrays(digits, "test", 12)[1])


@pytest.mark.parametrize(
    "counts", [(16, 8), pytest.param((32, 12), marks=pytest.mark.slow)], ids=["few", "more"]
)
@pytest.mark.parametrize("name", thinned(NAMES))
def test_distance_from_the_clean_image_grows_with_the_severity(name, counts, tfds_data):
    clean, _ = arrays(create("scenarios", "cifar10"), "test", counts[0])
    tiny = np.stack(list(tiny_images(counts[1])))
    shifts = suites.corruptions()[name]
    if name in UNEVEN:
        shifts = shifts[:1]

    def at_every_severity(number, image):
        seed = tf.stack([0, tf.cast(number, "int32")])
        return tf.stack([shift(image, seed=seed) for shift in shifts])

    for images in (clean, tiny):
        data = tf.data.Dataset.from_tensor_slices(images).enumerate().map(at_every_severity)
        change = np.stack(list(data.as_numpy_iterator())) - images[:, None]
        moved = np.sqrt(np.square(change).mean((2, 3, 4))).mean(0)
        assert moved[0] > 0.005
        assert (np.diff(moved) > 0).all(), moved


def tiny_images(count):
    """Yield Tiny ImageNet images of many classes, 64×64."""
    archive = shared_folder("data") / "tiny-imagenet-200-61.zip"
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if "/train/" in name and name.endswith(".JPEG")]
        for name in names[:: len(names) // count][:count]:
            picture = Image.open(io.BytesIO(file.read(name))).convert("RGB")
            yield np.asarray(picture, np.float32) / 255


def test_the_scenarios_name_contains_the_severity():
    scenario = open_scenario("digits+fog.4")
    assert scenario.shift.severity == 4
    assert scenario.shift_name == "fog.4"
    assert open_scenario("digits+fog", {"fog": {"severity": "2"}}).shift_name == "fog.2"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("digits+fog.0", r"fog: severity: .*greater than or equal to 1; received: '0'"),
        ("digits+fog.6", r"fog: severity: .*less than or equal to 5; received: '6'"),
        ("digits+fog.x", r"fog: severity: .*valid integer.*; received: 'x'"),
        ("digits+fgo.3", r"no plugin shifts/fgo; did you mean 'fog'"),
    ],
)
def test_a_severity_that_does_not_exist_is_refused(name, complaint):
    with pytest.raises(UsageError, match=complaint) as refusal:
        open_scenario(name)
    assert "\n" not in str(refusal.value)


def test_images_of_unknown_size_are_refused():
    fog = create("shifts", "fog")
    traced = tf.function(lambda image: fog(image, seed=tf.constant([0, 1])))
    with pytest.raises(DataError, match=r"expected images of one known size; received: \(None,"):
        traced.get_concrete_function(tf.TensorSpec((None, None, 3)))
