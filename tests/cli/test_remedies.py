"""Every remedy that a message names is run here, and it helps.

To add one: a row with the command that is refused, the words of the message that name the remedy,
and the commands that follow it.
"""

import ast
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
import typer

from helpers.files.fuzz_files import ARRAYS, IMAGES, LABELS, MADE, png
from helpers.support import REPO
from helpers.thinned import thinned
from tfrobust.data.names import open_scenario, options_of
from tfrobust.data.reading import arrays
from tfrobust.errors import DataError, UsageError
from tfrobust.registry import create, entries, find
from tfrobust_cli.main import app

ATTACK = ("evaluate", "d1", "--out", "run", "--no-baselines", "--limit", "4")
EVALUATE = (*ATTACK, "--clean-only")
PGD = (*ATTACK, "--attack", "pgd", "-p", "pgd.steps=1")
FGSM = (*ATTACK, "--attack", "fgsm")
TRAIN = ("train", "linear", "--scenario", "circles", "--name", "m", "--epochs", "1")
DRAWN = ("data", "show", "images", "--out", "grid.png", "--split", "train")
EXPORT = ("export", "d1", "served")


@dataclass(frozen=True)
class Row:
    """A command that is refused, what the message says, and commands that do as it says.

    Attributes:
        before: run first, and succeeds.
        by_hand: what a user does to files, such as moving them, before `then`.
    """

    command: tuple[str, ...]
    says: str
    then: tuple[tuple[str, ...], ...]
    before: tuple[str, ...] | None = None
    by_hand: Callable[[Path], object] | None = None


def softmax(path: Path) -> None:
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten()]
    keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")]).save(path)


