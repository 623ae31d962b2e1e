"""COCO as a classification: which images are taken, and where their boxes are then."""

import numpy as np
import pytest

from helpers.files.tfds_object_files import CocoLayout
from helpers.support import shared_folder
from helpers.thinned import named, thinned
from tfrobust.data.reading import arrays, check_images
from tfrobust.errors import DataError, UsageError
from tfrobust.registry import create
from tfrobust.testing import scenario_checks

SMALL = [20, 10, 8, 8]
CATEGORIES = [("dog", "animal"), ("cow", "animal"), ("cat", "animal"), ("bus", "vehicle")]


@pytest.fixture
def layout(tmp_path):
    return CocoLayout(tmp_path, CATEGORIES)


@pytest.fixture
def many(layout):
    """Eight images of each class, four of the bus."""
    for category, _ in CATEGORIES:
        for k in range(4 if category == "bus" else 8):
            layout.add([(category, [16 + k, 8, 12, 20])])
    return layout.write()


@pytest.fixture
def pairs(layout):
    """Three images of each of two classes, yet to be written."""
    for category in ("dog", "cow") * 3:
        layout.add([(category, SMALL)])
    return layout


def coco(path, **options):
    return create("scenarios", "coco", path=path, size=options.pop("size", 48), **options)


@pytest.mark.parametrize("check", thinned(map(named, scenario_checks()), one_in=2))
def test_coco_keeps_the_contract(check, many):
    check(coco(many))


def test_images_of_one_category_few_objects_and_much_surrounding_are_taken(layout):
    small = [20, 10, 8, 8]
    for _ in range(2):
        layout.add([("dog", small)])
        layout.add([("cow", small), ("cow", [40, 10, 8, 8])])
    layout.add([("dog", small)] * 3)  # too many
    layout.add([("dog", small), ("cow", small)])  # two categories
    layout.add([("dog", [0, 0, 64, 30])])  # 62 % of the image
    layout.add([("dog", small)], crowd=1)
    layout.add([])
    root = layout.write()
    scenario = coco(root)
    assert scenario.class_names == ("cow", "dog")
    assert sum(len(list(scenario.load(split))) for split in scenario.splits) == 4
    more = coco(root, max_instances=3, max_foreground=0.7)
    assert more.class_names == ("dog", "cow")
    assert sum(len(list(more.load(split))) for split in more.splits) == 6


@pytest.mark.parametrize(("width", "height"), [(64, 48), (48, 64), (51, 48), (48, 48)])
def test_boxes_are_where_the_objects_are_after_scaling_and_cropping(layout, width, height):
    draw = np.random.default_rng(width)
    for category in ("dog", "cow") * 4:
        left, top = draw.integers(0, width - 14), draw.integers(0, height - 14)
        box = [int(left), int(top), *(int(number) for number in draw.integers(6, 15, 2))]
        box[2], box[3] = min(box[2], width - left), min(box[3], height - top)
        layout.add([(category, [int(number) for number in box])], width, height)
    scenario = coco(layout.write(), size=96, max_foreground=1)
    seen = 0
    for split in scenario.splits:
        for example in scenario.load(split).as_numpy_iterator():
            blue = example["image"][..., 0] < 0.2
            (box,) = example["boxes"]
            top, left, bottom, right = np.rint(box * 96).astype(int)
            rows, columns = np.nonzero(blue)
            edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            np.testing.assert_allclose(edges, [top, left, bottom, right], atol=2)
            seen += 1
    assert seen >= 6


def test_an_image_whose_object_lies_outside_the_middle_is_left_out(layout):
    for category in ("dog", "cow"):
        layout.add([(category, [0, 10, 6, 10])])  # the middle begins at 8
        layout.add([(category, [2, 10, 20, 10])])
        layout.add([(category, [30, 10, 20, 10])])
    scenario = coco(layout.write())
    examples = [e for split in scenario.splits for e in scenario.load(split).as_numpy_iterator()]
    assert len(examples) == 4
    assert all((example["boxes"][:, 1] >= 0).all() for example in examples)


def test_the_most_frequent_classes_or_named_ones_are_taken(many):
    assert coco(many).class_names == ("cat", "cow", "dog", "bus")
    assert coco(many, classes=3).class_names == ("cat", "cow", "dog")
    named = coco(many, classes="bus, cat")
    assert named.class_names == ("bus", "cat")
    _, labels = arrays(named, "test")
    assert sorted(labels.tolist()) == [0, 1, 1]


