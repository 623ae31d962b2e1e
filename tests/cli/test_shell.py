import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.main import get_command

from tfrobust.doctor import Data, Diagnosis, Packages, Plugins, Store, Studies
from tfrobust_cli import console
from tfrobust_cli.app import _COMMON
from tfrobust_cli.completion import complete_param, complete_scale, complete_study
from tfrobust_cli.console import Verbosity, set_verbosity
from tfrobust_cli.main import app

LITTLE = ("train", "linear", "--name", "little", "--epochs", 2)


@pytest.fixture(autouse=True)
def usual_verbosity(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    yield
    set_verbosity(Verbosity.USUAL)


@pytest.mark.usefixtures("no_progress_lines")
def test_training_prints_a_line_an_epoch_unless_it_is_to_be_quiet(tfrobust):
    lines = tfrobust(*LITTLE).err.splitlines()[:2]
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "on validation images" in lines[0]
    assert "left" in lines[0]
    assert "left" not in lines[1]
    quiet = tfrobust(*LITTLE[:3], "another", "--epochs", 2, "-q")
    assert quiet.err == ""
    assert "clean accuracy" in quiet.out


def test_an_error_is_printed_to_the_quiet_too(tfrobust):
    assert tfrobust("train", "lenett", "-q").err.startswith("error: no plugin models/lenett")


def test_quiet_and_verbose_contradict_each_other(tfrobust):
    assert "leave one out" in tfrobust("plugins", "-q", "-v").err


def test_help_shows_the_common_options_and_help_all_every_one(tfrobust):
    few, all_of_them = tfrobust("train", "--help").out, tfrobust("train", "--help-all").out
    assert "--strategy" not in few
    assert "tfrobust train --help-all" in few
    assert "--strategy" in all_of_them
    assert "further options" not in all_of_them
    assert "Example:" in all_of_them


@pytest.mark.parametrize("command", _COMMON)
def test_every_common_option_is_one_of_its_command(command):
    names = {option.name for option in get_command(app).commands[command].params}
    assert set(_COMMON[command].split()) <= names


def test_the_problem_is_red_and_the_remedy_is_not(monkeypatch):
    written = io.StringIO()
    terminal = Console(file=written, force_terminal=True, color_system="standard", width=80)
    monkeypatch.setattr(console, "stderr", lambda: terminal)
    with pytest.raises(SystemExit):
        console.fail("eps: expected a number; give one", 2)
    assert written.getvalue() == "\x1b[31merror: eps: expected a number\x1b[0m; give one\n"


def test_verbose_shows_where_an_error_was_raised(capsys):
    set_verbosity(Verbosity.VERBOSE)
    try:
        raise ValueError("deep inside")
    except ValueError:
        console.show_traceback()
    assert "deep inside" in capsys.readouterr().err


def test_param_completes_options_of_the_plugins_on_the_line_and_their_choices():
    given = SimpleNamespace(params={"model": "lenet", "defense": ("pgd_training",)})
    assert complete_param(given, "pgd_training.st") == ["pgd_training.steps="]
    assert "eps=" in complete_param(given, "")
    chosen = complete_param(SimpleNamespace(params={"attack": ["pgd", "unknown"]}), "norm=")
    assert {"norm=linf", "norm=l2"} <= set(chosen)


def test_studies_and_their_scales_are_completed():
    assert complete_study("pixel") == ["pixel-noise"]
    assert "smoke" in complete_scale(SimpleNamespace(params={"name": "pixel-noise"}), "sm")


def diagnosis(**given):
    usual = {
        "versions": {}, "packages": Packages(1, []), "devices": ["/device:GPU:0"], "keras_2": True,
        "plugins": Plugins(1, []), "studies": Studies(["one"], []), "data": Data("d", ["mnist"]),
        "security": "", "store": Store("s", ["d1"]),
    }  # fmt: skip
    return Diagnosis(**usual | given)


@pytest.mark.parametrize(
    ("lacking", "remedy"),
    [
        ({"keras_2": False}, "TF_USE_LEGACY_KERAS=1"),
        ({"devices": ["/device:CPU:0"]}, "tensorflow[and-cuda]"),
        ({"data": Data("d", [])}, "tfrobust data prepare mnist"),
        ({"store": Store("s", [])}, "tfrobust train lenet"),
        ({"plugins": Plugins(0, ["attacks/x (y, z): no"])}, "reinstall the package in brackets"),
        ({"packages": Packages(1, ["numpy: is not installed"])}, "new virtual environment"),
        ({"studies": Studies([], ["x"])}, "correct its file"),
    ],
)
def test_doctor_says_what_to_do_about_each_finding_and_nothing_else(lacking, remedy):
    assert diagnosis().remedies == []
    (line,) = diagnosis(**lacking).remedies
    assert remedy in line