def more(folder: str, count: int = 5):
    """Put pictures into a folder."""

    def put(home: Path) -> None:
        (home / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (home / folder / f"more-{number}.png").write_bytes(png())

    return put


def moved_up(home: Path) -> None:
    for class_name in ("n01", "n02"):
        for picture in (home / "nested" / class_name / "images" / "more").iterdir():
            picture.rename(home / "nested" / class_name / picture.name)


MADE_HERE = {**MADE, "soft.keras": softmax}
ROWS = {
    "a full --out": Row(
        (*FGSM[:3], "full", *FGSM[4:]), "choose another --out, or overwrite with --force",
        ((*FGSM[:3], "other", *FGSM[4:]), (*FGSM[:3], "full", *FGSM[4:], "--force")),
    ),
    "a softmax": Row(
        ("evaluate", "soft.keras", *EVALUATE[2:]), "--to-logits",
        (("evaluate", "soft.keras", *EVALUATE[2:], "--to-logits"),),
    ),
    "an option of two attacks": Row(
        (*PGD, "--attack", "fgsm", "-p", "eps=0.1"), "write -p pgd.eps=… or -p fgsm.eps=…",
        ((*PGD, "--attack", "fgsm", "-p", "fgsm.eps=0.1"),),
    ),
    "an option without its value": Row(
        (*PGD, "-p", "eps"), "expected key=value", ((*PGD, "-p", "eps=0.1"),)
    ),
    "an option in other words": Row(
        (*PGD, "-p", "pgd.esp=0.1"), "did you mean 'eps'?", ((*PGD, "-p", "pgd.eps=0.1"),)
    ),
    "a budget without attack": Row(
        (*EVALUATE, "--eps", "0.1"), "leave it out, or add an attack that has it",
        (EVALUATE, (*FGSM, "--eps", "0.1", "--force")),
    ),
    "attacks crafted elsewhere without attack": Row(
        (*EVALUATE, "--crafted-on", "d1"), "give --attack or --suite too",
        ((*FGSM, "--crafted-on", "d1"),),
    ),
    "an attack again without another classifier": Row(
        (*FGSM, "--reattack"), "expected --crafted-on",
        (("evaluate", "d1/1", *FGSM[2:], "--reattack", "--crafted-on", "soft.keras",
          "--to-logits"),),
    ),
    "a detector without attack": Row(
        (*EVALUATE, "--detector", "mahalanobis"), "give --attack or --suite too",
        ((*PGD, "--detector", "mahalanobis", "--eps", "0.5", "--limit", "60"),),
    ),
    "a detector with too few images": Row(
        (*PGD, "--detector", "mahalanobis", "--eps", "0.5", "--limit", "4"),
        "show it more (--limit)",
        ((*PGD, "--detector", "mahalanobis", "--eps", "0.5", "--limit", "60"),),
    ),
    "counts of noise as they were swept before": Row(
        (*ATTACK, "--attack", "white_to_black", "--count", "1", "--count", "2"),
        "write --sweep count=1,2",
        ((*ATTACK, "--attack", "white_to_black", "--sweep", "count=1,2"),),
    ),
    "a suite of corruptions with an attack": Row(
        (*FGSM, "--suite", "corruptions"), "evaluate attacks in a run of their own", (FGSM,)
    ),
    "a region without boxes": Row(
        (*PGD, "-p", "region=background"), "or region=all",
        ((*PGD, "-p", "region=all"),),
    ),
    "a split that is none": Row(
        (*EVALUATE, "--split", "tset"), "expected one of train, test",
        ((*EVALUATE, "--split", "train"),),
    ),
    "no images": Row(
        (*EVALUATE, "--limit", "0"), "expected 1 or more", ((*EVALUATE, "--limit", "1"),)
    ),
    "a classifier in other words": Row(
        ("evaluate", "d2", *EVALUATE[2:]), "did you mean 'd1'?", (EVALUATE,)
    ),
    "a run that is not there": Row(
        ("report", "run"), "run `tfrobust evaluate` first", (EVALUATE, ("report", "run"))
    ),
    "a plugin in other words": Row(
        ("train", "xyz"), "`tfrobust plugins models` lists", (("plugins", "models"),)
    ),
    "a plugin that is shown": Row(
        ("plugins", "attacks", "pgd"), "did you mean `plugins show attacks/pgd`?",
        (("plugins", "show", "attacks/pgd"),),
    ),
    "a plugin without its kind": Row(
        ("plugins", "show", "pgd"), "e.g. attacks/pgd", (("plugins", "show", "attacks/pgd"),)
    ),
    "a missing argument": Row(
        ("evaluate",), "`tfrobust evaluate --help` shows", (("evaluate", "--help"),)
    ),
    "a command of a group in other words": Row(
        ("data", "preapre"), "`tfrobust data --help` shows", (("data", "--help"),)
    ),
    "an empty name": Row(
        (*TRAIN[:4], "--name", "", *TRAIN[6:]), "leave it out", ((*TRAIN[:4], *TRAIN[6:]),)
    ),
    "a model that takes no weights": Row(
        (*TRAIN, "--weights", "a_file"), "`tfrobust plugins show models/efficientnet_b1`",
        (("plugins", "show", "models/efficientnet_b1"),),
    ),
    "a network without dropout": Row(
        (*TRAIN, "--defense", "mc_dropout"), "-p rate=0.5",
        (("train", "fully_connected", *TRAIN[2:], "--defense", "mc_dropout", "-p",
          "mc_dropout.rate=0.5", "-p", "samples=2"),),
    ),
    "options that are no JSON": Row(
        (*TRAIN, "--defense", "pgd_training", "-p", "options={steps: 1}"), '\'{"eps": 0.1}\'',
        ((*TRAIN, "--defense", "pgd_training", "-p", 'options={"steps": 1}'),),
    ),
    "a version that is there": Row(
        (*EXPORT, "--version", "1"), "choose a new version",
        ((*EXPORT, "--version", "2"), EXPORT), before=(*EXPORT, "--version", "1"),
    ),
    "a detector that learns from nothing": Row(
        (*EXPORT, "--detector", "kernel_density"), "give both or neither",
        (EXPORT, (*EXPORT, "--detector", "kernel_density", "--attack", "fgsm", "--images", "60",
                  "-p", "fgsm.eps=0.5")),
    ),
    "a small file of a SavedModel": Row(
        (*EXPORT, "--quantize", "int8"), "--format tflite",
        ((*EXPORT, "--quantize", "int8", "--format", "tflite", "--scenario", "digits",
          "--images", "9"),),
    ),
    "a LiteRT file with a detector": Row(
        (*EXPORT, "--format", "tflite", "--detector", "mahalanobis", "--attack", "fgsm"),
        "leave out --detector and --attack", ((*EXPORT, "--format", "tflite"),),
    ),
    "a picture that is no .png": Row(
        ("data", "show", "digits", "--out", "grid.jpg"), "expected a .png",
        (("data", "show", "digits", "--out", "grid.png"),),
    ),
    "arrays without a file": Row(
        ("summary", "linear", "--scenario", "arrays"), "pass -p arrays.path=FILE",
        (("summary", "linear", "--scenario", "arrays", "-p", "arrays.path=good.npz"),),
    ),
    "folders without a folder": Row(
        ("summary", "linear", "--scenario", "images"), "pass -p images.path=FOLDER",
        (("summary", "linear", "--scenario", "images", "-p", "images.path=odd_names"),),
    ),
    "arrays that show some classes": Row(
        (*EVALUATE, "--scenario", "arrays", "-p", "path=few.npz"), "give -p arrays.classes=10",
        ((*EVALUATE, "--scenario", "arrays", "-p", "path=few.npz", "-p", "arrays.classes=10"),),
    ),
    "labels that are ids": Row(
        (*DRAWN[:2], "arrays", *DRAWN[3:], "-p", "path=big.npz"), "-p arrays.classes=N",
        ((*DRAWN[:2], "arrays", *DRAWN[3:], "-p", "path=big.npz", "-p", "arrays.classes=60000"),),
    ),
    "an empty class": Row(
        (*DRAWN, "-p", "path=empty_class"), "put some into it, or remove it",
        ((*DRAWN, "-p", "path=empty_class"),), by_hand=more("empty_class/eel"),
    ),
    "an empty class that is removed": Row(
        (*DRAWN, "-p", "path=empty_class"), "put some into it, or remove it",
        ((*DRAWN, "-p", "path=empty_class"),),
        by_hand=lambda home: (home / "empty_class/eel").rmdir(),
    ),
    "a class of the test images": Row(
        (*DRAWN, "-p", "path=eel_in_test"), "put images of it into train",
        ((*DRAWN, "-p", "path=eel_in_test"),), by_hand=more("eel_in_test/train/eel"),
    ),
    "folders in class folders": Row(
        (*DRAWN, "-p", "path=nested"), "move the images up into it",
        ((*DRAWN, "-p", "path=nested"),), by_hand=moved_up,
    ),
    "splits of other names": Row(
        (*DRAWN, "-p", "path=split_only_val"),
        "name the folder to train on `train` and the one to test on `test`",
        ((*DRAWN, "-p", "path=split_only_val"),),
        by_hand=lambda home: (home / "split_only_val/val").rename(home / "split_only_val/test"),
    ),
    "a damaged picture": Row(
        (*DRAWN, "-p", "path=text_png"), "replace or remove the file",
        ((*DRAWN, "-p", "path=text_png"),),
        by_hand=lambda home: (home / "text_png/cat/9.png").unlink(),
    ),
    "a FIFO among pictures": Row(
        (*DRAWN, "-p", "path=fifo_png"), "remove or rename it",
        ((*DRAWN, "-p", "path=fifo_png"),),
        by_hand=lambda home: (home / "fifo_png/cat/9.png").rename(home / "fifo_png/cat/fifo"),
    ),
    "too few images to test on": Row(
        (*DRAWN[:-1], "test", "-p", "path=few_images"), "every fifth of a class is one",
        ((*DRAWN[:-1], "test", "-p", "path=few_images"),), by_hand=more("few_images/cat", 2),
    ),
}  # fmt: skip
WRITTEN = {
    "few.npz": {"images": IMAGES, "labels": LABELS % 3},
    "big.npz": {"images": IMAGES, "labels": LABELS + 50_000},
}


@pytest.mark.parametrize("name", thinned(ROWS))
def test_a_remedy_that_a_message_names_helps(tfrobust, with_store, name):
    row = ROWS[name]
    mentioned = " ".join(word for words in (row.command, *row.then) for word in words)
    for file, make in MADE_HERE.items():
        if file in mentioned:
            make(with_store / file)
    for file, content in WRITTEN.items():
        np.savez(with_store / file, **content)
    if row.before:
        assert tfrobust(*row.before).code == 0
    result = tfrobust(*row.command)
    assert result.code in {1, 2}, result
    assert row.says in result.err, result.err
    if row.by_hand:
        row.by_hand(with_store)
    for command in row.then:
        if command[0] == "evaluate":
            shutil.rmtree(with_store / "run", ignore_errors=True)
        result = tfrobust(*command)
        assert result.code == 0, result.err


@pytest.mark.parametrize("remedy", ["--resume", "--force"])
def test_an_interrupted_training_goes_on_by_either_remedy(tfrobust, here, monkeypatch, remedy):
    from tfrobust.training.trainer import Trainer

    def interrupt(_, epoch, *__):
        if epoch == 1:
            raise KeyboardInterrupt

    command = (*TRAIN[:-1], 2)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_tell", interrupt)
        assert tfrobust(*command).code == 130
    assert remedy in tfrobust(*command).err
    assert tfrobust(*command, remedy).code == 0


ARRAY_REMEDIES = [
    "bytes", "deep_bytes", "double", "half", "to_255", "to_minus_1", "channels_first", "flat",
    "text", "one_hot", "column", "float_labels", "signs", "bool", "ids", "huge", "unsigned",
    "dates",
]  # fmt: skip


@pytest.mark.parametrize("name", ARRAY_REMEDIES)
def test_arrays_stored_as_a_message_says_are_accepted(tmp_path, name):
    path = tmp_path / f"{name}.npz"
    ARRAYS[path.name](path)
    with pytest.raises(DataError) as refusal:
        arrays(create("scenarios", "arrays", path=path), "test")
    advice = re.search(r"(?:store |grey images: |as `)([^`;]+?)(?:[`;]|$)", str(refusal.value))[1]
    with np.load(path) as file:
        images, labels = file["images"], file["labels"]
    stored = eval(advice, {"np": np, "images": images, "labels": labels})  # noqa: S307 (ours)
    what = "images" if "images" in advice else "labels"
    np.savez(path, **{"images": images, "labels": labels, what: stored})
    read, classes = arrays(create("scenarios", "arrays", path=path), "test")
    assert 0 <= read.min() < read.max() <= 1
    assert len(set(classes.tolist())) > 1


@pytest.mark.parametrize(("name", "kept"), [("nan_labels", 5), ("infinite_labels", 5)])
def test_leaving_out_what_a_message_names_works(tmp_path, name, kept):
    path = tmp_path / f"{name}.npz"
    ARRAYS[path.name](path)
    with pytest.raises(DataError, match=r"leave these images out: np.isfinite\(labels\) tells"):
        arrays(create("scenarios", "arrays", path=path), "test")
    with np.load(path) as file:
        sound = np.isfinite(file["labels"])
        labels = file["labels"][sound].astype(np.int64)
        np.savez(path, images=file["images"][sound], labels=labels)
    assert len(arrays(create("scenarios", "arrays", path=path), "test")[0]) == kept


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("arrays+fog.3", {"arrays.path": "x"}, r"write \{'arrays': \{'path': …\}\}"),
        ("arrays", {"path": "x"}, r"options may be given for: arrays"),
        ("digits", {"digit": {"size": 9}}, r"no plugin 'digit' in 'digits'; did you mean 'digits'"),
        ("digits+fog.3", {"fogg": {}}, r"did you mean 'fog'"),
        ("digits", {"fog": {"severity": 1}}, r"no plugin 'fog' in 'digits'"),
        ("digits", {"digits": 9}, r"write \{'digits': \{option: value\}\}"),
    ],
)
def test_options_of_plugins_that_are_not_used_are_refused(name, options, says):
    with pytest.raises(UsageError, match=says):
        open_scenario(name, options)