def test_every_class_is_split_separately_and_by_the_seed(many):
    first, second = coco(many), coco(many, seed=1)
    sizes = [
        [len(list(scenario.load(split))) for split in scenario.splits]
        for scenario in (first, second)
    ]
    assert sizes == [[21, 7], [21, 7]]
    tests = [arrays(scenario, "test")[0] for scenario in (first, second, coco(many))]
    assert np.array_equal(tests[0], tests[2])
    assert not np.array_equal(tests[0], tests[1])


def test_similar_classes_share_a_supercategory_and_dissimilar_ones_do_not(many):
    _, similar = arrays(coco(many, supercategories="similar"), "test")
    assert set(similar.tolist()) == {0, 1, 2}  # the animals
    scenario = coco(many, supercategories="dissimilar")
    _, dissimilar = arrays(scenario, "test")
    assert len(set(dissimilar.tolist())) == 2
    assert 3 in dissimilar  # the bus
    assert scenario.num_classes == 4
    assert len(list(scenario.load("train"))) == 21


def test_boxes_and_areas_are_measured_inside_the_middle_square(layout):
    """The images are 96 by 48: the square begins at column 24."""
    for category in ("dog", "cow"):
        layout.add([(category, [40, 10, 8, 8])], 96)
        layout.add([(category, [20, 10, 8, 8])], 96)  # half of it remains
        layout.add([(category, [19, 10, 8, 8])], 96)  # three of eight columns
        layout.add([(category, [40, 10, 8, 8]), (category, [0, 10, 8, 8])], 96)
        layout.add([(category, [25, 0, 46, 48])], 96)  # 48 % of the whole, 96 % of the square
    layout.add([("cat", [0, 10, 8, 8])], 96)
    scenario = coco(layout.write())
    assert scenario.class_names == ("cow", "dog")
    assert scenario.prepare().images == {"train": 2, "test": 2}
    for split in scenario.splits:
        for example in scenario.load(split).as_numpy_iterator():
            assert np.prod(example["boxes"][:, 2:] - example["boxes"][:, :2], axis=1) > 0.01
    with pytest.raises(UsageError, match="no class 'cat' with images that fit"):
        _ = coco(layout.root, classes="cat,dog").class_names


@pytest.mark.parametrize("share", [0.25, 0.9])
def test_no_class_is_for_the_test_alone(share, pairs):
    pairs.add([("bus", SMALL)])
    scenario = coco(pairs.write(), test_share=share)
    assert scenario.class_names == ("cow", "dog", "bus")
    assert set(arrays(scenario, "train")[1].tolist()) == {0, 1, 2}
    with pytest.raises(DataError, match="class 'bus': 1 images fit, too few for each of train, te"):
        _ = coco(pairs.root, classes="bus,dog").class_names


def test_changed_annotations_are_read_again_and_unchanged_ones_once(pairs, monkeypatch):
    scenario = coco(pairs.write())
    assert scenario.class_names == ("cow", "dog")
    with monkeypatch.context() as patch:
        patch.setattr("tfrobust_scenarios.objects.scenario.classes_of", None)
        assert scenario.num_classes == 2
    pairs.add([("bus", SMALL)])
    pairs.write()
    assert scenario.class_names == ("cow", "dog", "bus")


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"classes": "dgo,cow"}, UsageError, "no class 'dgo' with images that fit; did you mean"),
        ({"classes": "dog"}, UsageError, "expected two or more, each once"),
        ({"classes": 9}, UsageError, "expected 2 to 4, which have images that fit; received: 9"),
        ({"max_foreground": 0.01}, DataError, "coco: no image fits; expected images of two cl"),
    ],
)
def test_missing_classes_and_images_cost_one_line(many, options, kind, message):
    with pytest.raises(kind, match=message):
        coco(many, **options).load("test")


REAL = {"max_foreground": 0.9, "max_instances": 4, "size": 64, "strict": True}


@pytest.mark.slow
def test_real_images_keep_the_contract():
    for check in scenario_checks():
        check(coco(shared_folder("data") / "coco", **REAL))


def test_real_images_are_read_with_their_boxes():
    scenario = coco(shared_folder("data") / "coco", **REAL)
    for split in scenario.splits:
        images, labels = arrays(scenario, split)
        check_images(images, labels, scenario.num_classes)
        assert images.shape[1:] == scenario.image_shape
    assert {"toilet", "elephant"} <= set(scenario.class_names)
    for example in scenario.load("test").as_numpy_iterator():
        assert 1 <= len(example["boxes"]) <= 4
