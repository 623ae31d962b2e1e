"""COCO and Pascal VOC as prepared by TensorFlow Datasets' own code: selection and boxes."""

import json
import shutil

import numpy as np
import pytest

from helpers.files.tfds_object_files import CocoLayout, VocLayout, add_test_images, any_box, served
from helpers.support import shared_folder
from helpers.thinned import thinned
from tfrobust.data.reading import arrays
from tfrobust.errors import DataError, UsageError
from tfrobust.registry import create
from tfrobust.testing import scenario_checks
from tfrobust_scenarios.objects import supercategories
from tfrobust_scenarios.objects.source import BROKEN

SMALL = [20, 10, 8, 8]


def coco(**options):
    return create("scenarios", "coco", **{"source": "tfds", "size": 48} | options)


def voc(**options):
    return create("scenarios", "voc", size=48, **options)


def contracts():
    """Return who has to pass which check. The same code reads both, and each is asked for half."""
    builds = {"coco": coco, "07": voc, "12": lambda: voc(year="2012")}
    for name, build in builds.items():
        for check in scenario_checks():
            asked = "coco" if "rows" in check.__name__ else "07"
            marks = [] if name == asked else [pytest.mark.slow]
            yield pytest.param(build, check, marks=marks, id=f"{name}-{check.__name__}")


def coco_layout(root):
    """Eight images of each of three animals, four of a bus, and some that do not fit."""
    layout = CocoLayout(root, supercategories.COCO.items())
    for down, category in enumerate(("dog", "cow", "cat", "bus")):
        for k in range(4 if category == "bus" else 8):
            folder = "train2017" if k % 2 else "val2017"
            layout.add([(category, [16 + k, 8 + down, 12, 20])], folder=folder)
    for folder in ("train2017", "val2017"):
        layout.add([("dog", SMALL)] * 3, folder=folder)  # too many
        layout.add([("dog", SMALL), ("cow", SMALL)], folder=folder)  # two categories
        layout.add([("dog", [0, 0, 64, 30])], folder=folder)  # 62 % of the image
        layout.add([("dog", SMALL)], crowd=1, folder=folder)
        layout.add([], folder=folder)
        layout.add([("zebra", [0, 10, 6, 10])], folder=folder)  # the middle begins at 8
    add_test_images(layout.write())
    return layout


def voc_layout(root, year):
    """In each part three images of four classes, one whose object is difficult, and two birds."""
    layout = VocLayout(root, year)
    for part in layout.sets:
        for category in ("dog", "cow", "bus", "sofa"):
            for k in range(3):
                layout.add(part, [(category, [8 + 3 * k, 5, 11, 20])])
        layout.add(part, [("sheep", SMALL)], difficult=1)
        layout.add(part, [("dog", SMALL), ("cow", SMALL)])
    for _ in range(2):
        layout.add("test", [("bird", SMALL)])
    return layout.write()


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """All three datasets, prepared."""
    home = tmp_path_factory.mktemp("stored")
    layout = coco_layout(home / "coco")
    with served(layout.root, home / "tfds"):
        coco().prepare()
    for year in ("2007", "2012"):
        with served(voc_layout(home / "voc", year), home / "tfds"):
            voc(year=year).prepare()
    return home


