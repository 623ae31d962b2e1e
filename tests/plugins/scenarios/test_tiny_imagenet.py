"""Tiny ImageNet: prepared from an archive in the official layout, with its boxes."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers.files.tiny_imagenet_files import content, edited, jpeg, zipped
from helpers.support import shared_folder
from tfrobust.data.names import open_scenario
from tfrobust.data.reading import arrays
from tfrobust.data.telling import told_to
from tfrobust.errors import DataError, UsageError
from tfrobust.registry import create
from tfrobust.report.grid import image_grid
from tfrobust.testing import scenario_checks
from tfrobust_scenarios import tiny_imagenet_builder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder of datasets."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path


@pytest.fixture
def prepared(home):
    """The small archive, prepared."""
    return create("scenarios", "tiny_imagenet").prepare(zipped(home / "small.zip", content()))


def test_preparing_tells_how_far_it_is(home):
    heard = []
    with told_to(lambda *told: heard.append(told)):
        create("scenarios", "tiny_imagenet").prepare(zipped(home / "small.zip", content()))
    for images in (9, 6):  # of the splits, each by itself
        assert [done for _, done, total in heard if total == images] == list(range(images + 1))


def test_tiny_imagenet_is_prepared_completely_and_keeps_the_contract(prepared):
    assert prepared.images == {"train": 9, "validation": 6}
    assert prepared.skipped == ()
    scenario = create("scenarios", "tiny_imagenet")
    for check in scenario_checks():
        check(scenario)
    assert scenario.class_names == ("goldfish", "crane (n02)", "crane (n03)")


def test_images_labels_and_boxes_are_those_of_the_archive(prepared):
    examples = list(create("scenarios", "tiny_imagenet").load("train").as_numpy_iterator())
    assert len(examples) == 9
    for example in examples:
        red, green, _ = np.rint(255 * example["image"].mean(axis=(0, 1)))
        (box,) = example["boxes"]
        if example["label"] < 2:
            assert abs(red - 80 * example["label"]) <= 4
            k = round(green / 60)
            assert box.tolist() == [8 * example["label"] / 64, 0, (8 * k + 32) / 64, 1]
    last = next(iter(create("scenarios", "tiny_imagenet").load("test").as_numpy_iterator()))
    assert last["boxes"].tolist() == [[63 / 64, 63 / 64, 1, 1]]


@pytest.mark.parametrize("spelled", ["n03, goldfish", ("n03", "Carassius auratus"), "file"])
def test_some_classes_are_taken_by_id_or_name_in_their_order(prepared, home, spelled):
    if spelled == "file":
        (home / "classes.txt").write_text("n03\ngoldfish\n")
        spelled = str(home / "classes.txt")
    scenario = open_scenario("tiny_imagenet", {"tiny_imagenet": {"classes": spelled}})
    assert scenario.class_names == ("crane", "goldfish")
    images, labels = arrays(scenario, "test")
    assert sorted(labels) == [0, 0, 1, 1]
    blue = np.rint(255 * images.mean(axis=(1, 2)))[:, 2]
    np.testing.assert_allclose(blue, np.where(labels == 0, 160, 0), atol=4)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("goldfisch,n02", "no class 'goldfisch'; did you mean 'goldfish'"),
        ("crane,goldfish", "'crane' is the name of n02, n03; take an id"),
        ("goldfish", "expected two or more, each once"),
        ("n02,n02", "expected two or more, each once"),
        (",".join(f"n{k:08d}" for k in range(40)), "no class 'n00000000'"),
        ("n" * 300, "neither classes nor a file of them .*name too long"),
    ],
)
def test_missing_classes_cost_one_line(prepared, classes, message):
    with pytest.raises(UsageError, match=message):
        create("scenarios", "tiny_imagenet", classes=classes).load("test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n01_0__JPEG": b"no picture"}, r"n01_0.JPEG: broken"),
        ({"n01_0__JPEG": None}, r"n01_0.JPEG: is not in the archive"),
        ({"n01_0__JPEG": jpeg(0, size=32, mode="L")}, r"expected 64×64 pixels"),
        ({"n01_boxes__txt": "n01_0.JPEG\t0\t0\t64\t63\n"}, r"n01_0.JPEG: box reaches out"),
        ({"n01_boxes__txt": "n01_0.JPEG\t70\t0\t63\t63\n"}, r"n01_0.JPEG: box reaches out"),
        ({"n01_boxes__txt": "n01_0.JPEG\t9\t9\t3\t20\n"}, r"n01_0.JPEG: box is empty"),
        ({"n01_boxes__txt": "n01_0.JPEG\n"}, r"n01_0.JPEG: no box"),
    ],
)
def test_a_broken_image_is_left_out_and_named_or_refused(home, changes, message):
    archive = zipped(home / "broken.zip", edited(**changes))
    scenario = create("scenarios", "tiny_imagenet")
    with pytest.raises(DataError, match=message) as refusal:
        scenario.prepare(archive, strict=True)
    assert "\n" not in str(refusal.value)
    assert not list((home / "tfds").glob("*"))
    prepared = scenario.prepare(archive)
    assert len(prepared.skipped) == 1
    assert message.split(": ")[-1].split()[0] in prepared.skipped[0]
    assert prepared.images["train"] + len(prepared.skipped) in (7, 9)
    assert scenario.prepare(archive).skipped == prepared.skipped
    for given in (archive, None):
        with pytest.raises(DataError, match=message + r".*; was left out of \S+/1.0.0"):
            scenario.prepare(given, strict=True)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"../evil.txt": "x", **content()}, r"refused: '../evil.txt' would leave its folder"),
        ({"/evil.txt": "x", **content()}, r"refused: '/evil.txt' would leave"),
        ({"readme.txt": "x"}, r"not Tiny ImageNet's layout: tiny-imagenet-200/wnids.txt is mis"),
        (edited(val_annotations__txt=None), r"val/val_annotations.txt is missing"),
    ],
)
def test_an_archive_with_another_layout_is_refused_and_leaves_nothing(home, files, message):
    with pytest.raises(DataError, match=message):
        create("scenarios", "tiny_imagenet").prepare(zipped(home / "a.zip", files))
    assert not list((home / "tfds").glob("*"))
    assert not (home / "evil.txt").exists()


def test_checksums_are_checked_and_distinguish_another_archive(prepared, home):
    scenario = create("scenarios", "tiny_imagenet")
    assert scenario.prepare() == prepared
    assert scenario.prepare(home / "small.zip") == prepared
    with pytest.raises(DataError, match=r"its SHA-256 is \w{64}; expected 00; get"):
        scenario.prepare(home / "small.zip", sha256="00")
    with pytest.raises(DataError, match=r"from an archive whose SHA-256 is \w{64}; expected 00; r"):
        scenario.prepare(sha256="00")
    right = tiny_imagenet_builder.TinyImagenetArchive(home / "small.zip").sha256
    assert scenario.prepare(sha256=right.upper(), strict=True) == prepared
    other = zipped(home / "other.zip", edited(n01_0__JPEG=jpeg((1, 2, 3))))
    with pytest.raises(DataError, match="was prepared from another archive; remove it first"):
        scenario.prepare(other)
    (home / "text.zip").write_text("no archive")
    with pytest.raises(DataError, match="not a readable archive"):
        scenario.prepare(home / "text.zip")


def test_a_download_is_checked_and_one_that_fails_costs_one_line(home, monkeypatch):
    archive = zipped(home / "served.zip", content())
    monkeypatch.setattr(tiny_imagenet_builder, "URL", archive.as_uri())
    scenario = create("scenarios", "tiny_imagenet")
    with pytest.raises(DataError, match=r"its SHA-256 is \w+; expected 6198c8ae"):
        scenario.load("test")
    right = tiny_imagenet_builder.TinyImagenetArchive(archive).sha256
    monkeypatch.setattr(tiny_imagenet_builder, "SHA256", right)
    assert scenario.prepare().images == {"train": 9, "validation": 6}
    monkeypatch.setenv("TFDS_DATA_DIR", str(home / "elsewhere"))
    monkeypatch.setattr(tiny_imagenet_builder, "URL", (home / "gone.zip").as_uri())
    with pytest.raises(DataError, match=r"cannot be downloaded .*give --archive FILE"):
        scenario.load("test")
    assert not list((home / "elsewhere").glob("*"))


def test_another_dataset_with_its_name_is_not_used(prepared):
    file = prepared.folder / "metadata.json"
    file.write_text(json.dumps({"other": 1}))
    with pytest.raises(DataError, match="was not prepared by tfrobust"):
        create("scenarios", "tiny_imagenet").prepare()


def test_a_grid_shows_images_labels_and_boxes(prepared, home):
    scenario = create("scenarios", "tiny_imagenet")
    assert image_grid(scenario, "train", home / "grid.png", count=4) == 4
    with Image.open(home / "grid.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    orange = (abs(pixels.astype(int) - [0xD5, 0x5E, 0x00]).max(axis=-1) < 40).sum()
    assert orange > 200  # the boxes
    assert image_grid(create("scenarios", "digits"), "test", home / "digits.png", count=3) == 3


@pytest.mark.slow
def test_the_real_images_are_prepared_from_their_archive(home):
    archive = shared_folder("data") / "tiny-imagenet-200-61.zip"
    prepared = create("scenarios", "tiny_imagenet").prepare(archive, strict=True)
    assert prepared.images == {"train": 30500, "validation": 3050}
    scenes = archive.with_suffix(".scenes.txt")
    scenario = create("scenarios", "tiny_imagenet", classes=str(scenes))
    assert scenario.num_classes == 21
    images, labels = arrays(scenario, "test")
    assert images.shape == (1050, 64, 64, 3)
    assert (np.bincount(labels) == 50).all()


def test_a_share_of_all_images_may_be_drawn_for_the_test(prepared):
    def numbers(split, **options):
        scenario = create("scenarios", "tiny_imagenet", test_share=0.4, **options)
        images, labels = arrays(scenario, split)
        return {image.tobytes() for image in images}, np.bincount(labels, minlength=3).tolist()

    train, test = numbers("train"), numbers("test")
    assert train[1] == [3, 3, 3]  # of three training and two validation images a class
    assert test[1] == [2, 2, 2]
    official = [arrays(create("scenarios", "tiny_imagenet"), s)[0] for s in ("train", "test")]
    assert train[0] | test[0] == {image.tobytes() for part in official for image in part}
    assert test == numbers("test")
    assert any(numbers("test", seed=seed)[0] != test[0] for seed in range(1, 4))


def test_some_classes_may_be_tested_alone_and_keep_their_labels(prepared):
    scenario = create("scenarios", "tiny_imagenet", test_classes="n02,n03")
    images, labels = arrays(scenario, "test")
    whole = arrays(create("scenarios", "tiny_imagenet"), "test")
    assert np.array_equal(labels, whole[1][whole[1] > 0])
    assert np.array_equal(images, whole[0][whole[1] > 0])
    assert scenario.num_classes == 3
    assert len(arrays(scenario, "train")[1]) == 9
    wrong = create("scenarios", "tiny_imagenet", classes="n01,n02", test_classes="n01,n03")
    with pytest.raises(UsageError, match="test_classes: 'n03' is none of `classes`"):
        wrong.load("test")
    _, labels = arrays(create("scenarios", "tiny_imagenet", test_classes="n03"), "test")
    assert labels.tolist() == [2, 2]
    twice = create("scenarios", "tiny_imagenet", test_classes="n03,n03")
    with pytest.raises(UsageError, match="test_classes: expected one or more, each once; received"):
        twice.load("test")


def test_blank_lines_are_ignored_and_leftovers_of_a_killed_preparation_are_removed(home):
    files = content()
    for name in ("val/val_annotations.txt", "train/n01/n01_boxes.txt", "words.txt", "wnids.txt"):
        files[f"tiny-imagenet-200/{name}"] += "\n\n \n"
    for left in ("incomplete.ABC_1.0.0", ".download-x"):
        (home / "tfds/tiny_imagenet" / left).mkdir(parents=True)
    prepared = create("scenarios", "tiny_imagenet").prepare(zipped(home / "a.zip", files))
    assert (prepared.images, prepared.skipped) == ({"train": 9, "validation": 6}, ())
    assert [path.name for path in (home / "tfds").rglob("*") if path.is_dir()] == [
        "tiny_imagenet",
        "1.0.0",
    ]


def test_a_drawn_share_is_drawn_again_for_other_data(home):
    scenario = create("scenarios", "tiny_imagenet", test_share=0.4)
    folder = scenario.prepare(zipped(home / "a.zip", content())).folder
    assert len(arrays(scenario, "test")[1]) == 6
    shutil.rmtree(folder)
    scenario.prepare(zipped(home / "b.zip", edited(n01_0__JPEG=None, n01_1__JPEG=None)))
    assert np.bincount(arrays(scenario, "test")[1]).tolist() == [1, 2, 2]
