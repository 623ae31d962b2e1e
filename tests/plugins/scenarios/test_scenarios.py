"""Every bundled scenario keeps the contract, on real images where they are available."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import noise
from helpers.thinned import named, thinned
from tfrobust.data.names import open_scenario
from tfrobust.data.reading import arrays
from tfrobust.data.shifted import Shifted
from tfrobust.errors import DataError, UsageError
from tfrobust.registry import create
from tfrobust.scenario import Shift
from tfrobust.testing import scenario_checks
from tfrobust.testing.scenarios import brings_images_as_agreed, fits_its_description

checks = pytest.mark.parametrize("check", scenario_checks(), ids=lambda check: check.__name__)


@pytest.fixture
def class_folders(tmp_path):
    """Ten PNGs of different sizes for each of two classes."""
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(10):
            pixels = draw.integers(0, 256, size=(9 + number, 12, 3), dtype=np.uint8)
            (tmp_path / name / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    return tmp_path


@checks
@pytest.mark.parametrize(
    "name",
    ["digits", "digits_in_places", "circles", "ellipses", "ellipses_apart", "ellipses_overlap"],
)
def test_scenarios_without_data_keep_the_contract(check, name):
    check(create("scenarios", name))


def test_digits_stand_in_their_boxes_and_mostly_in_their_places():
    scene = create("scenarios", "digits_in_places", agreement=1.0)
    images, labels = arrays(scene, "test")
    boxes = np.concatenate([e["boxes"] for e in scene.load("test").as_numpy_iterator()])
    bare, of = arrays(create("scenarios", "digits_in_places", shows="digits"), "test")
    digits, digit_labels = arrays(create("scenarios", "digits"), "test")
    assert np.array_equal(of, digit_labels)
    assert np.array_equal(labels, digit_labels)
    top, left, bottom, right = (boxes * 24).round().astype(int).T
    for k, image in enumerate(bare):
        assert np.array_equal(image[top[k] : bottom[k], left[k] : right[k]], digits[k])
        assert image.sum() == pytest.approx(digits[k].sum(), rel=1e-5)
    assert (images >= bare - 1e-6).all()  # the place shows where the digit does not hide it
    places, place_labels = arrays(create("scenarios", "digits_in_places", shows="places"), "test")
    alike = (place_labels == digit_labels).mean()
    assert alike == pytest.approx(0.91, abs=0.03)  # 0.9, plus matches by chance
    spectra = np.abs(np.fft.fft2(places[..., 0]))[:, :12].reshape(len(places), -1)
    means = np.stack([spectra[place_labels == k].mean(0) for k in range(10)])
    nearest = np.argmin([[np.square(s - m).sum() for m in means] for s in spectra], axis=1)
    assert (nearest == place_labels).mean() > 0.95


def test_circles_have_one_centre_and_two_radii():
    images, labels = arrays(create("scenarios", "circles"), "test")
    away = np.hypot(*(images.reshape(-1, 2) - 0.5).T)
    assert abs(away[labels == 0].mean() - 0.32) < 0.005
    assert abs(away[labels == 1].mean() - 0.12) < 0.005


def test_ellipses_have_separate_and_overlapping_points():
    def offside(name):
        """Tell how many points lie on the side of the other ellipse, and how many inside it."""
        images, labels = arrays(create("scenarios", name), "train")
        points = images.reshape(-1, 2)
        other = np.where(labels == 0, 0.63, 0.37)
        inside = ((points[:, 0] - other) / 0.2) ** 2 + ((points[:, 1] - 0.5) / 0.32) ** 2 <= 1
        return ((points[:, 0] > 0.5) == (labels == 0)).mean(), inside.mean()

    assert offside("ellipses_overlap") == (1, 1)
    assert offside("ellipses_apart") == (0, 0)
    whole = offside("ellipses")
    assert 0 < whole[0] < 0.2
    assert whole[0] < whole[1] < 0.4


@pytest.mark.parametrize("name", ["ellipses", "ellipses_apart", "ellipses_overlap"])
def test_points_about_outlines_lie_inside_the_other_ellipse_only_on_its_side(name):
    """A network that learned those apart then gets the others wrong without any choice of them."""
    images, labels = arrays(create("scenarios", name, fill="outline"), "train")
    across, up = images.reshape(-1, 2).T
    centres = np.where(labels == 0, 0.37, 0.63), np.where(labels == 0, 0.63, 0.37)
    own, other = (np.hypot((across - centre) / 0.2, (up - 0.5) / 0.32) for centre in centres)
    assert abs(own.mean() - 1) < 0.02
    assert abs(own - 1).max() < 0.35
    seen = {"ellipses": (0.15, 0.3), "ellipses_apart": (0, 0), "ellipses_overlap": (1, 1)}[name]
    assert seen[0] <= (other <= 1).mean() <= seen[1]
    unseen = other < 0.65  # beyond the spread of the points about their outline
    assert ((across > 0.5) == (labels == 0))[unseen].all()


@pytest.mark.parametrize("check", thinned(map(named, scenario_checks()), one_in=2))
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_prepared_datasets_keep_the_contract(check, name, tfds_data):
    check(create("scenarios", name))


@checks
def test_arrays_keep_the_contract(check, npz):
    images, labels = noise(0, 12)
    check(create("scenarios", "arrays", path=npz(images=images, labels=labels)))


@pytest.mark.parametrize("check", thinned(map(named, scenario_checks()), one_in=2))
@pytest.mark.parametrize("grey", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_image_folders_keep_the_contract(check, class_folders, grey):
    check(create("scenarios", "images", path=class_folders, height=8, width=6, grey=grey))


def test_image_folders_in_grey_bring_images_as_agreed(class_folders):
    grey = create("scenarios", "images", path=class_folders, height=8, width=6, grey=True)
    brings_images_as_agreed(grey)
    fits_its_description(grey)


@pytest.mark.parametrize(
    ("name", "sizes"), [("mnist", (60000, 10000)), ("cifar10", (50000, 10000))]
)
def test_prepared_datasets_are_whole(name, sizes, tfds_data):
    scenario = create("scenarios", name)
    assert tuple(int(scenario.load(s).cardinality()) for s in ("train", "test")) == sizes


def test_digits_are_split_into_1437_and_360_with_no_image_in_both(digits):
    (train, _), (test, _) = digits["train"], digits["test"]
    assert (len(train), len(test)) == (1437, 360)
    assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}


def test_every_fifth_image_of_a_class_is_a_test_image(class_folders):
    scenario = create("scenarios", "images", path=class_folders, height=4, width=4)
    assert scenario.class_names == ("cat", "dog")
    assert [len(arrays(scenario, split)[0]) for split in scenario.splits] == [16, 4]


def test_folders_named_train_and_test_are_the_splits(class_folders, tmp_path):
    root = tmp_path / "split"
    for split in ("train", "test"):
        (root / split).mkdir(parents=True)
        for name in ("cat", "dog"):
            (root / split / name).symlink_to(class_folders / name)
    scenario = create("scenarios", "images", path=root, height=4, width=4)
    assert [len(arrays(scenario, split)[0]) for split in scenario.splits] == [20, 20]


def test_named_arrays_make_splits(npz):
    (images, labels), (fewer, few) = noise(0, 9), noise(1, 4)
    named = {"train_images": images, "train_labels": labels, "test_images": fewer}
    scenario = create("scenarios", "arrays", path=npz(**named, test_labels=few))
    assert scenario.splits == ("train", "test")
    assert np.array_equal(arrays(scenario, "test")[0], fewer)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"images": np.zeros((4, 4, 4, 1), np.uint8)}, r"expected float32 in \[0, 1\].*uint8"),
        ({"images": np.full((4, 4, 4, 1), 1.5, np.float32)}, r"in \[0, 1\]; received: 1.5 to 1.5"),
        ({"images": np.full((4, 4, 4, 1), -0.5, np.float32)}, r"received: -0.5"),
        (
            {"images": np.full((4, 4, 4, 1), np.nan, np.float32)},
            r"received: NaN or infinity in 4 of 4; leave these out",
        ),
        ({"images": np.zeros((4, 4, 4), np.float32)}, r"height, width, channels.*\(4, 4, 4\)"),
        ({"images": np.zeros((3, 4, 4, 1), np.float32)}, r"received: \(3, 4, 4, 1\) and \(4,\)"),
        ({"images": np.zeros((0, 4, 4, 1), np.float32)}, r"received: \(0, 4, 4, 1\)"),
        (
            {"labels": np.array([0, 1, -1, 1])},
            r"integers from 0 on; received: int64 from -1.*np.unique",
        ),
        ({"labels": np.array([0.0, 1.0, 0.0, 1.0])}, r"labels: expected integers.*float64"),
        ({"labels": np.array([0, 1, 2, 9])}, r"integers from 0 to 2; received: int64 from 0 to 9"),
        ({"labels": None}, r"expected arrays `images` and `labels`"),
        ({"labels": np.array([{}, {}, {}, {}])}, r"pickled objects.*never loaded"),
    ],
)
def test_arrays_that_break_the_contract_are_refused(npz, change, complaint):
    whole = {"images": np.zeros((4, 4, 4, 1), np.float32), "labels": np.array([0, 1, 2, 1])}
    path = npz(**{key: value for key, value in (whole | change).items() if value is not None})
    with pytest.raises(DataError, match=complaint):
        arrays(create("scenarios", "arrays", path=path, classes=3), "test")


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_truncated_npz_is_refused(npz, keep):
    path = npz(images=np.zeros((4, 4, 4, 1), np.float32), labels=np.arange(4))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"not a readable .npz"):
        arrays(create("scenarios", "arrays", path=path), "test")


def test_names_of_another_style_are_refused_and_the_advice_keeps_the_split(npz):
    images, labels = np.zeros((4, 6, 5, 1), np.float32), np.arange(4)
    path = npz(x_train=images, y_train=labels, x_test=images[:2], y_test=labels[:2])
    with pytest.raises(DataError, match=r"FILE, train_images=….*train_labels=….*test_images=….*"):
        arrays(create("scenarios", "arrays", path=path), "test")
    renamed = {"train_images": images, "train_labels": labels}
    path = npz(**renamed, test_images=images[:2], test_labels=labels[:2])
    scenario = create("scenarios", "arrays", path=path)
    assert [len(arrays(scenario, split)[0]) for split in ("train", "test")] == [4, 2]


def test_images_one_pixel_high_are_refused_and_the_advice_works(npz):
    images, labels = np.random.default_rng(0).uniform(size=(4, 1, 128, 9)), np.arange(4)
    images = images.astype(np.float32)
    with pytest.raises(DataError, match=r"on their side: np.transpose\(images, \(0, 2, 1, 3\)\)"):
        arrays(create("scenarios", "arrays", path=npz(images=images, labels=labels)), "test")
    path = npz(images=np.transpose(images, (0, 2, 1, 3)), labels=labels)
    assert create("scenarios", "arrays", path=path).image_shape == (128, 1, 9)


def test_arrays_without_a_file_say_which_option_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"arrays.path=FILE"):
        arrays(create("scenarios", "arrays"), "test")
    with pytest.raises(DataError, match=r"No such file"):
        arrays(create("scenarios", "arrays", path=tmp_path / "none.npz"), "test")


def test_a_folder_without_class_folders_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no class folders.*ROOT/CLASS"):
        arrays(create("scenarios", "images", path=tmp_path), "test")
    with pytest.raises(DataError, match=r"no such folder"):
        arrays(create("scenarios", "images", path=tmp_path / "none"), "test")
    with pytest.raises(DataError, match=r"images.path=FOLDER"):
        arrays(create("scenarios", "images"), "test")


def test_a_damaged_picture_is_refused_in_one_line(class_folders):
    (class_folders / "cat" / "0.png").write_bytes(b"not a picture")
    scenario = create("scenarios", "images", path=class_folders, height=4, width=4)
    with pytest.raises(DataError):
        arrays(scenario, "train")


@pytest.mark.parametrize("proxy", [True, False], ids=["behind a proxy", "without network"])
def test_a_missing_dataset_that_cannot_be_downloaded_costs_one_line(proxy, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def refuse(*_, **__):
        raise OSError("no route to host\nand much more")

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "x"} if proxy else {})
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    if proxy:
        monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    complaint = r"svhn_cropped is not in .*OSError: no route to host.*TFDS_DATA_DIR"
    with pytest.raises(DataError, match=complaint) as refusal:
        arrays(create("scenarios", "svhn"), "test")
    assert "\n" not in str(refusal.value)


def test_a_limit_below_one_and_an_unknown_split_are_refused():
    scenario = create("scenarios", "digits")
    with pytest.raises(UsageError, match=r"limit: expected 1 or more; received: 0"):
        arrays(scenario, "test", 0)
    with pytest.raises(UsageError, match=r"expected one of train, test; received: 'tset'"):
        arrays(scenario, "tset")


class Darken(Shift):
    """Multiplies every pixel by one random factor an image."""

    def __call__(self, image, *, seed):
        return image * tf.random.stateless_uniform((), seed)


def test_a_shift_keeps_labels_and_order_and_draws_for_each_image():
    base = create("scenarios", "digits")
    images, labels = arrays(base, "test", 20)
    shifted, same_labels = arrays(Shifted(base, Darken()), "test", 20)
    factors = shifted.sum((1, 2, 3)) / images.sum((1, 2, 3))
    assert np.array_equal(labels, same_labels)
    assert len(set(factors.round(6).tolist())) == 20
    assert np.allclose(shifted, images * factors[:, None, None, None], atol=1e-5)
    assert np.array_equal(shifted, arrays(Shifted(base, Darken()), "test", 20)[0])


def test_scenario_names_are_looked_up_with_their_shift():
    assert open_scenario("digits").image_shape == (8, 8, 1)
    with pytest.raises(UsageError, match=r"no plugin scenarios/digit; did you mean 'digits'"):
        open_scenario("digit")
    with pytest.raises(UsageError, match=r"no plugin shifts/fogg; did you mean 'fog'"):
        open_scenario("digits+fogg.3")


def test_a_severity_given_twice_costs_one_line():
    assert open_scenario("digits+fog.2", {"fog": {"severity": "2"}}).shift.severity == 2
    with pytest.raises(UsageError, match=r"fog: severity: given twice, as 'fog.1' and as"):
        open_scenario("digits+fog.1", {"fog": {"severity": "5"}})
