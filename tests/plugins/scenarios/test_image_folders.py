"""Folders of pictures from editors, cameras and other tools are read correctly or refused."""

import os

import numpy as np
import pytest
from PIL import Image

from helpers.files.fuzz_files import FOLDERS, folders
from tfrobust.data.reading import arrays
from tfrobust.errors import DataError
from tfrobust.registry import create

RED = np.array([200, 20, 21], np.uint8)
GREY = (299 * 200 + 587 * 20 + 114 * 21 + 500) // 1000  # of it, as ITU-R 601 weighs the colours
SIDE = 6


def plain(colour=RED) -> Image.Image:
    """Return a picture of one colour: resizing changes nothing, and few codecs do."""
    return Image.fromarray(np.broadcast_to(colour, (SIDE, SIDE, 3)).copy())


def saved(root, image, name, **options):
    """Write a picture as the only one of class `a`, and add a second class."""
    for class_name in ("a", "b"):
        (root / class_name).mkdir(parents=True)
    image.save(root / "a" / name, **options)
    plain().save(root / "b" / "0.png")


def opened(path, *, grey=False, side=SIDE, **options):
    return create("scenarios", "images", path=path, height=side, width=side, grey=grey, **options)


def first(path, **options):
    """Return the training image of class `a`."""
    images, labels = arrays(opened(path, **options), "train")
    return images[labels == 0][0]


def deep(value: int) -> Image.Image:
    return Image.fromarray(np.full((SIDE, SIDE), value, np.uint16))


@pytest.mark.parametrize("grey", [False, True], ids=["in colour", "in grey"])
@pytest.mark.parametrize(
    ("image", "name", "tolerance"),
    [
        (plain(), "x.png", 0),
        (plain(), "x.PNG", 0),
        (plain(), "x.bmp", 0),
        (plain(), "x.tif", 0),
        (plain(), "x.ppm", 0),
        (plain(), "x.jpeg", 3),
        (plain(), "x.jfif", 3),
        (plain(), "x.webp", 3),
        (plain().convert("RGBA"), "x.png", 0),
        (plain().convert("P", palette=Image.Palette.ADAPTIVE), "x.png", 2),
        (plain().convert("P", palette=Image.Palette.ADAPTIVE), "x.gif", 2),
        (plain().convert("CMYK"), "x.jpg", 6),
        (plain().convert("CMYK"), "x.tif", 2),
    ],
    ids=lambda value: f"{value.mode}" if isinstance(value, Image.Image) else str(value),
)
def test_a_colour_is_the_same_however_it_is_stored(tmp_path, image, name, tolerance, grey):
    options = {"format": "JPEG"} if name.endswith("jfif") else {}
    saved(tmp_path / "root", image, name, **options)
    expected = np.array([GREY]) if grey else RED
    pixels = first(tmp_path / "root", grey=grey)
    assert pixels.shape == (SIDE, SIDE, len(expected))
    assert np.abs(pixels * 255 - expected).max() <= tolerance + 0.51


@pytest.mark.parametrize("grey", [False, True], ids=["in colour", "in grey"])
@pytest.mark.parametrize(
    ("image", "name", "expected"),
    [
        (plain(np.array([90] * 3, np.uint8)).convert("L"), "x.bmp", 90 / 255),
        (plain(np.array([90] * 3, np.uint8)).convert("LA"), "x.png", 90 / 255),
        (Image.new("1", (SIDE, SIDE), 1), "x.png", 1),
        (deep(65535), "x.png", 1),
        (deep(12345), "x.png", 12345 / 65535),
        (deep(12345), "x.tif", 12345 / 65535),
        (Image.new("RGB", (SIDE, SIDE), "white"), "x.bmp", 1),
    ],
    ids=lambda value: f"{value.mode}" if isinstance(value, Image.Image) else str(value),
)
def test_a_grey_is_the_same_however_it_is_stored(tmp_path, image, name, expected, grey):
    saved(tmp_path / "root", image, name)
    assert np.allclose(first(tmp_path / "root", grey=grey), expected, atol=1e-6)


