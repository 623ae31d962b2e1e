"""Datasets of Hugging Face from local folders: recognised, checked, and never run."""

import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tfrobust.data.reading import arrays
from tfrobust.errors import DataError, UsageError
from tfrobust.registry import create
from tfrobust.testing import scenario_checks

datasets = pytest.importorskip(
    "datasets", reason="datasets is not installed; pip install 'tfrobust[hf]'"
)

NAMES = ["cat", "dog", "owl"]
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 6, 5, 3), np.uint8)


def table(rows=slice(0, 30), *, mode="RGB", label=None, values=None, **columns):
    """Return pictures with classes 0, 1, 2, 0, 1, …"""
    numbers = range(*rows.indices(30))
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": label or datasets.ClassLabel(names=NAMES),
            **dict.fromkeys(columns, datasets.ClassLabel(names=NAMES)),
        }
    )
    content = {
        "image": [Image.fromarray(PIXELS[number]).convert(mode) for number in numbers],
        "label": [number % 3 for number in numbers] if values is None else values,
        **columns,
    }
    return datasets.Dataset.from_dict(content, features=features)


@pytest.fixture
def folder(tmp_path):
    """Write splits as Parquet files, and return their folder: `folder(train=table())`."""
    numbers = itertools.count()

    def written(**splits):
        made = tmp_path / f"made-{next(numbers)}"
        (made / "data").mkdir(parents=True)
        for name, rows in splits.items():
            rows.to_parquet(made / "data" / f"{name}-00000-of-00001.parquet")
        return made

    return written


@pytest.fixture
def opened(tmp_path):
    def opened(path, **options):
        cache = tmp_path / "cache"
        return create("scenarios", "huggingface", dataset=str(path), cache=cache, **options)

    return opened


def test_parquet_files_bring_their_pictures_classes_and_splits(folder, opened):
    scenario = opened(folder(train=table(slice(0, 18)), test=table(slice(18, 30))))
    assert scenario.image_shape == (6, 5, 3)
    assert scenario.class_names == tuple(NAMES)
    assert scenario.splits == ("train", "test")
    assert scenario.notes == ()
    images, labels = arrays(scenario, "test")
    order = np.random.default_rng(0).permutation(12) + 18
    np.testing.assert_allclose(images, PIXELS[order] / np.float32(255), atol=1e-6)
    assert labels.tolist() == (order % 3).tolist()
    for check in scenario_checks():
        check(scenario)


def test_without_a_test_split_validation_is_taken_or_every_fifth_image_of_a_class(folder, opened):
    path = folder(train=table(slice(0, 15)))
    alone = opened(path)
    assert {split: alone.count(split) for split in alone.splits} == {"train": 12, "test": 3}
    assert sorted(arrays(alone, "test")[1]) == [0, 1, 2]
    assert "every fifth image of a class" in alone.notes[0]
    held = opened(folder(train=table(slice(0, 18)), validation=table(slice(18, 30))))
    assert held.splits == ("train", "test")
    assert held.count("test") == 12
    assert "validation is taken for it" in held.notes[0]
    both = opened(held.dataset, validation="validation")  # no image both chooses and measures
    assert {split: both.count(split) for split in both.splits} == {
        "train": 15, "test": 3, "validation": 12,
    }  # fmt: skip


def test_grey_pictures_stay_grey_and_sizes_may_be_given(folder, opened):
    path = folder(train=table(mode="L"))
    assert opened(path).image_shape == (6, 5, 1)
    scaled = opened(path, height=4, width=4, grey=False)
    assert arrays(scaled, "train", 2)[0].shape == (2, 4, 4, 3)


def test_class_folders_of_pictures_are_read_by_their_names(opened, tmp_path):
    for number, pixels in enumerate(PIXELS[:20]):
        place = tmp_path / "photos" / "train" / NAMES[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:02}.png")
    scenario = opened(tmp_path / "photos")
    assert scenario.class_names == ("cat", "dog")
    images, labels = arrays(scenario, "train")
    wanted = {pixels.tobytes(): number % 2 for number, pixels in enumerate(PIXELS[:20])}
    found = np.round(images * 255).astype(np.uint8)
    assert [wanted[pixels.tobytes()] for pixels in found] == labels.tolist()


