"""Bad inputs that people and machines have given to all commands: every input costs one line.

An input is refused with exit code 1 or 2 and one line; no file is left behind, no command
hangs or uses up the memory. `test_fuzz_generated.py` adds generated inputs to this table.
"""

import pytest

from helpers.files.fuzz_files import ARRAYS, FOLDERS, NETWORKS, PICTURES, RUNS, STUDIES
from helpers.fuzz_runs import Runner, check_refused, check_sane
from helpers.thinned import thinned

LONG, VAST = "x" * 200_000, str(10**30)
ODD = ("\x1b[2J\x1b[31mred", "two\nlines", "[red]marked[/]", "\u202eback", "a" * 256, LONG, "../up")
NUMBERS = ("nan", "inf", "-1", "1e400", "0x10", "1,5", "10 000", "½", "true", "[1]", "{}", "-")
ATTACK = ("evaluate", "d1", "--out", "run", "--no-baselines", "--limit", "4")
EVALUATE = (*ATTACK, "--clean-only")
PGD = ("evaluate", "d1", "--out", "run", "--limit", "4", "--attack", "pgd", "-p")
STORED = (*EVALUATE, "--scenario", "arrays", "-p")
SORTED = ("summary", "linear", "--scenario", "images", "-p")
TRAIN = ("train", "linear", "--scenario", "circles", "--name", "m", "--epochs", "1")
EXPORT = ("export", "d1", "served")
SHOWN = ("data", "show", "digits", "--out", "grid.png")
DRAWN = ("data", "show", "images", *SHOWN[3:], "--count", "600", "-p", "grey=true", "--split")
CASES = [
    # Values of options.
    *[(*PGD, f"eps={value}") for value in NUMBERS],
    *[(*PGD, f"steps={value}") for value in ("0", "1e30", "2.5", VAST, "99999999999")],
    *[(*EVALUATE, "--seed", value) for value in ("-1", "nan", VAST, "x")],
    *[(*EVALUATE, "--batch-size", value) for value in ("0", "-1", "nan", VAST)],
    *[(*EVALUATE, "--limit", value) for value in ("0", "-1", "nan", "x", "1e3")],
    *[
        (*ATTACK, "--attack", "white_to_black", "--sweep", f"count={value}")
        for value in ("-1", "x", "", "1,", "nan", "2.5", VAST)
    ],
    *[
        (*ATTACK, "--attack", "pgd", "--sweep", value)
        for value in ("x", "=1", "eps", ".eps=1", "=")
    ],
    (*ATTACK, "--attack", "pgd", "--sweep", "threat=1"),
    (*ATTACK, "--attack", "pgd", "--sweep", "fgsm.eps=0.1"),
    *[(*ATTACK, "--attack", "pgd", "--eps", value) for value in ("nan", "inf", "-1", "1e400", "x")],
    *[
        (*EVALUATE, "--pixel-range", value)
        for value in ("x", "0", "1,0", "nan,1", "0,inf", "0,1,2")
    ],
    *[(*TRAIN[:-1], value) for value in ("-1", "nan", "1.5", VAST, "x")],
    *[(*TRAIN, "--learning-rate", value) for value in ("0", "-1", "nan", "inf", "x")],
    *[(*TRAIN, "--batch-size", value) for value in ("0", "-1", "x", VAST)],
    *[(*TRAIN, "--validation", value) for value in ("-0.1", "1", "nan", "x")],
    *[(*TRAIN, "--target", value) for value in ("-1", "nan", "1.1", "x")],
    *[(*TRAIN, "--patience", value) for value in ("-1", "x", VAST)],
    *[(*TRAIN, "--decay", value) for value in ("0", "nan", "x")],
    (*TRAIN, "--optimizer", "adm"),
    (*TRAIN, "--schedule", "cosin"),
    (*TRAIN, "--strategy", "all"),
    *[(*EXPORT, "--version", value) for value in ("0", "-1", "x", VAST)],
    *[(*EXPORT, "--images", value) for value in ("0", "x", VAST)],
    (*EXPORT, "--format", "onyx"),
    (*EXPORT, "--quantize", "int4"),
    *[(*SHOWN, "--count", value) for value in ("0", "601", "x", VAST)],
    *[("streams", "d1", "--out", "run", "--images", value) for value in ("0", "x", VAST)],
    *[(*SORTED, "images.path=good", "-p", f"height={value}") for value in ("0", "x", VAST)],
    (*STORED, "arrays.path=text.npz", "-p", f"arrays.classes={2**40}"),
    ("summary", "linear", "-p", "digits.size=5000"),
    ("summary", "linear", "--scenario", "digits", "-p", "digits.channels=2"),
    # Names.
    *[("evaluate", name, "--out", "run") for name in ODD],
    *[("train", name) for name in ODD],
    *[(*TRAIN[:-4], "--name", name, "--epochs", "1") for name in ODD if name != LONG],
    *[(*EVALUATE, "--scenario", name) for name in (*ODD, "digits+", "+fog", "digits+fog.9", "+")],
    *[(*ATTACK, "--attack", name) for name in ODD],
    *[("plugins", name) for name in ODD],
    *[("plugins", "show", f"attacks/{name}") for name in ODD],
    *[("data", "prepare", name) for name in ODD],
    *[("study", "show", name) for name in ODD],
    *[("summary", name) for name in ODD],
    *[(*EVALUATE, "-p", value) for value in (*ODD, "=", "=1", "a", ".=1", "x.y.z=1", "digits.=1")],
    *[(*EVALUATE, "--split", name) for name in ODD],
    # Paths.
    *[("evaluate", "d1", "--out", path) for path in ("", "a_file", "full", "a_file/x", LONG)],
    *[
        ("evaluate", "d1", "--out", path)
        for path in ("/dev/null", "/proc/x", "fifo.npz", "a" * 300)
    ],
    ("evaluate", "d1", "--out="),
    ("attack", "d1", "--attack", "fgsm", "--out", "full"),
    ("attack", "d1", "--attack", "fgsm", "--out", "run", "--export", "served"),
    ("streams", "d1", "--out", "run"),
    ("demo", "--out", "a_file"),
    ("demo", "--out", "full"),
    *[("export", "d1", path) for path in ("", "a_file", "a_file/x", "/dev/null", "a" * 300, LONG)],
    *[
        ("data", "show", "digits", "--out", path)
        for path in ("", "grid.jpg", "a_file/x.png", "x" * 300 + ".png")
    ],
    *[("evaluate", "\udcff.keras", "--out", "run"), ("evaluate", "d1", "--out", "\udcff")],
    ("report", "\udcff"),
    ("report", ""),
    # Files.
    *[(*STORED, f"arrays.path={path}") for path in ARRAYS],
    *[
        (*STORED, f"arrays.path={path}")
        for path in ("nowhere", ".", "/dev/null", "/dev/zero", LONG)
    ],
    *[(*SORTED, f"images.path={path}") for path in (*FOLDERS, "a_file", "nowhere", LONG)],
    *[(*DRAWN, "train", "-p", f"path={path}") for path in PICTURES],
    (*DRAWN, "test", "-p", "path=few_images"),
    *[("evaluate", path, "--out", "run") for path in (*NETWORKS, "a_file", "/dev/zero")],
    *[
        ("export", path, "served")
        for path in ("empty.keras", "noise_saved", "fifo.keras", "text.h5")
    ],
    *[
        ("attack", path, "--attack", "fgsm", "--out", "run")
        for path in ("list.keras", "empty_saved")
    ],
    *[("report", path) for path in (*RUNS, "a_file", "nowhere", "/dev/null")],
    *[("study", "show", path) for path in (*STUDIES, "nothing")],
    *[("study", "run", path, "--scale", "x", "--out", "run") for path in (*STUDIES, "nothing")],
    *[
        ("data", "prepare", "tiny_imagenet", "--archive", path)
        for path in ("empty.zip", "noise.zip", "fifo.zip", "nowhere.zip", "full", "/dev/zero")
    ],
    *[
        ("train", "resnet18", "--weights", path, "--name", "m")
        for path in ("a_file", "nowhere.pth", "full", "fifo.zip", "/dev/zero")
    ],
    # Combinations.
    (*EVALUATE, "--reattack"),
    (*EVALUATE, "--crafted-on", "d1"),
    (*EVALUATE, "--eps", "0.1"),
    (*EVALUATE, "--count", "3"),
    (*EVALUATE, "--sweep", "count=3"),
    (*ATTACK, "--suite", "corruptions", "--sweep", "count=3"),
    (*EVALUATE, "--normalise-by", "d1"),
    (*ATTACK, "--suite", "corruptions", "--attack", "pgd"),
    (*ATTACK, "--suite", "corruptions", "--scenario", "digits+fog.3"),
    (*EVALUATE, "--detector", "mahalanobis"),
    (*ATTACK, "--attack", "fgsm", "--crafted-on", "d9"),
    ("evaluate", "d1", "d1", "--out", "run"),
    (*TRAIN, "--only", "calibrater", "--defense", "pgd_training"),
    (*TRAIN, "--defense", "pgd_training", "--defense", "nothing"),
    (*TRAIN, "--resume", "--force", "--weights", "imagenet"),
    (*EXPORT, "--quantize", "int8"),
    (*EXPORT, "--only", "calibrater", "--detector", "mahalanobis", "--attack", "fgsm"),
    (*EXPORT, "--format", "tflite", "--detector", "mahalanobis", "--attack", "fgsm"),
    (*EXPORT, "--attack", "fgsm"),
    ("plugins", "attacks", "pgd"),
    ("plugins", "show"),
    ("data", "prepare", "digits"),
    ("data", "prepare", "mnist", "--archive", "a_file"),
    ("study", "run", "quantized-dropout", "--scale", "huge", "--out", "run"),
    ("evaluate",),
    ("attack", "d1", "--out", "run"),
    ("doctor", "--jsn"),
    ("nothing",),
]


def named(arguments):
    """Return a case under a name that prints."""
    name = " ".join(arguments)[:90].encode("unicode_escape").decode()
    return pytest.param(arguments, id=name)


@pytest.fixture(scope="module")
def run(tmp_path_factory, stored):
    """Call the command line in a fresh folder."""
    return Runner(tmp_path_factory.mktemp("fuzz"), stored)


@pytest.mark.parametrize("arguments", thinned((named(case) for case in CASES), one_in=4))
def test_a_bad_input_costs_one_line(run, arguments):
    check_refused(run(*arguments))


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (
            ("evaluate", "d1", "--out", "run", "--clean-only", "--limit", VAST),
            "home/run/results.json",
        ),
        (("data", "show", "digits", "--out", "ein Bild.png"), "home/ein Bild.png"),
        (("data", "show", "images", "--out", "grid.png", "-p", "path=odd_names"), "home/grid.png"),
        (("data", "show", "arrays", "--out", "grid.png", "-p", "path=good.npz"), "home/grid.png"),
    ],
)
def test_unusual_but_valid_inputs_are_accepted(run, arguments, written):
    result = run(*arguments)
    check_sane(result)
    assert result.code == 0, result
    assert written in result.new