@pytest.fixture
def home(stored, monkeypatch):
    """The folder of the datasets, in which nothing can be downloaded."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(stored / "tfds"))
    return stored


def seen(scenario, split):
    """Return the images of a split, sorted, with their labels and boxes."""
    every = list(scenario.load(split).as_numpy_iterator())
    return sorted(every, key=lambda example: example["image"].tobytes())


@pytest.mark.parametrize(("build", "check"), thinned(contracts()))
def test_coco_and_voc_keep_the_contract(check, build, home):
    check(build())


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"max_instances": 3, "max_foreground": 0.7},
        {"supercategories": "similar", "seed": 2},
    ],
)
def test_coco_selects_the_same_as_from_the_official_layout(options, home):
    """Every image, label and box, split by split."""
    official = coco(source="official", path=home / "coco", **options)
    assert coco(**options).class_names == official.class_names
    assert coco(**options).prepare().images == official.prepare().images
    for split in official.splits:
        for ours, theirs in zip(seen(coco(**options), split), seen(official, split), strict=True):
            assert np.array_equal(ours["image"], theirs["image"])
            assert ours["label"] == theirs["label"]
            np.testing.assert_allclose(ours["boxes"], theirs["boxes"], atol=1e-6)


@pytest.mark.slow
def test_real_images_are_the_same_as_from_the_official_layout(tmp_path):
    root = shutil.copytree(shared_folder("data") / "coco", tmp_path / "coco")
    add_test_images(root)
    options = {"max_foreground": 0.9, "max_instances": 4, "size": 32}
    official = coco(source="official", path=root, **options)
    with served(root, tmp_path / "tfds"):
        assert coco(**options).prepare().images == official.prepare().images
        for split in official.splits:
            pairs = zip(seen(coco(**options), split), seen(official, split), strict=True)
            for ours, theirs in pairs:
                assert np.array_equal(ours["image"], theirs["image"])
                np.testing.assert_allclose(ours["boxes"], theirs["boxes"], atol=1e-6)


def test_supercategories_are_the_official_ones():
    file = shared_folder("data") / "coco/annotations/instances_val2017.json"
    official = json.loads(file.read_text())["categories"]
    assert {
        category["name"]: category["supercategory"] for category in official
    } == supercategories.COCO
    assert len(set(supercategories.COCO.values())) == 12
    assert len(supercategories.VOC) == 20
    assert set(supercategories.VOC.values()) == {"person", "animal", "vehicle", "indoor"}


def test_voc_boxes_cover_the_pixels_of_their_objects_and_no_others(home):
    for split in ("train", "validation", "test"):
        for example in seen(voc(), split):
            rows, columns = np.nonzero(example["image"][..., 0] < 0.2)
            edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            (box,) = example["boxes"]
            np.testing.assert_allclose(edges, box * 48, atol=1e-4)


def test_voc_keeps_its_own_splits(home):
    assert voc().splits == ("train", "validation", "test")
    assert voc(year="2012").splits == ("train", "test")  # its test images have no annotations
    assert voc().prepare().images == {"train": 12, "validation": 12, "test": 14}
    assert voc(year="2012").prepare().images == {"train": 12, "test": 12}


def test_difficult_objects_are_taken_only_on_request(home):
    assert "sheep" not in voc().class_names
    assert "sheep" in voc(difficult=True).class_names


def test_voc_classes_are_counted_named_or_of_supercategories(home):
    assert voc(classes=4).class_names == ("bus", "cow", "dog", "sofa")
    assert voc(classes="sofa,dog").class_names == ("sofa", "dog")
    _, similar = arrays(voc(supercategories="similar"), "test")
    assert {voc().class_names[k] for k in similar} == {"bird", "cow", "dog"}
    _, dissimilar = arrays(voc(supercategories="dissimilar"), "test")
    assert len(set(dissimilar.tolist())) == 3


@pytest.mark.parametrize(
    ("build", "options", "kind", "message"),
    [
        (coco, {"classes": "dgo,cow"}, UsageError, r"coco: no class 'dgo' with .*mean 'dog'\?"),
        (voc, {"classes": "sofe,cow"}, UsageError, r"voc: no class 'sofe' with .*mean 'sofa'\?"),
        (voc, {"classes": "bird,cow"}, DataError, r"voc: class 'bird': 2 images fit, too few for"),
        (voc, {"classes": 9}, UsageError, r"voc: classes: expected 2 to 5, .*received: 9"),
        (voc, {"max_foreground": 0.01}, DataError, r"voc: no image fits; expected images of"),
        (coco, {"path": "x"}, UsageError, r"coco: path: is for source=official; TFDS_DATA_DIR"),
    ],
)
def test_missing_classes_and_images_cost_one_line(build, options, kind, message, home):
    with pytest.raises(kind, match=message) as refusal:
        build(**options).load("train")
    assert "\n" not in str(refusal.value)


def test_options_that_do_not_fit_together_are_refused(home):
    with pytest.raises(UsageError, match=r"voc: takes no archive; leave out --archive"):
        voc().prepare(home / "x.zip")
    with pytest.raises(UsageError, match=r"coco: path: is for source=official"):
        coco(path=home).prepare()  # nothing is downloaded before
    with pytest.raises(
        UsageError, match=r"voc: year: Input should be '2007' or '2012'; received: '2010'"
    ):
        voc(year="2010")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (coco, r"coco/2017 is not prepared in .*; run tfrobust data prepare coco -p coco.source="),
        (voc, r"voc/2007 is not prepared in .*; run tfrobust data prepare voc -p voc.year=2007"),
    ],
)
def test_a_missing_dataset_is_refused_with_the_command_that_prepares_it(
    build, message, tmp_path, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for asked in (lambda: build().class_names, lambda: build().load("test")):
        with pytest.raises(DataError, match=message):
            asked()
    assert not list(tmp_path.iterdir())


def test_a_download_that_fails_costs_one_line_and_leaves_nothing_half_written(tmp_path):
    root = voc_layout(tmp_path / "voc", "2007")
    next(root.rglob("000003.xml")).write_text("<annotation>")
    with served(root, tmp_path / "tfds"):
        with pytest.raises(
            DataError, match=r"voc/2007 is not in .* cannot be downloaded"
        ) as refusal:
            voc().prepare()
        assert "\n" not in str(refusal.value)
        assert not [path for path in (tmp_path / "tfds/voc/2007").rglob("*") if path.is_file()]
        with pytest.raises(DataError, match=r"voc/2007 is not prepared in"):
            voc().load("test")


def test_wrong_boxes_and_broken_images_are_left_out_and_named_or_refused(tmp_path, monkeypatch):
    layout = coco_layout(tmp_path / "coco")
    for box in ([50, 10, 30, 8], [20, 10, 0, 8], [-4, 10, 8, 8]):
        name = f"{box[0]}.jpg"
        layout.add([("dog", box)], on_disk=False, name=name)
        shutil.copy(layout.root / "test2017/000000000000.jpg", layout.root / "val2017" / name)
    (layout.write() / "val2017/000000000001.jpg").write_bytes(b"no picture")
    any_box(monkeypatch)
    with served(layout.root, tmp_path / "tfds"):
        prepared = coco().prepare()
        left_out = sorted(prepared.skipped)
        assert [line.split(":")[0] for line in left_out] == [
            "-4.jpg",
            "000000000001.jpg",
            "20.jpg",
            "50.jpg",
        ]
        for line, what in zip(left_out, ("reaches out", "broken", "empty", "reaches"), strict=True):
            assert what in line
        assert sum(prepared.images.values()) == 27
        for refused in (coco(strict=True).load, lambda _: coco().prepare(strict=True)):
            with pytest.raises(DataError, match=r"\.jpg: (broken|box)"):
                refused("train")


def test_a_truncated_jpeg_is_named_and_left_out_once_the_files_are_checked(tmp_path):
    layout = coco_layout(tmp_path / "coco")
    file = layout.root / "val2017/000000000001.jpg"
    file.write_bytes(file.read_bytes()[:-300])
    with served(layout.root, tmp_path / "tfds"):
        prepared = coco().prepare()
        assert prepared.skipped == ("000000000001.jpg: broken",)
        sizes = {split: len(arrays(coco(), split)[0]) for split in ("train", "test")}
        assert sizes == prepared.images
        (prepared.folder / BROKEN).unlink()
        with pytest.raises(DataError, match=r"read: 000000000001.jpg: broken; ") as refusal:
            _ = [arrays(coco(), split) for split in ("train", "test")]
        assert "Iterator" not in str(refusal.value)


@pytest.fixture
def damaged(home, tmp_path, monkeypatch):
    """A copy of the prepared datasets, to be damaged."""
    shutil.copytree(home / "tfds", tmp_path / "tfds")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"


def test_an_older_version_is_read_where_only_it_is_prepared(damaged):
    (folder,) = (damaged / "voc/2007").iterdir()
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps(info | {"version": "4.0.0"}))
    folder.rename(folder.with_name("4.0.0"))
    prepared = voc().prepare()
    assert prepared.folder.name == "4.0.0"
    assert prepared.images["test"] == 14


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncated", r"the images cannot be read: truncated record"),
        ("gone", r"the images cannot be read: .*No such file"),
        ("other features", r"coco/2017/1.1.0: its records have no is_crowd"),
        ("no description", r"coco/2017/1.1.0: cannot be read \(Failed to load JSON"),
    ],
)
def test_damaged_data_cost_one_line(damaged, damage, message):
    (folder,) = (damaged / "coco/2017").iterdir()
    records = folder / "coco-train.tfrecord-00000-of-00001"
    if damage == "truncated":
        records.write_bytes(records.read_bytes()[:-100])
    elif damage == "gone":
        records.unlink()
    elif damage == "other features":
        (mine,) = (damaged / "voc/2007").iterdir()
        shutil.rmtree(folder)
        shutil.copytree(mine, folder)
    else:
        (folder / "dataset_info.json").write_text("{")
    with pytest.raises(DataError, match=message) as refusal:
        coco().load("train")
    assert "\n" not in str(refusal.value)
