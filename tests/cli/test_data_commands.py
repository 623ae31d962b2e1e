"""`tfrobust data`, as a user types it."""

import json

import pytest
from PIL import Image

from helpers.files.tiny_imagenet_files import edited, zipped


@pytest.fixture
def small_archive(here, monkeypatch):
    """A small archive in the official layout, and an empty folder of datasets."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(here / "tfds"))
    return zipped(here / "small.zip", edited(n01_0__JPEG=b"no picture"))


def test_an_archive_is_prepared_and_its_images_are_shown(tfrobust, here, small_archive):
    command = ("data", "prepare", "tiny_imagenet", "--archive", small_archive)
    result = tfrobust(*command, "--strict")
    assert result.code == 1
    assert "n01_0.JPEG: broken" in result.err
    assert len(result.err.strip().splitlines()) == 1
    result = tfrobust(*command)
    assert result.code == 0, result.err
    assert result.out.strip() == f"{here / 'tfds/tiny_imagenet/1.0.0'}  8 train, 6 validation"
    assert "left out: n01_0.JPEG: broken" in result.err
    result = tfrobust(*command, "--json")
    assert json.loads(result.out)["images"] == {"train": 8, "validation": 6}
    result = tfrobust("data", "show", "tiny_imagenet", "--out", "grid.png", "-p", "classes=n01,n02")
    assert result.code == 0, result.err
    with Image.open(here / "grid.png") as picture:
        assert picture.size[0] > 300


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prepare", "digits"), "digits: needs no preparation"),
        (("prepare", "digitz"), "did you mean"),
        (("prepare", "mnist", "--archive", "x.zip"), "leave out --archive"),
        (("prepare", "tiny_imagenet", "--archive", "gone.zip"), "not a readable archive"),
        (("show", "voc", "--out", "x.png"), "run tfrobust data prepare voc -p voc.year=2007"),
        (("show", "digits", "--out", "x.png", "--split", "tset"), "expected one of train, test"),
        (("show", "digits", "--out", "x.svg"), "--out: expected a .png; received: 'x.svg'"),
    ],
)
def test_mistakes_cost_one_line(tfrobust, here, arguments, words):
    result = tfrobust("data", *arguments)
    assert result.code in (1, 2)
    assert words in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not list(here.glob("x.*"))


def test_a_size_option_reaches_a_scenario_that_declares_one(tfrobust, here, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "tfrobust.report.grid.image_grid", lambda scenario, *_, **__: shown.append(scenario)
    )
    for name in ("coco", "voc"):
        result = tfrobust("data", "show", name, "-p", f"{name}.size=12", "--out", "grid.png")
        assert result.code == 0, result.err
        assert (type(shown[-1]).__name__.lower(), shown[-1].size) == (name, 12)
        result = tfrobust("plugins", "show", f"scenarios/{name}", "--json")
        options = [
            (option["name"], option["default"]) for option in json.loads(result.out)["options"]
        ]
        assert [value for option, value in options if option == "size"] == [224]


def test_an_interrupted_preparation_leaves_nothing_and_speaks_of_no_training(
    tfrobust, here, small_archive, monkeypatch
):
    monkeypatch.setattr(
        "tfrobust_scenarios.tiny_imagenet_archive.TinyImagenetArchive.read", interrupted
    )
    result = tfrobust("data", "prepare", "tiny_imagenet", "--archive", small_archive)
    assert (result.code, result.err.strip()) == (
        130,
        "error: interrupted; the same command starts from the beginning",
    )
    assert not list((here / "tfds").glob("*"))


def interrupted(*_):
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt
