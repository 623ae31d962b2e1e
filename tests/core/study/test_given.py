"""Options and files that a command gives, and what a scale lacks."""

import pytest

from helpers.small_study import SMALL
from tfrobust.errors import UsageError
from tfrobust.study.cells import trainings
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.cells.given import apply_given, declared_weights, scenarios_of
from tfrobust.study.cells.missing import missing
from tfrobust.study.cells.places import Given
from tfrobust.study.rebuild import StudySettings, run_study
from tfrobust.study.schema.files import find_study

PRETRAINED = SMALL.text.replace(
    'model = "fully_connected"\noptions = { units = 4 }',
    'model = "resnet18"\noptions = { weights = "nets/start.pth", head = "new" }',
).replace("minutes = 1", 'minutes = 1\nfetch = { "nets/start.pth" = "the file of the paper" }', 1)


@pytest.fixture
def pretrained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return SMALL.written(tmp_path, PRETRAINED)


def test_an_option_enters_the_key_and_a_path_does_not(tmp_path):
    study, _ = find_study("contextual-fusion")
    keys = [cell.key for cell in cells_of(study, "paper")]
    moved, given = apply_given(study, "paper", {"coco": {"path": str(tmp_path)}})
    assert given.places == {"coco": {"path": str(tmp_path)}}
    assert [cell.key for cell in cells_of(moved, "paper", given)] == keys
    changed, given = apply_given(study, "paper", {"coco": {"classes": "12"}})
    assert not given.places
    assert changed.scales["paper"].scenario_options["coco"] == {"classes": 12, "size": 224}
    assert {cell.key for cell in cells_of(changed, "paper", given)}.isdisjoint(keys[:1])


def test_the_scenarios_that_options_may_be_given_for_are_those_of_the_scale():
    study, _ = find_study("contextual-fusion")
    assert set(scenarios_of(study, "paper")) >= {("scenarios", "coco"), ("scenarios", "cifar10")}
    assert ("shifts", "b2") in scenarios_of(find_study("calibrater")[0], "paper")


def test_weights_are_given_by_network_or_by_the_name_of_their_file(pretrained, tmp_path):
    assert declared_weights(cells_of(pretrained, "tiny")) == {"small": "nets/start.pth"}
    for name in ("start.pth", "other.pth"):
        (tmp_path / name).write_bytes(b"")
    keys = [cell.key for cell in cells_of(pretrained, "tiny")]
    for given_text in ("start.pth", "small=other.pth"):
        study, given = apply_given(pretrained, "tiny", {}, [given_text])
        cell, *_ = cells = cells_of(study, "tiny", given)
        assert [cell.key for cell in cells] == keys
        assert cell.builder().weights == str(tmp_path / given_text.removeprefix("small="))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (["large=start.pth"], r"'large' is no network that starts from weights.*these do: small"),
        (["smal=start.pth"], r"did you mean 'small'"),
        (["begin.pth"], r"no network starts from a file 'begin.pth'"),
        (["small=none.pth"], r"there is no such file"),
        (["small=start.pth", "start.pth"], r"small is given two files"),
    ],
)
def test_weights_that_fit_nothing_cost_one_line(pretrained, tmp_path, weights, message):
    (tmp_path / "start.pth").write_bytes(b"")
    with pytest.raises(UsageError, match=message) as refusal:
        apply_given(pretrained, "tiny", {}, weights)
    assert "\n" not in str(refusal.value)


def test_what_is_missing_is_said_before_anything_is_trained(pretrained, tmp_path, monkeypatch):
    monkeypatch.setattr(trainings, "run_training", lambda *_: pytest.fail("trained"))
    lines = []
    with pytest.raises(UsageError, match=r"small-study cannot run at scale tiny: weights of small"):
        run_study(pretrained, "tiny", tmp_path / "out", tmp_path / "results", log=lines.append)
    assert lines == [
        "missing: weights of small: nets/start.pth is not there; fetch the file of the paper, and "
        "give --weights small=FILE"
    ]
    (tmp_path / "start.pth").write_bytes(b"")
    given = Given(weights={"small": "start.pth"})
    assert missing(cells_of(pretrained, "tiny", given)) == []


def test_missing_data_are_named_with_what_to_fetch(tmp_path):
    text = SMALL.text.replace('scenario = "digits"', 'scenario = "coco"', 1)
    text = text.replace("minutes = 1", 'minutes = 1\nfetch = { coco = "train2017.zip" }', 1)
    study = SMALL.written(tmp_path, text)
    given = Given(places={"coco": {"path": str(tmp_path / "nowhere")}})
    (line,) = missing(cells_of(study, "tiny", given))
    assert line.startswith("data of coco: ")
    assert line.endswith("; fetch train2017.zip")


def test_nothing_is_missing_of_what_comes_with_the_package(study):
    assert missing(cells_of(study, "tiny")) == []


def test_the_command_that_cells_record_names_options_and_no_places(tmp_path):
    options = {"coco": {"classes": "12", "path": "/data"}}
    settings = StudySettings(study="s", scale="paper", options=options, weights=("a=b.pth",))
    given = Given(places={"coco": {"path": "/data"}}, weights={"a": "b.pth"})
    assert settings.command(tmp_path / "o", given).endswith("/o -p coco.classes=12")