def test_a_palette_keeps_the_colour_of_what_is_transparent(tmp_path):
    saved(tmp_path / "root", plain().convert("P", palette=Image.Palette.ADAPTIVE), "x.png",
          transparency=0)  # fmt: skip
    assert np.abs(first(tmp_path / "root") * 255 - RED).max() <= 2


def test_the_content_tells_what_a_file_is_and_not_its_name(tmp_path):
    saved(tmp_path / "root", plain(), "x.png", format="WEBP", lossless=True)
    assert np.allclose(first(tmp_path / "root") * 255, RED)


def test_a_picture_is_turned_as_its_camera_says(tmp_path):
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, : SIDE // 2] = 255  # white on the left; it must be turned clockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    saved(tmp_path / "root", Image.fromarray(pixels), "x.png", exif=exif)
    turned = first(tmp_path / "root", grey=True)[..., 0]
    assert (turned[: SIDE // 2] == 1).all()
    assert (turned[SIDE // 2 :] == 0).all()


def test_files_that_are_neither_class_nor_image_are_left_out_and_counted(tmp_path):
    def untidy(root):
        (root / ".ipynb_checkpoints").mkdir()
        (root / "cat" / "._0.png").write_bytes(b"\0\5\26\7" + bytes(60))
        (root / "cat" / "notes.txt").write_text("mine")
        (root / "dog" / "more").mkdir()

    folders(untidy)(tmp_path / "root")
    scenario = opened(tmp_path / "root")
    assert scenario.class_names == ("cat", "dog")
    [note] = scenario.notes
    assert note == (
        "images: left out 4 names (.ipynb_checkpoints, cat/._0.png, cat/notes.txt, …): no class "
        "folder and no image"
    )
    tidy = tmp_path / "tidy"
    folders()(tidy)
    assert opened(tidy).notes == ()
    assert [len(arrays(source, "train")[0]) for source in (scenario, opened(tidy))] == [10, 10]


def test_files_that_are_left_out_are_reported_during_reading(tmp_path, capsys, monkeypatch):
    from tfrobust_cli.main import main

    folders(lambda root: (root / ".git").mkdir())(tmp_path / "root")
    command = ["summary", "linear", "--scenario", "images", "-p", f"images.path={tmp_path}/root"]
    monkeypatch.setattr("sys.argv", ["tfrobust", *command])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert capsys.readouterr().err == (
        "images: left out 1 name (.git): no class folder and no image\n"
    )


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_folder_of_validation_images_is_a_split_under_any_of_its_names(tmp_path, name):
    classes = [
        f"{split}/{class_name}"
        for split in ("train", "test", name)
        for class_name in ("cat", "dog")
    ]
    folders(classes=classes, count=2)(tmp_path / "root")
    scenario = opened(tmp_path / "root")
    assert scenario.splits == ("train", "validation", "test")
    assert [len(arrays(scenario, split)[0]) for split in scenario.splits] == [4, 4, 4]


def test_classes_may_have_the_names_of_splits(tmp_path):
    folders(classes=("bus", "test", "train"))(tmp_path / "root")
    assert opened(tmp_path / "root").class_names == ("bus", "test", "train")


def test_a_class_without_test_images_is_reported_and_shifts_no_label(tmp_path):
    classes = ("train/cat", "train/dog", "train/eel", "test/cat", "test/eel")
    folders(classes=classes, count=2)(tmp_path / "root")
    scenario = opened(tmp_path / "root")
    assert scenario.class_names == ("cat", "dog", "eel")
    assert scenario.notes == ("images: split 'test' has no image of 1 class (dog)",)
    assert sorted(arrays(scenario, "test")[1].tolist()) == [0, 0, 2, 2]


def test_names_that_do_not_print_are_spelled_out(tmp_path):
    odd = ("Größe 1", "two\nlines", "[red]x", os.fsdecode(b"a\xffb"), "\x1b[2J")
    folders(classes=odd, count=2)(tmp_path / "root")
    scenario = opened(tmp_path / "root")
    assert scenario.class_names == ("\\x1b[2J", "Größe 1", "[red]x", "a\\xffb", "two\\nlines")
    assert len(arrays(scenario, "train")[0]) == 10


def test_a_folder_that_changes_is_looked_through_again(tmp_path):
    folders(count=2)(tmp_path / "root")
    scenario = opened(tmp_path / "root")
    assert len(arrays(scenario, "train")[0]) == 4
    plain().save(tmp_path / "root" / "cat" / "9.png")
    os.utime(tmp_path / "root" / "cat", ns=(1, 1))  # a clock may be coarse
    assert len(arrays(scenario, "train")[0]) == 5


REFUSED = {
    "no_classes": "no class folders in it",
    "one_class": r"one class folder only, 'cat'; a classifier needs two",
    "empty_class": r"eel: the class folder holds no images .*put some into it, or remove it",
    "nested": r"n01: the class folder holds folders, such as n01/images, .*move the images up",
    "split_only_val": r"splits by the names of train, val; .*`train` and .*`test`",
    "eel_in_test": r"eel: a class that split 'test' has and 'train' has not; put .*or remove it",
    "empty_splits": "cat: the class folder holds no images",
    "fifo_png": r"cat/9.png: expected a picture; received: a FIFO; remove or rename it",
    "socket_png": r"cat/9.png: expected a picture; received: a socket",
    "device_png": r"cat/9.png: expected a picture; received: a device",
    "dangling_png": r"cat/9.png: .*received: a link that leads nowhere",
    "folder_png": r"cat/9.png: expected a picture; received: a folder",
}


@pytest.mark.parametrize("name", REFUSED)
def test_impossible_folders_are_refused(tmp_path, name):
    FOLDERS[name](tmp_path / name)
    with pytest.raises(DataError, match=REFUSED[name]):
        arrays(opened(tmp_path / name), "train")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a readable picture .its content is that of no picture.; replace or remove"),
        (b"not a picture", "its content is that of no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", "that of no picture"),
    ],
)
def test_a_file_that_is_no_picture_is_named(tmp_path, content, complaint):
    folders(lambda root: (root / "cat" / "9.png").write_bytes(content))(tmp_path / "root")
    with pytest.raises(DataError, match=rf"cat/9.png: .*{complaint}") as refusal:
        arrays(opened(tmp_path / "root"), "train")
    assert "\n" not in str(refusal.value)


def test_a_truncated_picture_is_named(tmp_path):
    def cut(root):
        file = root / "cat" / "9.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60), np.uint8)).save(file)
        file.write_bytes(file.read_bytes()[:700])

    folders(cut)(tmp_path / "root")
    with pytest.raises(DataError, match=r"cat/9.png: not a readable picture .*truncated"):
        arrays(opened(tmp_path / "root"), "train")


def test_pixels_of_unknown_range_are_refused(tmp_path):
    saved(tmp_path / "root", Image.fromarray(np.ones((4, 4), np.float32)), "x.tif")
    with pytest.raises(DataError, match=r"a/x.tif: has 32 bits a pixel .*8 or 16 bits"):
        arrays(opened(tmp_path / "root"), "train")


def test_a_picture_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    saved(tmp_path / "root", plain(), "x.png")
    with pytest.raises(DataError, match="it has more than 30 pixels"):
        arrays(opened(tmp_path / "root"), "train")


def test_fewer_than_five_images_a_class_leave_none_to_test_on(tmp_path):
    folders(count=4)(tmp_path / "root")
    with pytest.raises(DataError, match=r"no images of split 'test': every fifth"):
        arrays(opened(tmp_path / "root"), "test")
