"""Files and folders that no user meant to give, made on the fly; `MADE` names their makers."""

import io
import json
import os
import socket
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(size=(6, 8, 8, 1)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 4, 9])


def npz(**change):
    """Return a maker of an `.npz` that is sound but for these arrays."""

    def make(path: Path) -> None:
        whole = {"images": IMAGES, "labels": LABELS} | change
        np.savez(path, **{name: value for name, value in whole.items() if value is not None})

    return make


def content(data: bytes | str):
    """Return a maker of a file with this content."""
    raw = data.encode() if isinstance(data, str) else data
    return lambda path: path.write_bytes(raw)


def png(**options) -> bytes:
    """Return a small picture."""
    held = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (9, 7, 3), dtype=np.uint8)).save(held, "PNG", **options)
    return held.getvalue()


def folders(change=None, *, classes=("cat", "dog"), count=6):
    """Return a maker of class folders, to which `change` does something."""

    def make(root: Path) -> None:
        for name in classes:
            (root / name).mkdir(parents=True)
            for number in range(count):
                (root / name / f"{number}.png").write_bytes(png())
        if change:
            change(root)

    return make


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        where = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        try:
            bound.bind(path.name)
        finally:
            os.chdir(where)


def zipped(**members: bytes):
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name.replace("__", "."), data)

    return make


def keras_file(config: object):
    """Return a maker of what looks like a `.keras` file, with this configuration."""
    return zipped(
        config__json=json.dumps(config).encode(),
        metadata__json=json.dumps({"keras_version": "3.15.0"}).encode(),
        model__weights__h5=b"",
    )


def run(results: str, outcomes: bytes = b"PK"):
    """Return a maker of a run folder."""

    def make(path: Path) -> None:
        path.mkdir()
        (path / "results.json").write_text(results)
        (path / "outcomes.parquet").write_bytes(outcomes)

    return make


def saved(data: bytes):
    def make(path: Path) -> None:
        path.mkdir()
        (path / "saved_model.pb").write_bytes(data)

    return make


def held_by(folder: str):
    """Return a maker of a folder that holds one other folder."""
    return lambda path: (path / folder).mkdir(parents=True)


