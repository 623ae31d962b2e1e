"""ImageNet as TensorFlow Datasets' own code prepares it, from small archives in its layout."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from helpers.files.imagenet_files import WNIDS, pixels, write_archives
from helpers.thinned import named, thinned
from tfrobust.data.reading import arrays
from tfrobust.errors import DataError, UsageError
from tfrobust.registry import create
from tfrobust.testing import scenario_checks


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Both splits, prepared in four files each."""
    four = tfds.download.DownloadConfig(try_download_gcs=False, num_shards=4)
    home = tmp_path_factory.mktemp("imagenet")
    write_archives(home / "downloads" / "manual")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(home))
        patch.setattr("tfrobust_scenarios.tfds_preparing._download_config", lambda **_: four)
        prepared = create("scenarios", "imagenet").prepare()
    assert prepared.images == {"train": 15, "validation": 12}
    assert prepared.folder == home / "imagenet2012" / "5.1.0"
    assert len(list(prepared.folder.glob("*-train.tfrecord-*-of-00004"))) == 4
    return home


@pytest.fixture
def home(stored, monkeypatch):
    """The folder they lie in."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(stored))
    return stored


@pytest.mark.parametrize("check", thinned(map(named, scenario_checks()), one_in=2))
def test_imagenet_keeps_the_contract(check, home):
    check(create("scenarios", "imagenet", size=32))


def test_labels_are_those_of_the_official_archives(home):
    scenario = create("scenarios", "imagenet", size=8)
    assert scenario.num_classes == 1000
    assert scenario.class_names[:3] == WNIDS
    assert sorted(arrays(scenario, "train")[1].tolist()) == [0] * 5 + [1] * 5 + [2] * 5
    official = tfds.core.tfds_path("datasets/imagenet2012/validation_labels.txt").read_text()
    expected = [scenario.class_names.index(wnid) for wnid in official.split()[:12]]
    assert sorted(arrays(scenario, "test")[1].tolist()) == sorted(expected)


def test_an_image_is_the_central_square_of_the_scaled_picture_as_torchvision_evaluates(home):
    scenario = create("scenarios", "imagenet")
    images, labels = arrays(scenario, "train")
    assert images.shape == (15, 224, 224, 3)
    wide = Image.fromarray(pixels(4, 80, 80)), Image.fromarray(pixels(0, 80, 64))
    for picture in wide:
        scale = 256 / min(picture.size)
        size = tuple(int(side * scale) for side in picture.size)
        scaled = picture.resize(size, Image.Resampling.BILINEAR)
        left, top = ((side - 224) // 2 for side in size)
        expected = np.asarray(scaled.crop((left, top, left + 224, top + 224)), np.float32) / 255
        nearest = np.abs(images[labels == 0] - expected).mean(axis=(1, 2, 3)).min()
        assert nearest < 0.01  # JPEG was lossy


def test_validation_images_alone_can_be_prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    write_archives(tmp_path / "downloads" / "manual", training=False)
    scenario = create("scenarios", "imagenet", size=8)
    assert scenario.prepare().images == {"validation": 12}
    assert scenario.splits == ("test",)
    assert scenario.count("test") == 12


def test_what_is_not_prepared_says_which_files_go_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    scenario = create("scenarios", "imagenet")
    assert scenario.splits == ("train", "test")
    assert scenario.count("test") is None
    what = (
        r"imagenet2012 is not prepared in .*log in at https://image-net.org/download-images, .*"
        r"ILSVRC2012_img_val.tar .*ILSVRC2012_img_train.tar .* into "
        rf"{tmp_path}/downloads/manual, and run tfrobust data prepare imagenet"
    )
    for attempt in (lambda: scenario.load("test"), scenario.prepare):
        with pytest.raises(DataError, match=what) as refusal:
            attempt()
        assert "\n" not in str(refusal.value)


def test_an_archive_is_not_given_on_the_command_line(tmp_path):
    with pytest.raises(UsageError, match=r"an archive for each split; leave out --archive"):
        create("scenarios", "imagenet").prepare(tmp_path / "x.tar")


def test_a_damaged_archive_costs_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    (manual / "ILSVRC2012_img_val.tar").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"imagenet2012 cannot be prepared in .*again") as refusal:
        create("scenarios", "imagenet").prepare()
    assert "\n" not in str(refusal.value)
