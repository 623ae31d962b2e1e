"""Every option of every command gets a nonsense value; the app itself lists the options."""

import pytest
import typer

from helpers.fuzz_runs import Runner, check_refused
from helpers.thinned import thinned
from tfrobust_cli.main import app

# Arguments with which a command is refused in the end, whatever value the option has.
CALLED = {
    "attack": ("d1", "--attack", "fgsm", "--out", "run", "--split", "nowhere"),
    "evaluate": ("d1", "--out", "run", "--split", "nowhere"),
    "diagnose": ("d1", "--eps", "0.1", "--out", "run", "--split", "nowhere"),
    "certify": (
        "d1",
        "--certifier",
        "smoothing",
        "--eps",
        "0.1",
        "--out",
        "run",
        "--split",
        "nowhere",
    ),
    "plan evaluate": ("d1", "--split", "nowhere"),
    "train": ("linear", "--scenario", "circles", "--epochs", "1", "--name", "../up"),
    "export": ("d1", "a_file"),
    "serve": ("nowhere",),
    "streams": ("d1", "--out", "run"),
    "summary": ("nowhere",),
    "report": ("nowhere",),
    "leaderboard": ("nowhere", "--out", "run"),
    "doctor": ("nowhere",),
    "check": ("nowhere", "--no-masking"),
    "plugins": ("nowhere",),
    "data prepare": ("digits",),
    "data show": ("digits", "--out", "grid.png", "--split", "nowhere"),
    "study list": ("nowhere",),
    "study show": ("nowhere",),
    "study report": ("nowhere",),
    "study run": ("quantized-dropout", "--scale", "nowhere", "--out", "run"),
}
VALUES = (
    "-1",
    str(10**30),
    "nan",
    "\x1b[2Jx=\n",
    "../" * 9 + "x",
    "{",
    "x" * 5000,
    "\u202e,\u202e",
)


def options(group, path=()):
    """Yield `(command, option)` of every option that takes a value, by its longest name."""
    for parameter in group.params:
        if path and parameter.opts[0].startswith("-") and not parameter.is_flag:
            yield " ".join(path), max(parameter.opts, key=len)
    for name, command in getattr(group, "commands", {}).items():
        yield from options(command, (*path, name))


# A demo accepts any name for its folder.
OPTIONS = [option for option in options(typer.main.get_command(app)) if option != ("demo", "--out")]


@pytest.fixture(scope="module")
def run(tmp_path_factory, stored):
    """Call the command line in a fresh folder."""
    return Runner(tmp_path_factory.mktemp("options"), stored)


def test_the_options_of_all_commands_are_found():
    assert {command for command, _ in OPTIONS} <= set(CALLED)
    assert len(OPTIONS) > 70
    assert ("evaluate", "--batch-size") in OPTIONS


@pytest.mark.parametrize(
    ("command", "option"),
    thinned((pytest.param(*option, id=" ".join(option)) for option in OPTIONS), one_in=6),
)
def test_an_option_given_nonsense_costs_one_line(run, command, option):
    place = OPTIONS.index((command, option))
    given = CALLED[command]
    if option in given:
        at = given.index(option)
        given = (*given[:at], *given[at + 2 :])
    for value in (VALUES[place % len(VALUES)], VALUES[(place + 3) % len(VALUES)]):
        check_refused(run(*command.split(), *given, option, value))
