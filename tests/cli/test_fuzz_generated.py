"""Bad inputs that hypothesis generates: values, names, paths and damaged files.

Most commands here end in a refusal whatever they are given, `--split nowhere` at the latest, so
that valid inputs cost no work either; the message tells which of the two was refused.
"""

import io
import json
import math
import re
import string

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.files.fuzz_files import IMAGES, LABELS, keras_file, png
from helpers.fuzz_runs import Runner, check_refused, check_sane
from helpers.thinned import thinned

LATE = "expected one of train, test; received: 'nowhere'"  # everything before was right
ATTACK = ("evaluate", "d1", "--out", "run", "--split", "nowhere")
EVALUATE = (*ATTACK, "--clean-only")
# An argument of a command line holds neither NUL nor half of a surrogate pair.
CHARACTERS = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")
ODD_BYTES = st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
TEXT = st.text(CHARACTERS, max_size=40) | st.text(CHARACTERS | ODD_BYTES, max_size=10)
ESCAPES = st.sampled_from(["\x1b[2J", "\r\n", "\u202e", "[bold]", "\ufeff", "%s", "{}", "../", "~"])
NAMES = st.builds(str.__add__, TEXT, ESCAPES | st.just(""))
NUMBERS = (
    st.floats().map(repr)
    | st.integers(-(10**40), 10**40).map(str)
    | st.integers(-3, 12).map(str)
    | st.sampled_from(["1e999", "-0.0", "0x1", "1_0", " 1", "１", "none", "null", "[]", "[1, 2]"])
)
KEYS = [
    "format",
    "version",
    "evaluations",
    "name",
    "class_name",
    "module",
    "config",
    "layers",
    "class_names",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=12,
)


