"""Text from outside is shown as it is, except for unprintable characters."""

import os

import pytest

from tfrobust.errors import UsageError, printable
from tfrobust_cli.arguments import check_arguments


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe ñ 训练 ε", "Größe ñ 训练 ε"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eback", "\\u202eback"),
        ("\x00\x7f\x85", "\\x00\\x7f\\x85"),
        (os.fsdecode(b"a\xffb"), "a\\xffb"),
    ],
)
def test_unprintable_characters_are_spelled_out(text, shown):
    assert printable(text) == shown
    assert printable(text).encode("utf-8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["evaluate", "d1", "--out", ""], "--out: expected a value; received: an empty one"),
        (["evaluate", "d1", "--out="], "--out: expected a value"),
        (["export", "d1", ""], "argument: expected a value"),
        (["report", "a\udcff"], r"argument: expected .*; received: a\\xff; "),
    ],
)
def test_an_argument_that_is_empty_or_no_text_is_refused(arguments, says):
    with pytest.raises(UsageError, match=says):
        check_arguments(arguments)


def test_other_arguments_are_left_to_the_command():
    check_arguments(["train", "lenet", "-p", "weights=", "--param=a=", "--name=x", "-", "--"])
