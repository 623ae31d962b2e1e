"""Options are checked when a plugin is built, and the complaint is one line."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import pytest

from tfrobust.errors import RobustError, UsageError, did_you_mean, one_line
from tfrobust.option_tables import describe
from tfrobust.options import build, option, plugin, record
from tfrobust.registry import create


@plugin
class Everything:
    """Options of every type."""

    eps: float = option("radius", default=0.1, ge=0, le=1)
    steps: int = option("how many", default=10, ge=1, multiple_of=2)
    norm: Literal["linf", "l2"] = option("of the ball", default="linf")
    targeted: bool = option("towards a class", default=False)
    path: Path | None = option("a file", default=None)
    more: dict[str, Any] | None = option("others", default=None)


def test_strings_of_the_command_line_become_values():
    built = build(
        Everything,
        "it",
        {
            "eps": "0.5",
            "steps": "4",
            "norm": "l2",
            "targeted": "true",
            "path": "a/b",
            "more": '{"a": 1}',
        },
    )
    assert built == Everything(
        eps=0.5, steps=4, norm="l2", targeted=True, path=Path("a/b"), more={"a": 1}
    )
    assert build(Everything, "it", {"path": "none", "more": "None"}) == Everything()


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"eps": -1}, "it: eps: .*greater than or equal to 0; received: -1"),
        ({"eps": "-0.1"}, "it: eps: .*received: '-0.1'"),
        ({"eps": float("nan")}, "it: eps: .*finite.*received: nan"),
        ({"eps": "nan"}, "it: eps: .*received: 'nan'"),
        ({"eps": "inf"}, "it: eps: .*received: 'inf'"),
        ({"eps": "abc"}, "it: eps: .*valid number.*received: 'abc'"),
        ({"eps": 1.5}, "it: eps: .*less than or equal to 1"),
        ({"eps": None}, "it: eps: .*received: None"),
        ({"steps": 0}, "it: steps: .*greater than or equal to 1"),
        ({"steps": 3}, "it: steps: .*multiple of 2"),
        ({"steps": 2.5}, "it: steps: .*received: 2.5"),
        ({"norm": "l3"}, "it: norm: .*'linf' or 'l2'; received: 'l3'"),
        ({"targeted": "perhaps"}, "it: targeted: .*received: 'perhaps'"),
        ({"more": "{not json"}, "it: more: .*received"),
        ({"stps": 3}, r"it has no option 'stps'; did you mean 'steps'\? \(it has: eps, steps"),
        ({"zzzzz": 3}, r"it has no option 'zzzzz' \(it has: eps, steps"),
    ],
)
def test_values_out_of_range_and_unknown_names_are_refused_in_one_line(values, complaint):
    with pytest.raises(UsageError, match=complaint) as refusal:
        build(Everything, "it", values)
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("eps", [-0.1, float("nan"), float("inf"), "abc", None])
def test_no_budget_of_an_attack_is_negative_or_no_number(eps):
    with pytest.raises(UsageError, match=r"pgd: eps: "):
        create("attacks", "pgd", eps=eps)


def test_a_plugin_is_frozen_keyword_only_and_hashable():
    built = Everything()
    with pytest.raises(dataclasses.FrozenInstanceError):
        built.eps = 0.2
    with pytest.raises(Exception, match=r"positional"):
        Everything(0.2)
    assert create("attacks", "pgd") == create("attacks", "pgd")
    assert len({create("attacks", "pgd"), create("attacks", "pgd")}) == 1


def test_an_option_table_says_name_type_default_and_range():
    lines = {line.name: line for line in describe(Everything)}
    assert list(lines) == ["eps", "steps", "norm", "targeted", "path", "more"]
    assert (lines["eps"].type, lines["eps"].default) == ("float", 0.1)
    assert lines["eps"].range == "≥ 0, ≤ 1"
    assert lines["steps"].range == "≥ 1, multiple of 2"
    assert lines["norm"].type == "linf | l2"
    assert lines["path"].type == "Path | none"
    assert lines["eps"].help == "radius"


def test_options_that_a_plugin_inherits_from_the_core_are_last_in_the_table():
    names = [line.name for line in describe(type(create("attacks", "mim")))]
    assert (names[0], names[-2:]) == ("eps", ["region", "samples"])


def test_a_record_is_plain_json_and_builds_the_same_plugin_again():
    built = Everything(path=Path("x"), more={"k": [1, 2]})
    text = json.dumps(record(built), allow_nan=False)
    assert build(Everything, "it", json.loads(text)) == built


def test_an_error_is_one_line_however_much_its_cause_says():
    assert one_line("  \n first \n second") == "first"
    assert one_line(ValueError()) == "ValueError"
    assert len(one_line("x" * 1000)) == 300
    assert issubclass(UsageError, RobustError)


def test_only_a_near_name_is_suggested():
    assert did_you_mean("fsgm", ["fgsm", "pgd"]) == "; did you mean 'fgsm'?"
    assert did_you_mean("pgd", ["fgsm", "pgd_training"]) == "; did you mean 'pgd_training'?"
    assert did_you_mean("xylophone", ["fgsm", "pgd"]) == ""
