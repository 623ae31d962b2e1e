"""Terminals and files that cannot show every character get a simpler one, and never a traceback."""

import functools
import json

import pytest

from helpers.fuzz_runs import Runner, check_sane

ATTACK = ("evaluate", "d1", "--out", "run", "--limit", "4", "--no-baselines")
EVALUATE = (*ATTACK, "--clean-only")


@pytest.fixture(scope="module", params=["ascii", "cp1252"])
def run(request, tmp_path_factory, stored):
    """Call the command line where stdout and stderr have a small character set."""
    return Runner(tmp_path_factory.mktemp("plain"), stored, request.param)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, stored):
    """Call the command line where everything can be shown; each command once."""
    return functools.cache(Runner(tmp_path_factory.mktemp("utf-8"), stored))


@pytest.mark.parametrize(
    "command",
    [
        ("plugins",),
        ("plugins", "show", "attacks/pgd"),
        pytest.param(("plugins", "show", "shifts/fog"), marks=pytest.mark.slow),
        ("summary", "lenet_bnn"),
        ("study", "show", "quantized-dropout"),
        pytest.param(("study", "show", "contextual-fusion"), marks=pytest.mark.slow),
        ("doctor",),
        ("--help",),
        pytest.param(("evaluate", "--help"), marks=pytest.mark.slow),
        ("plan", "evaluate", "--help"),
    ],
    ids=" ".join,
)
def test_every_table_is_shown_in_any_terminal_encoding(run, whole, command):
    result = run(*command)
    check_sane(result)
    assert result.code == 0, result
    assert result.out.count("?") == whole(*command).out.count("?"), "a character was lost"


def test_results_are_shown_after_the_work(run):
    result = run(*ATTACK, "--attack", "fgsm")
    check_sane(result)
    assert result.code == 0, result
    assert "fgsm" in result.out
    assert "%" in result.out


def test_json_output_is_valid_in_any_encoding(run, whole):
    command = (*ATTACK, "--attack", "fgsm", "--json")
    shown, read = run(*command), whole(*command)
    assert shown.out.isascii()
    assert json.loads(shown.out)["run"] == json.loads(read.out)["run"]


def test_a_message_quotes_what_cannot_be_shown(run):
    result = run("train", "größe-训练")
    assert result.code == 2
    assert "-\\u8bad\\u7ec3 (`tfrobust plugins models` lists" in check_sane(result)


def test_replacement_characters_are_those_that_people_would_write(tmp_path_factory, stored):
    run = Runner(tmp_path_factory.mktemp("ascii"), stored, "ascii")
    shown = run("plugins", "show", "shifts/fog").out
    assert shown.isascii()
    assert ">= 1, <= 5" in shown
    assert "+--" in shown.replace("|--", "+--")


def test_json_output_is_the_same_in_every_encoding(run, whole):
    command = ("plugins", "show", "attacks/pgd", "--json")
    assert json.loads(run(*command).out) == json.loads(whole(*command).out)


def test_a_class_of_any_name_is_drawn(run):
    result = run("data", "show", "images", "--out", "grid.png", "-p", "path=odd_names")
    assert result.code == 0, result
    assert "home/grid.png" in result.new
