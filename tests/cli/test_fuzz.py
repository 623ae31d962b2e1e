"""Bad inputs that people and machines have brought forth, over all commands: each costs one line.

An input is refused with exit code 1 or 2 and one line; nothing is left behind, nothing hangs or
eats the memory. Beside the table here there are generated inputs in `test_fuzz_generated.py`.
"""

import pytest

from helpers.fuzz_files import ARRAYS, FOLDERS, NETWORKS, PICTURES, RUNS, STUDIES
from helpers.fuzz_runs import Runner, check_refused, check_sane

LONG, VAST = "x" * 200_000, str(10**30)
ODD = ("\x1b[2J\x1b[31mred", "two\nlines", "[red]marked[/]", "\u202eback", "a" * 256, LONG, "../up")
NUMBERS = ("nan", "inf", "-1", "1e400", "0x10", "1,5", "10 000", "½", "true", "[1]", "{}", "-")
EVALUATE = ("evaluate", "d1", "--out", "run", "--no-baselines", "--limit", "4")
PGD = ("evaluate", "d1", "--out", "run", "--limit", "4", "--attack", "pgd", "-p")
STORED = (*EVALUATE, "--scenario", "arrays", "-p")
SORTED = ("summary", "linear", "--scenario", "images", "-p")
TRAIN = ("train", "linear", "--scenario", "circles", "--name", "m", "--epochs", "1")
EXPORT = ("export", "d1", "served")
SHOWN = ("data", "show", "digits", "--out", "grid.png")
DRAWN = ("data", "show", "images", *SHOWN[3:], "--count", "600", "-p", "grey=true", "--split")
CASES = [
    # Values of options.
    *[(*PGD, f"eps={each}") for each in NUMBERS],
    *[(*PGD, f"steps={each}") for each in ("0", "1e30", "2.5", VAST, "99999999999")],
    *[(*EVALUATE, "--seed", each) for each in ("-1", "nan", VAST, "x")],
    *[(*EVALUATE, "--batch-size", each) for each in ("0", "-1", "nan", VAST)],
    *[(*EVALUATE[:-1], each) for each in ("0", "-1", "nan", "x", "1e3")],
    *[
        (*EVALUATE, "--attack", "white_to_black", "--sweep", f"count={each}")
        for each in ("-1", "x", "", "1,", "nan", "2.5", VAST)
    ],
    *[
        (*EVALUATE, "--attack", "pgd", "--sweep", each)
        for each in ("x", "=1", "eps", ".eps=1", "=")
    ],
    (*EVALUATE, "--attack", "pgd", "--sweep", "threat=1"),
    (*EVALUATE, "--attack", "pgd", "--sweep", "fgsm.eps=0.1"),
    *[(*EVALUATE, "--attack", "pgd", "--eps", each) for each in ("nan", "inf", "-1", "1e400", "x")],
    *[(*EVALUATE, "--pixel-range", each) for each in ("x", "0", "1,0", "nan,1", "0,inf", "0,1,2")],
    *[(*TRAIN[:-1], each) for each in ("-1", "nan", "1.5", VAST, "x")],
    *[(*TRAIN, "--learning-rate", each) for each in ("0", "-1", "nan", "inf", "x")],
    *[(*TRAIN, "--batch-size", each) for each in ("0", "-1", "x", VAST)],
    *[(*TRAIN, "--validation", each) for each in ("-0.1", "1", "nan", "x")],
    *[(*TRAIN, "--target", each) for each in ("-1", "nan", "1.1", "x")],
    *[(*TRAIN, "--patience", each) for each in ("-1", "x", VAST)],
    *[(*TRAIN, "--decay", each) for each in ("0", "nan", "x")],
    (*TRAIN, "--optimizer", "adm"),
    (*TRAIN, "--schedule", "cosin"),
    (*TRAIN, "--strategy", "all"),
    *[(*EXPORT, "--version", each) for each in ("0", "-1", "x", VAST)],
    *[(*EXPORT, "--images", each) for each in ("0", "x", VAST)],
    (*EXPORT, "--format", "onnx"),
    (*EXPORT, "--quantize", "int4"),
    *[(*SHOWN, "--count", each) for each in ("0", "601", "x", VAST)],
    *[("streams", "d1", "--out", "run", "--images", each) for each in ("0", "x", VAST)],
    *[(*SORTED, "images.path=good", "-p", f"height={each}") for each in ("0", "x", VAST)],
    (*STORED, "arrays.path=text.npz", "-p", f"arrays.classes={2**40}"),
    ("summary", "linear", "-p", "digits.size=5000"),
    ("summary", "linear", "--scenario", "digits", "-p", "digits.channels=2"),
    # Names.
    *[("evaluate", each, "--out", "run") for each in ODD],
    *[("train", each) for each in ODD],
    *[(*TRAIN[:-4], "--name", each, "--epochs", "1") for each in ODD if each != LONG],
    *[(*EVALUATE, "--scenario", each) for each in (*ODD, "digits+", "+fog", "digits+fog.9", "+")],
    *[(*EVALUATE, "--attack", each) for each in ODD],
    *[("plugins", each) for each in ODD],
    *[("plugins", "show", f"attacks/{each}") for each in ODD],
    *[("data", "prepare", each) for each in ODD],
    *[("study", "show", each) for each in ODD],
    *[("summary", each) for each in ODD],
    *[(*EVALUATE, "-p", each) for each in (*ODD, "=", "=1", "a", ".=1", "x.y.z=1", "digits.=1")],
    *[(*EVALUATE, "--split", each) for each in ODD],
    # Paths.
    *[("evaluate", "d1", "--out", each) for each in ("", "a_file", "full", "a_file/x", LONG)],
    *[
        ("evaluate", "d1", "--out", each)
        for each in ("/dev/null", "/proc/x", "fifo.npz", "a" * 300)
    ],
    ("evaluate", "d1", "--out="),
    ("attack", "d1", "--attack", "fgsm", "--out", "full"),
    ("attack", "d1", "--attack", "fgsm", "--out", "run", "--export", "served"),
    ("streams", "d1", "--out", "run"),
    ("demo", "--out", "a_file"),
    ("demo", "--out", "full"),
    *[("export", "d1", each) for each in ("", "a_file", "a_file/x", "/dev/null", "a" * 300, LONG)],
    *[
        ("data", "show", "digits", "--out", each)
        for each in ("", "grid.jpg", "a_file/x.png", "x" * 300 + ".png")
    ],
    *[("evaluate", "\udcff.keras", "--out", "run"), ("evaluate", "d1", "--out", "\udcff")],
    ("report", "\udcff"),
    ("report", ""),
    # Files.
    *[(*STORED, f"arrays.path={each}") for each in ARRAYS],
    *[
        (*STORED, f"arrays.path={each}")
        for each in ("nowhere", ".", "/dev/null", "/dev/zero", LONG)
    ],
    *[(*SORTED, f"images.path={each}") for each in (*FOLDERS, "a_file", "nowhere", LONG)],
    *[(*DRAWN, "train", "-p", f"path={each}") for each in PICTURES],
    (*DRAWN, "test", "-p", "path=few_images"),
    *[("evaluate", each, "--out", "run") for each in (*NETWORKS, "a_file", "/dev/zero")],
    *[
        ("export", each, "served")
        for each in ("empty.keras", "noise_saved", "fifo.keras", "text.h5")
    ],
    *[
        ("attack", each, "--attack", "fgsm", "--out", "run")
        for each in ("list.keras", "empty_saved")
    ],
    *[("report", each) for each in (*RUNS, "a_file", "nowhere", "/dev/null")],
    *[("study", "show", each) for each in (*STUDIES, "nothing")],
    *[("study", "run", each, "--scale", "x", "--out", "run") for each in (*STUDIES, "nothing")],
    *[
        ("data", "prepare", "tiny_imagenet", "--archive", each)
        for each in ("empty.zip", "noise.zip", "fifo.zip", "nowhere.zip", "full", "/dev/zero")
    ],
    *[
        ("train", "resnet18", "--weights", each, "--name", "m")
        for each in ("a_file", "nowhere.pth", "full", "fifo.zip", "/dev/zero")
    ],
    # Combinations.
    (*EVALUATE, "--reattack"),
    (*EVALUATE, "--crafted-on", "d1"),
    (*EVALUATE, "--eps", "0.1"),
    (*EVALUATE, "--count", "3"),
    (*EVALUATE, "--sweep", "count=3"),
    (*EVALUATE, "--suite", "corruptions", "--sweep", "count=3"),
    (*EVALUATE, "--normalise-by", "d1"),
    (*EVALUATE, "--suite", "corruptions", "--attack", "pgd"),
    (*EVALUATE, "--suite", "corruptions", "--scenario", "digits+fog.3"),
    (*EVALUATE, "--detector", "mahalanobis"),
    (*EVALUATE, "--attack", "fgsm", "--crafted-on", "d9"),
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


@pytest.mark.parametrize("arguments", [named(each) for each in CASES])
def test_a_bad_input_costs_one_line(run, arguments):
    check_refused(run(*arguments))


@pytest.mark.parametrize(
    ("arguments", "made"),
    [
        (("evaluate", "d1", "--out", "run", "--limit", VAST), "home/run/results.json"),
        (("data", "show", "digits", "--out", "ein Bild.png"), "home/ein Bild.png"),
        (("data", "show", "images", "--out", "grid.png", "-p", "path=odd_names"), "home/grid.png"),
        (("data", "show", "arrays", "--out", "grid.png", "-p", "path=good.npz"), "home/grid.png"),
    ],
)
def test_what_only_looks_bad_is_done(run, arguments, made):
    said = run(*arguments)
    check_sane(said)
    assert said.code == 0, said
    assert made in said.new