def generated(count):
    """Return settings for this many inputs, the same in every run."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory, stored):
    """Call the command line in a fresh folder."""
    return Runner(tmp_path_factory.mktemp("generated"), stored)


def is_number(text, least, *, whole=False):
    """Tell whether Python reads a text as a finite number that is not below `least`."""
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and value >= least and (not whole or value.is_integer())


VALUES = {
    "eps of an attack": (("--attack", "pgd", "-p"), "eps={}", 0, False),
    "steps of an attack": (("--attack", "pgd", "-p"), "pgd.steps={}", 1, True),
    "queries of an attack": (("--attack", "square", "-p"), "queries={}", 1, True),
    "size of a scenario": (("-p",), "digits.size={}", 1, True),
    "severity of a shift": (("--scenario", "digits+fog", "-p"), "fog.severity={}", 1, True),
    "--eps": (("--attack", "pgd", "--eps"), "{}", 0, False),
    "--seed": (("--seed",), "{}", 0, True),
    "--batch-size": (("--batch-size",), "{}", 1, True),
    "--sweep": (("--attack", "white_to_black", "--sweep"), "count={}", 0, True),
}


@pytest.mark.parametrize("option", thinned(VALUES))
@generated(8)
@given(value=NUMBERS | TEXT.filter(lambda text: not text.startswith("-")))
def test_a_value_is_taken_only_if_it_is_a_number_in_its_range(run, option, value):
    before, spelled, least, whole = VALUES[option]
    line = check_refused(
        run(*(ATTACK if "--attack" in before else EVALUATE), *before, spelled.format(value))
    )
    if LATE in line:
        assert is_number(value, least, whole=whole) or value == "none", value


@generated(15)
@given(name=NAMES, place=st.sampled_from(["classifier", "--attack", "--scenario", "-p", "--split"]))
def test_a_name_that_nothing_has_costs_one_line(run, name, place):
    assume(not name.startswith("-"))
    if place == "classifier":
        check_refused(run("evaluate", name, *EVALUATE[2:]))
    else:
        check_refused(run(*EVALUATE, place, name))


@generated(15)
@given(
    name=NAMES,
    command=st.sampled_from(
        [
            ("plugins",), ("plugins", "show"), ("data", "prepare"), ("study", "show"), ("report",),
            ("summary",), ("data", "show", "--out", "grid.png"), ("streams", "--out", "run"),
            ("export", "--version", "3", "served"), ("train", "--scenario"), ("attack", "--out"),
            ("study", "run", "--scale", "smoke", "--out", "run"), ("demo", "--outt"), ("doctor",),
        ]
    ),
)  # fmt: skip
def test_every_command_refuses_a_name_that_nothing_has(run, name, command):
    assume(not name.startswith("-") and name not in {".", "./"})
    check_refused(run(*command, name))


@generated(15)
@given(name=NAMES.filter(lambda name: not re.fullmatch(r"[A-Za-z0-9_.-]*", name)))
def test_a_name_that_is_no_plain_folder_is_never_stored(run, name):
    assume(not name.startswith("-"))
    command = ("train", "linear", "--scenario", "circles", "--epochs", "0", "--name")
    check_refused(run(*command, name))


SEGMENTS = st.text(CHARACTERS, min_size=1, max_size=20).filter(lambda text: "/" not in text)


@generated(15)
@given(folders=st.lists(SEGMENTS | st.sampled_from([".", "a" * 250]), min_size=1, max_size=4))
def test_a_refusal_leaves_no_folder_behind_however_it_is_called(run, folders):
    assume(not folders[0].startswith("-"))
    check_refused(run("evaluate", "d1", "--split", "nowhere", "--out", "/".join(folders)))


def held(write):
    """Return the bytes that `write` writes into a file."""
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


ARRAYS = held(lambda file: np.savez(file, images=IMAGES, labels=LABELS))
RED = Image.new("RGB", (9, 7), (200, 20, 20))
PICTURES = {
    "9.png": png(),
    "9.jpg": held(lambda file: RED.save(file, "JPEG")),
    "9.gif": held(lambda file: RED.convert("L").save(file, "GIF")),
    "9.bmp": held(lambda file: RED.convert("L").save(file, "BMP")),
    "9.tif": held(lambda file: RED.convert("L").save(file, "TIFF")),
    "9.webp": held(lambda file: RED.save(file, "WEBP")),
}


@st.composite
def damaged(draw, whole):
    """Truncate a file, or change some of its bytes."""
    data = bytearray(whole[: draw(st.integers(0, len(whole)))] if draw(st.booleans()) else whole)
    for _ in range(draw(st.integers(0 if len(data) < len(whole) else 1, 6))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


def drawn_or_refused(result):
    """Check that a command either drew its picture or left nothing behind."""
    check_sane(result)
    assert result.new == (("home/grid.png",) if result.code == 0 else ()), result


@generated(12)
@given(data=damaged(ARRAYS))
def test_damaged_arrays_are_read_or_refused(run, data):
    command = ("data", "show", "arrays", "--out", "grid.png", "-p", "path=damaged.npz")
    drawn_or_refused(run(*command, files={"damaged.npz": data}))


@pytest.mark.parametrize("name", thinned(PICTURES))
@generated(5)
@given(data=st.data())
def test_a_damaged_picture_is_read_or_refused_by_its_name(run, name, data):
    """TensorFlow decodes a JPEG and does not name it: the line says which command does."""
    files = {
        f"root/{class_name}/{k}.png": PICTURES["9.png"]
        for class_name in ("a", "b")
        for k in range(5)
    }
    files |= {f"root/a/{name}": data.draw(damaged(PICTURES[name]))}
    command = ("data", "show", "images", "--out", "grid.png", "--split", "train", "-p", "path=root")
    result = run(*command, files=files)
    drawn_or_refused(result)
    named = f"a/{name}" in result.err
    unnamed_jpeg = name.endswith(".jpg") and "tfrobust data prepare names the file" in result.err
    assert result.code == 0 or named or unnamed_jpeg


@generated(12)
@given(
    labels=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5), min_size=6, max_size=6)
)
def test_labels_are_classes_or_refused(run, labels):
    data = held(lambda file: np.savez(file, images=IMAGES, labels=np.array(labels)))
    command = ("data", "show", "arrays", "--out", "grid.png", "-p", "path=damaged.npz")
    result = run(*command, files={"damaged.npz": data})
    drawn_or_refused(result)
    assert result.code == (not all(0 <= label < 1000 for label in labels))


@generated(15)
@given(content=JSON)
def test_a_results_file_of_any_json_is_refused(run, content):
    files = {"a_run/results.json": json.dumps(content).encode(), "a_run/outcomes.parquet": ARRAYS}
    check_refused(run("report", "a_run", files=files))


@generated(15)
@given(content=JSON)
def test_a_card_of_any_json_is_refused_or_harmless(run, content):
    card = "saved_models/d1/1/assets.extra/tfrobust.json"
    check_refused(run(*EVALUATE, files={card: json.dumps(content).encode()}))


@generated(15)
@given(content=JSON)
def test_a_keras_file_of_any_configuration_is_refused(run, content, tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "m.keras"
    keras_file(content)(path)
    check_refused(run("evaluate", "m.keras", *EVALUATE[2:], files={"m.keras": path.read_bytes()}))


@generated(15)
@given(content=st.text(st.sampled_from(string.printable) | CHARACTERS, max_size=200))
def test_a_study_file_of_any_text_is_refused(run, content):
    check_refused(run("study", "show", "x.toml", files={"x.toml": content.encode()}))
