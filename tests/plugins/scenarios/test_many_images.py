"""Folders of many JPEGs: decoded as they are read, in parallel, in flat memory, and fast."""

import io
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfrobust.data.reading import arrays, readable
from tfrobust.errors import DataError
from tfrobust.registry import create


def write_jpegs(root, count, *, side=224, classes=5, **options):
    """Write so many JPEGs, a fifth of them test images, and return the folder."""
    draw = np.random.default_rng(0)
    for label in range(classes):
        (root / f"c{label}").mkdir(parents=True)
    coarse = draw.integers(0, 256, (50, 14, 14, 3), dtype=np.uint8)
    contents = [_jpeg(picture, side, **options) for picture in coarse]
    for number in range(count):
        file = root / f"c{number % classes}" / f"{number:05d}.jpg"
        file.write_bytes(contents[number % len(contents)])
    return root


def _jpeg(coarse, side, **options):
    content = io.BytesIO()
    picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    picture.save(content, "JPEG", quality=90, **options)
    return content.getvalue()


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_that_tensorflow_decodes_has_the_pixels_of_pillow(tmp_path, grey, subsampling):
    write_jpegs(tmp_path, 50, side=41, subsampling=subsampling)
    scenario = create("scenarios", "images", path=tmp_path, height=41, width=41, grey=grey)
    images, _ = arrays(scenario, "train")
    pictures = {
        np.asarray(Image.open(file).convert("L" if grey else "RGB"), np.uint8).tobytes()
        for file in tmp_path.rglob("*.jpg")
    }
    back = (images * 255).round().astype(np.uint8)
    assert {image.tobytes() for image in back} <= pictures


def test_plain_jpegs_never_pass_through_python(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("decoded in Python")

    monkeypatch.setattr("tfrobust_scenarios.folder.picture", refuse)
    write_jpegs(tmp_path, 50, side=20)
    scenario = create("scenarios", "images", path=tmp_path, height=24, width=24)
    assert arrays(scenario, "train")[0].shape == (40, 24, 24, 3)


@pytest.mark.slow
def test_only_the_pictures_of_the_rows_are_opened(tmp_path):
    write_jpegs(tmp_path, 50, side=16)
    scenario = create("scenarios", "images", path=tmp_path, height=16, width=16)
    images, _ = arrays(scenario, "train")
    rows = scenario.load_rows("train", 10, 14)
    for file in tmp_path.rglob("*.jpg"):
        content = file.read_bytes()
        file.write_bytes(b"damaged")
        if len(list(_opened(rows))) == 4:
            continue
        file.write_bytes(content)
    left = [file for file in tmp_path.rglob("*.jpg") if file.read_bytes() != b"damaged"]
    assert len(left) == 4
    np.testing.assert_array_equal([e["image"] for e in rows.as_numpy_iterator()], images[10:14])


def _opened(rows):
    try:
        yield from readable(rows.as_numpy_iterator())
    except DataError:
        return


def test_a_jpeg_damaged_inside_costs_one_line_and_prepare_names_it(tmp_path):
    write_jpegs(tmp_path, 10, side=32)
    file = tmp_path / "c0" / "00000.jpg"
    content = bytearray(file.read_bytes())
    table = content.index(b"\xff\xc4")
    content[table + 5 : table + 21] = b"\xff" * 16  # more codes than a Huffman table has
    file.write_bytes(content)
    scenario = create("scenarios", "images", path=tmp_path, height=32, width=32)
    with pytest.raises(DataError, match=r"images cannot be read: .*data prepare names") as refusal:
        arrays(scenario, "train")
    assert "\n" not in str(refusal.value)
    with pytest.raises(DataError, match=r"c0/00000.jpg: not a readable picture"):
        scenario.prepare()


def test_prepare_counts_the_pictures_of_a_folder(tmp_path):
    write_jpegs(tmp_path, 50, side=8)
    assert create("scenarios", "images", path=tmp_path).prepare().images == {
        "train": 40,
        "test": 10,
    }


_READ = """
import json, resource, sys
from tfrobust.registry import create
scenario = create("scenarios", "images", path=sys.argv[1], height=224, width=224)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
peaks, count = {}, 0
for batch in scenario.load("train").batch(64).prefetch(2):
    count += len(batch["label"])
    peaks[count] = peak()
print(json.dumps([count, peaks[640], peaks[count]]))
"""


@pytest.mark.slow
def test_five_thousand_jpegs_are_read_in_flat_memory_at_the_speed_of_tensorflow(tmp_path, capsys):
    write_jpegs(tmp_path, 5000)
    ran = subprocess.run(
        [sys.executable, "-c", _READ, str(tmp_path)], capture_output=True, text=True, check=True
    )
    count, early, late = json.loads(ran.stdout.splitlines()[-1])
    assert count == 4000
    assert late < early + 100, f"{early:.0f} MB after 640 images, {late:.0f} MB after {count}"

    files = [str(file) for file in sorted(tmp_path.rglob("*.jpg"))][:4000]

    def plain(file):
        content = tf.io.read_file(file)
        picture = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
        return tf.cast(tf.ensure_shape(picture, (224, 224, 3)), tf.float32) / 255.0

    floor = tf.data.Dataset.from_tensor_slices(files).map(plain, tf.data.AUTOTUNE)
    scenario = create("scenarios", "images", path=tmp_path, height=224, width=224)
    ours = scenario.load("train").map(lambda example: example["image"])
    times = {"plain": [], "ours": []}
    for _ in range(3):
        times["plain"].append(_seconds(floor))
        times["ours"].append(_seconds(ours))
    ratio = min(times["plain"]) / min(times["ours"])
    with capsys.disabled():
        print(f"\n{4000 / min(times['ours']):.0f} images/s, {ratio:.2f} of plain tf.data; "
              f"{early:.0f} MB, then {late:.0f} MB")  # fmt: skip
    assert ratio > 0.6


def _seconds(dataset):
    started = time.perf_counter()
    for _ in dataset.batch(64).prefetch(2):
        pass
    return time.perf_counter() - started