def test_options_written_as_in_the_message_are_accepted(npz):
    path = npz(images=IMAGES, labels=LABELS)
    assert open_scenario("arrays+fog.3", {"arrays": {"path": path}}).image_shape == (8, 8, 1)


def strings():
    """Yield every text in the code that a user may see: file, text."""
    for folder in ("tfrobust", "cli", "plugins"):
        for file in sorted((REPO / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield file.name, node.value


def commands(group=None, path=("tfrobust",)):
    """Yield the words that call each command, and its options."""
    group = group or typer.main.get_command(app)
    options = [(*parameter.opts, *parameter.secondary_opts) for parameter in group.params]
    yield " ".join(path), set().union(*options)
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


def test_every_option_and_command_named_in_a_text_exists():
    known = dict(commands())
    of_ray = {"--address"}
    of_git = {"--no-optional-locks", "--porcelain", "--untracked-files"}
    of_docker = {"--env", "--init", "--mount", "--publish", "--rm"}
    of_kserve = {"--http", "--model"}  # how --http_port and --model_name begin
    of_css = {"--c0", "--c5", "--ink"}
    others = of_ray | of_git | of_docker | of_kserve | of_css
    options = set().union(*known.values(), {"--help"}, others)
    for file, text in strings():
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text):
            assert option in options, f"{file}: {option} in {text!r}"
        for called in re.findall(r"`tfrobust ([a-z ]+[a-z])", text):
            assert f"tfrobust {' '.join(called.split()[:2])}" in known or (
                f"tfrobust {called.split()[0]}" in known
            ), f"{file}: {text!r}"


def test_every_plugin_option_named_in_a_text_exists():
    by_name = {entry.name: entry for entry in entries()}
    for file, text in strings():
        for name, option in re.findall(r"-p ([a-z_0-9]+)\.([a-z_]+)=", text):
            if name in by_name:
                kind = by_name[name].kind
                known = {field.name for field in options_of(kind, find(kind, name).load())}
                assert option in known, f"{file}: {text!r}"
