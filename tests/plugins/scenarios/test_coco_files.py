"""COCO's official layout on disk: what is missing, broken or malformed in it."""

import json

import pytest

from helpers.files.tfds_object_files import CocoLayout
from tfrobust.data.reading import arrays
from tfrobust.data.telling import told_to
from tfrobust.errors import DataError
from tfrobust.registry import create

SMALL = [20, 10, 8, 8]


@pytest.fixture
def layout(tmp_path):
    return CocoLayout(tmp_path, [("dog", "animal"), ("cow", "animal")])


@pytest.fixture
def pairs(layout):
    """Three images of each of two classes, yet to be written."""
    for category in ("dog", "cow") * 3:
        layout.add([(category, SMALL)])
    return layout


def coco(path, **options):
    return create("scenarios", "coco", path=path, size=48, **options)


def test_an_annotated_image_that_is_missing_is_left_out_or_refused(layout):
    for category in ("dog", "cow") * 3:
        layout.add([(category, [20, 10, 8, 8])])
    layout.add([("dog", [20, 10, 8, 8])], on_disk=False)
    layout.add([("dog", [60, 10, 8, 8])])  # reaches out by four pixels
    root = layout.write()
    assert sum(len(list(coco(root).load(split))) for split in ("train", "test")) == 6
    with pytest.raises(DataError, match=r"000000000007.jpg: is annotated and not there"):
        coco(root, strict=True).load("test")
    prepared = coco(root).prepare()
    assert prepared.images == {"train": 4, "test": 2}
    assert ["not there" in prepared.skipped[0], "reaches out" in prepared.skipped[1]] == [
        True,
        True,
    ]
    with pytest.raises(DataError, match="is annotated and not there"):
        coco(root).prepare(strict=True)


def truncated(file):
    """Cut a JPEG in its middle: its size can still be read."""
    file.write_bytes(file.read_bytes()[:-300])


def test_a_broken_jpeg_is_named_and_once_prepared_left_out_and_not_counted(pairs):
    root = pairs.write()
    truncated(root / "val2017/000000000001.jpg")
    (root / "val2017/000000000002.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError) as refusal:
        _ = [arrays(coco(root), split) for split in ("train", "test")]
    assert str(refusal.value).startswith(
        "the images cannot be read: val2017/000000000001.jpg: broken; `tfrobust data prepare`"
    )
    for refuse in (coco(root).prepare, coco(root, strict=True).prepare):
        with pytest.raises(DataError, match=r"000000000002.jpg: broken"):
            refuse(strict=True)
    heard = []
    with told_to(lambda *told: heard.append(told)):
        prepared = coco(root).prepare()
    assert heard[0][:2] == ("looking for broken images", 0)
    assert heard[-1][1] == heard[-1][2] == len(heard) - 1
    assert prepared.images == {"train": 2, "test": 2}
    assert prepared.skipped == tuple(f"val2017/00000000000{k}.jpg: broken" for k in (2, 1))
    assert coco(root).prepare() == prepared
    assert [len(arrays(coco(root), split)[0]) for split in ("train", "test")] == [2, 2]
    with pytest.raises(DataError, match="broken"):
        coco(root, strict=True).load("test")


def test_a_repaired_jpeg_is_taken_again(pairs):
    root = pairs.write()
    file = root / "val2017/000000000001.jpg"
    whole = file.read_bytes()
    truncated(file)
    assert len(coco(root).prepare().skipped) == 1
    file.write_bytes(whole)
    assert sum(len(arrays(coco(root), split)[0]) for split in ("train", "test")) == 6
    assert coco(root).prepare().skipped == ()
    assert not list(root.glob("*.json"))


def edit(root, change):
    """Rewrite the annotations after `change(content)`."""
    (file,) = (root / "annotations").glob("instances_*.json")
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"][2].pop("height"), r"image 3: has no height"),
        (lambda c: c["images"][2].pop("file_name"), r"image 3: has no file_name"),
        (lambda c: c["images"][2].pop("id"), r"images\[2\]: has no id"),
        (lambda c: c["images"][2].update(width=0), r"image 3: width: .*; received: 0"),
        (lambda c: c["annotations"][0].pop("bbox"), r"annotation 1000: has no bbox"),
        (lambda c: c["annotations"][0].pop("image_id"), r"annotation 1000: has no image_id"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), r"1000: bbox: .*\[1, 2, 3\]"),
        (lambda c: c["annotations"][0].update(bbox=[1, "x", 3, 4]), r"1000: bbox: .*'x'"),
        (lambda c: c["annotations"][0].update(category_id=7), r"annotation 1000: no category 7"),
        (lambda c: c["categories"][0].pop("name"), r"category 10: has no name"),
        (lambda c: c.update(images={}), r"cannot be read \("),
        (lambda c: c.pop("annotations"), r"coco: no image fits; expected images of two classes"),
        (lambda c: c.clear(), r"coco: no image fits"),
    ],
)
def test_malformed_annotations_cost_one_line_that_names_the_place(change, message, pairs):
    edit(pairs.write(), change)
    with pytest.raises(DataError, match=message) as refusal:
        coco(pairs.root).load("test")
    assert "\n" not in str(refusal.value)
    assert "instances_val2017.json: " in str(refusal.value) or "no image fits" in message


def test_crowds_and_supercategories_are_optional(pairs):
    def change(content):
        for annotation in content["annotations"]:
            del annotation["iscrowd"]
        for category in content["categories"]:
            del category["supercategory"]

    edit(pairs.write(), change)
    scenario = coco(pairs.root, supercategories="dissimilar")
    assert set(arrays(scenario, "test")[1].tolist()) == {0, 1}


def test_an_image_of_another_size_than_its_annotation_says_is_left_out(pairs):
    edit(pairs.write(), lambda content: content["images"][0].update(width=48, height=64))
    (line,) = coco(pairs.root).prepare().skipped
    assert line == (
        "val2017/000000000001.jpg: is annotated as 64 pixels high and 48 wide; received: 48 and 64"
    )


def test_a_folder_with_another_layout_costs_one_line(tmp_path, layout):
    with pytest.raises(DataError, match=r"which folder\? pass -p coco.path=FOLDER"):
        coco(None).load("test")
    with pytest.raises(DataError, match=r"gone: no such folder; expected ROOT/annotations"):
        coco(tmp_path / "gone").load("test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no annotations in it; expected ROOT/annotations"):
        coco(tmp_path / "empty").load("test")
    (layout.root / "annotations/instances_val2017.json").write_text("{")
    with pytest.raises(DataError, match=r"instances_val2017.json: cannot be read"):
        coco(layout.root).load("test")


def test_a_file_name_may_name_a_subfolder_but_not_leave_its_folder(pairs):
    (pairs.root / "val2017/more").mkdir()
    pairs.add([("dog", SMALL)], name="more/1.jpg")
    pairs.add([("dog", SMALL)], on_disk=False, name="../../secret.jpg")
    prepared = coco(pairs.write()).prepare()
    assert sum(prepared.images.values()) == 7
    (line,) = prepared.skipped
    assert line.startswith("../../secret.jpg: refused: would leave")
