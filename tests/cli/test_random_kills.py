"""Commands that are killed at random moments and then repeated end at the same bytes."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from helpers.files.tiny_imagenet_files import content, zipped
from tfrobust.files.arrays import read_arrays

pytestmark = pytest.mark.slow

KILLS = 20
STARTUP = 0.4  # of a command's time: before it, nothing happens that could go wrong
TIMED = {"seconds", "minutes"}  # of a figure's cost
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # the variable that tells where the others belong
STUDY = """
title = "A study of points"
source = "Nobody"
about = "Ellipses."
[scales.tiny]
scenario = "ellipses_apart"
images = 40
train = { epochs = 2 }
minutes = 1
[networks.line]
title = "Line"
model = "linear"
[networks.layers]
title = "Layers"
model = "fully_connected"
options = { units = 4 }
[views.plain]
title = "bare"
[conditions.clean]
title = "clean"
judged = ["plain"]
[conditions.fgsm]
title = "attacked"
judged = ["plain"]
attack = { name = "fgsm" }
"""
COMMANDS = {
    "train": "train lenet --name m --epochs 4 --defense pgd_training -p steps=3 --resume",
    "evaluate": "evaluate d1 --attack fgsm --attack pgd --attack deepfool --limit 100 --out run",
    "attack": "attack d1 --attack uap -p training_images=200 --export served --out run",
    "export": "export d1 served",
    "study": "study run study.toml --scale tiny --out run --results results",
    "prepare": "data prepare tiny_imagenet --archive small.zip",
    "lite": "export d1 served --format tflite --quantize int8 --scenario digits --images 100",
}


def start(command, home):
    """Start a command in a folder, with a folder for temporary files of its own."""
    (home / "tmp").mkdir(exist_ok=True)
    surroundings = {
        "TMPDIR": str(home / "tmp"), "TFDS_DATA_DIR": str(home / "tfds"),
        "TF_NUM_INTRAOP_THREADS": "1",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "tfrobust_cli.main", *command.split()],
        cwd=home,
        env=os.environ | surroundings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


@pytest.fixture(scope="module")
def scene(stored, tmp_path_factory):
    """Return a function that makes a folder with all that the commands need."""
    archive = zipped(tmp_path_factory.mktemp("archive") / "small.zip", content())

    def home_with_all():
        home = tmp_path_factory.mktemp("home")
        shutil.copytree(stored, home / "saved_models")
        shutil.copy(archive, home)
        (home / "study.toml").write_text(STUDY)
        return home

    return home_with_all


def digest(path):
    """Return the content of a file that must be the same."""
    kinds = {
        ".json": figures,
        ".npz": read_arrays_as_bytes,
        ".index": weights,
        ".tflite": content_of,
    }
    if ".tfrecord" in path.name:
        return [example(it) for it in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    return kinds.get(path.suffix, lambda _: "there")(path)


def figures(path):
    return json.loads(path.read_text(), object_hook=untimed)


def read_arrays_as_bytes(path):
    return {name: (array.shape, array.tobytes()) for name, array in read_arrays(path).items()}


def content_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights(path):
    """Return variables in sorted order: TensorFlow numbers captured ones differently every time."""
    kept = tf.train.load_checkpoint(str(path.with_suffix("")))
    names = set(kept.get_variable_to_shape_map()) - {GRAPH}
    return sorted(np.asarray(kept.get_tensor(name)).tobytes() for name in names)


def example(record):
    """Return an example's features sorted by name, because they are written in any order."""
    features = tf.train.Example.FromString(record).features.feature
    return [(name, str(features[name])) for name in sorted(features)]


def untimed(record):
    return {name: value for name, value in record.items() if name not in TIMED}


def outcome(home):
    """Return file → content for all files that a command wrote."""
    return {
        str(path.relative_to(home)): digest(path)
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.relative_to(home).parts[0] != "tmp"
    }


def leftovers(home):
    return [
        path
        for path in home.rglob("*")
        if path.name.startswith((".tfrobust-", "incomplete.", ".download-"))
        or path.suffix == ".unfinished"
    ]


@pytest.fixture(scope="module")
def undisturbed(scene):
    """Command → its outcome, and the seconds that it took."""
    outcomes = {}
    for name, command in COMMANDS.items():
        home, began = scene(), time.monotonic()
        code, errors = ended(start(command, home))
        assert code == 0, errors
        outcomes[name] = outcome(home), time.monotonic() - began
        assert not leftovers(home)
    return outcomes


@pytest.mark.parametrize("number", range(KILLS))
def test_a_command_that_is_killed_and_repeated_ends_at_the_same_bytes(number, scene, undisturbed):
    name = list(COMMANDS)[number % len(COMMANDS)]
    whole, seconds = undisturbed[name]
    home = scene()
    process = start(COMMANDS[name], home)
    time.sleep(random.Random(number).uniform(STARTUP, 1) * seconds)  # noqa: S311
    process.send_signal(signal.SIGKILL)
    ended(process)
    before = outcome(home)
    code, errors = ended(start(COMMANDS[name], home))
    if code == 1 and "is not empty" in errors:  # it was killed after everything was written
        assert ".tfrobust-partial" not in str(before)
    else:
        assert code == 0, errors
    after = outcome(home)
    if "served/2" in str(after) and name in ("export", "lite"):  # the first was complete already
        first = {key: value for key, value in before.items() if key.startswith("served/1")}
        second = {key: value for key, value in after.items() if key.startswith("served/2")}
        assert list(first.values()) == list(second.values())
        after = {key: value for key, value in after.items() if not key.startswith("served/2")}
    assert after == whole
    assert not leftovers(home)


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("train", "another training of m is at work"),
        ("evaluate", "another run is writing to it"),
        ("study", "another run of a study is writing to it"),
        ("prepare", "another process is preparing it"),
        ("export", None),
        ("lite", None),
    ],
)
def test_two_commands_at_once_lose_nothing(name, second, scene, undisturbed):
    whole, _ = undisturbed[name]
    home = scene()
    both = [start(COMMANDS[name], home) for _ in range(2)]
    ends = [ended(process) for process in both]
    files = outcome(home)
    refused = [text for code, text in ends if code]
    if second is None:
        assert not refused
        versions = sorted((home / "served").iterdir())
        assert [path.name for path in versions] == ["1", "2"]
        one, two = (
            [value for key, value in files.items() if key.startswith(f"served/{number}/")]
            for number in (1, 2)
        )
        assert one == two
        files = {key: value for key, value in files.items() if not key.startswith("served/2/")}
    elif refused:  # or the second command began after the first had ended
        [line] = refused
        assert len(line.strip().splitlines()) == 1
        assert any(words in line for words in (second, "is not empty"))
    assert files == whole
    assert not leftovers(home)


AT_WORK = {
    "evaluate": "run/.tfrobust-partial/*",
    "train": "saved_models/m.unfinished/stage-1/checkpoint",
    "prepare": "tfds/tiny_imagenet/incomplete.*",
    "lite": "tmp/.tfrobust-*",
}


@pytest.mark.parametrize("name", AT_WORK)
def test_sigterm_ends_a_real_command_in_one_line_without_leftovers(name, scene):
    home = scene()
    process = start(COMMANDS[name], home)
    while not any(home.glob(AT_WORK[name])):
        assert process.poll() is None
        time.sleep(0.002)
    process.terminate()
    code, errors = ended(process)
    assert code == 130, errors
    assert errors.strip().splitlines()[-1].startswith("error: interrupted; ")
    assert "Traceback" not in errors
    resumable = (".tfrobust-partial", "m.unfinished")
    assert [path for path in leftovers(home) if path.name not in resumable] == []