def test_classes_may_be_texts_or_numbers(folder, opened):
    text = [NAMES[number % 2] for number in range(30)]
    path = folder(train=table(label=datasets.Value("string"), values=text))
    assert opened(path).class_names == ("cat", "dog")
    path = folder(train=table(label=datasets.Value("int64")))
    assert opened(path).class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test": "tset"}, "test: expected one of train, test; received: 'tset'; did you mean"),
        ({"label": "lable"}, "label: expected one of .*did you mean 'label'"),
        ({"image": "label"}, "label: expected pictures"),
        ({"label": "image"}, "image: expected classes"),
        ({"config": "nothing"}, "config"),
        ({"test": "train"}, "test: expected another split"),
        ({"validation": "train"}, "validation: expected another split"),
        ({"test": "test", "validation": "test"}, "test: expected another split"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_what_there_is(folder, opened, options, words):
    path = folder(train=table(slice(0, 18)), test=table(slice(18, 30)))
    with pytest.raises((UsageError, DataError), match=words):
        _ = opened(path, **options).class_names


def test_of_several_columns_of_classes_one_is_to_be_named(folder, opened):
    path = folder(train=table(coarse=[0] * 30))
    with pytest.raises(UsageError, match=r"-p huggingface.label=label\|coarse"):
        _ = opened(path).splits
    assert opened(path, label="coarse").num_classes == 3


def test_a_split_with_secret_labels_and_a_row_without_a_picture_are_refused(folder, opened):
    secret = table(slice(0, 3), values=[-1, -1, -1])
    path = folder(train=table(), test=secret)
    with pytest.raises(DataError, match="'test' has images without a label"):
        _ = opened(path).splits
    rows = datasets.Dataset.from_dict(
        {"image": [None] * 10, "label": [0, 1] * 5},
        features=datasets.Features(
            {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
        ),
    )
    path = folder(train=rows)
    with pytest.raises(DataError, match="row 0 of train: holds no picture"):
        _ = opened(path).image_shape


def test_a_row_of_a_parquet_file_opens_no_file_of_this_machine(folder, opened, tmp_path):
    Image.fromarray(PIXELS[0]).save(tmp_path / "private.png")
    rows = {"image": [str(tmp_path / "private.png")] * 10, "label": [0, 1] * 5}
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "label": datasets.ClassLabel(names=NAMES)}
    )
    named = datasets.Dataset.from_dict(rows, features=features)
    path = tmp_path / "made" / "data" / "train.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(named.data.table, path)
    with pytest.raises(DataError, match="holds no picture"):
        _ = opened(tmp_path / "made").image_shape


@pytest.mark.parametrize("name", ["made.py", "data.pkl"])
def test_code_and_pickles_of_a_dataset_are_not_run(opened, tmp_path, name):
    made = tmp_path / "made"
    made.mkdir()
    (made / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    with pytest.raises(DataError, match="huggingface: "):
        _ = opened(made).splits
    assert not (tmp_path / "ran").exists()


def test_a_damaged_picture_is_named_and_preparing_finds_it(folder, opened):
    rows = table().cast_column("image", datasets.Image(decode=False)).to_list()
    rows[7]["image"] = {"bytes": b"no picture", "path": None}
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
    )
    scenario = opened(folder(train=datasets.Dataset.from_list(rows, features=features)))
    with pytest.raises(DataError, match=r"row \d+ of train: not a readable picture"):
        scenario.prepare()


def test_a_dataset_that_is_not_there_is_refused_in_a_line(opened, tmp_path):
    with pytest.raises(DataError, match=r"huggingface: which dataset\?"):
        _ = create("scenarios", "huggingface").splits
    with pytest.raises(DataError, match="give a name of the Hub, a local folder") as refused:
        _ = opened(tmp_path / "nothing").splits
    assert "\n" not in str(refused.value)