DEEP = "[" * 100_000
GOOD = {  # whatever they look like
    "good.npz": npz(),
    "odd_names": folders(classes=("Größe 1", "two\nlines", "[red]x", "a\udcffb", "x" * 200)),
}
ARRAYS = {
    "text.npz": npz(labels=np.array([f"digit {label}" for label in LABELS])),
    "nan_labels.npz": npz(labels=np.array([0, 1, np.nan, 3, 4, 9])),
    "infinite_labels.npz": npz(labels=np.array([0, 1, np.inf, 3, 4, 9])),
    "one_hot.npz": npz(labels=np.eye(10, dtype=np.float32)[LABELS]),
    "column.npz": npz(labels=LABELS[:, None]),
    "float_labels.npz": npz(labels=LABELS.astype(np.float32)),
    "signs.npz": npz(labels=np.where(LABELS < 3, -1, 1)),
    "bool.npz": npz(labels=LABELS < 3),
    "ids.npz": npz(labels=LABELS + 20_240_000),
    "huge.npz": npz(labels=np.array([0, 1, 2, 3, 4, 2**40])),
    "unsigned.npz": npz(labels=np.array([0, 1, 2, 3, 4, 2**64 - 1], np.uint64)),
    "dates.npz": npz(labels=np.datetime64("2024-01-01") + LABELS),
    "complex.npz": npz(labels=LABELS.astype(complex)),
    "structured.npz": npz(labels=np.zeros(6, [("a", int)])),
    "objects.npz": npz(labels=np.array([None] * 6, object)),
    "scalar.npz": npz(labels=np.array(3)),
    "no_labels.npz": npz(labels=None),
    "no_images.npz": npz(images=None),
    "keras_names.npz": npz(images=None, labels=None, x_test=IMAGES, y_test=LABELS),
    "bytes.npz": npz(images=(IMAGES * 255).astype(np.uint8)),
    "deep_bytes.npz": npz(images=(IMAGES * 65535).astype(np.uint16)),
    "double.npz": npz(images=IMAGES.astype(np.float64)),
    "half.npz": npz(images=IMAGES.astype(np.float16)),
    "to_255.npz": npz(images=IMAGES * 255),
    "to_minus_1.npz": npz(images=IMAGES * 2 - 1),
    "nan_images.npz": npz(images=np.full_like(IMAGES, np.nan)),
    "infinite_images.npz": npz(images=np.full_like(IMAGES, np.inf)),
    "flat.npz": npz(images=IMAGES[..., 0]),
    "channels_first.npz": npz(images=np.repeat(IMAGES.transpose(0, 3, 1, 2), 3, axis=1)),
    "more_labels.npz": npz(labels=np.arange(9)),
    "empty_arrays.npz": npz(images=IMAGES[:0], labels=LABELS[:0]),
    "no_pixels.npz": npz(images=IMAGES[:, :0]),
    "strings.npz": npz(images=np.full((6, 8, 8, 1), "x")),
    "complex_images.npz": npz(images=IMAGES.astype(np.complex64)),
    "empty.npz": content(b""),
    "noise.npz": content(RANDOM.bytes(500)),
    "zip_head.npz": content(b"PK\x03\x04"),
    "no_arrays.npz": zipped(images__npy=b"not an array", labels__npy=b"\x93NUMPY\x01\x00"),
    "folder.npz": held_by("x"),
    "fifo.npz": fifo,
    "socket.npz": unix_socket,
}
FOLDERS = {
    "no_classes": lambda path: path.mkdir(),
    "one_class": folders(classes=("cat",)),
    "empty_class": folders(lambda root: (root / "eel").mkdir()),
    "only_hidden": folders(lambda root: (root / "x").mkdir(), classes=(".a", ".b")),
    "nested": folders(classes=("n01/images/more", "n02/images/more")),
    "split_only_val": folders(classes=("train/cat", "train/dog", "val/cat", "val/dog")),
    "eel_in_test": folders(classes=("train/cat", "train/dog", "test/cat", "test/dog", "test/eel")),
    "empty_splits": folders(
        lambda root: [(root / split / "cat").mkdir(parents=True) for split in ("train", "test")],
        classes=(),
    ),
    "fifo_png": folders(lambda root: fifo(root / "cat/9.png")),
    "socket_png": folders(lambda root: unix_socket(root / "cat/9.png")),
    "device_png": folders(lambda root: (root / "cat/9.png").symlink_to("/dev/zero")),
    "dangling_png": folders(lambda root: (root / "cat/9.png").symlink_to("nowhere")),
    "looping_png": folders(lambda root: (root / "cat/9.png").symlink_to("9.png")),
    "folder_png": folders(lambda root: (root / "cat/9.png").mkdir()),
}
PICTURES = {
    "truncated_png": folders(lambda root: (root / "cat/9.png").write_bytes(png()[:60])),
    "empty_png": folders(lambda root: (root / "cat/9.png").write_bytes(b"")),
    "text_png": folders(lambda root: (root / "cat/9.png").write_text("not a picture")),
    "eps_png": folders(
        lambda root: (root / "cat/9.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n(x) run\n")
    ),
    "float_tif": folders(
        lambda root: Image.fromarray(np.ones((4, 4), np.float32)).save(root / "cat/9.tif")
    ),
}
NETWORKS = {
    "empty.keras": content(b""),
    "noise.keras": content(RANDOM.bytes(500)),
    "zip_head.keras": content(b"PK\x03\x04"),
    "no_members.keras": zipped(readme__txt=b"hello"),
    "list.keras": keras_file([]),
    "null.keras": keras_file(None),
    "system_call.keras": keras_file({"module": "os", "class_name": "system", "config": {}}),
    "number.keras": keras_file({"module": "keras", "class_name": 3, "config": 7}),
    "deep.keras": zipped(config__json=DEEP.encode(), metadata__json=b"{}"),
    "folder.keras": held_by("x"),
    "fifo.keras": fifo,
    "deep_metadata.keras": zipped(config__json=b"{}", metadata__json=DEEP.encode()),
    "text.h5": content("not HDF"),
    "empty_saved": saved(b""),
    "noise_saved": saved(RANDOM.bytes(500)),
    "not_saved": held_by("x"),
}
RUNS = {
    "fifo_run": lambda path: (path.mkdir(), fifo(path / "results.json")),
    "empty_run": run(""),
    "list_run": run("[]"),
    "null_run": run("null"),
    "deep_run": run(DEEP),
    "number_run": run('{"format": "tfrobust/evaluation", "version": 1, "evaluations": 3}'),
    "future_run": run('{"format": "tfrobust/evaluation", "version": 99, "evaluations": []}'),
    "other_run": run('{"format": "something else", "version": 1, "evaluations": []}'),
    "no_run": held_by("x"),
}
STUDIES = {
    "empty.toml": content(""),
    "noise.toml": content(RANDOM.bytes(300)),
    "latin.toml": content("title = 'Gr\xf6\xdfe'".encode("latin-1")),
    "deep.toml": content("a = " + DEEP),
    "number.toml": content("title = 3\nscales = 'x'\n"),
    "folder.toml": held_by("x"),
    "fifo.toml": fifo,
}
OTHERS = {
    "few_images": folders(count=3),
    "a_file": content("mine"),
    "full": held_by("thesis"),
    "empty.zip": content(b""),
    "noise.zip": content(RANDOM.bytes(500)),
    "fifo.zip": fifo,
}
MADE = GOOD | ARRAYS | FOLDERS | PICTURES | NETWORKS | RUNS | STUDIES | OTHERS
