"""`tfrobust report`: pages again, a comparison, and the formats of other tools."""

import json
import shutil

import pytest


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a run of two budgets, made once."""
    return tmp_path_factory.mktemp("report") / "run"


@pytest.fixture
def folder(tfrobust, with_store, made):
    if not made.exists():
        asked = ("--attack", "fgsm", "--eps", "0.05", "--eps", "0.1", "--limit", "40")
        assert tfrobust("evaluate", "d1", *asked, "--out", made).code == 0
    shutil.copytree(made, with_store / "run")
    return with_store


@pytest.mark.parametrize("kind", ["md", "latex", "csv", "json", "junit", "robustbench"])
def test_other_formats_are_printed_or_written(tfrobust, folder, kind):
    printed = tfrobust("report", "run", "--format", kind)
    assert (printed.code, printed.err) == (0, "")
    assert "fgsm" in printed.out or json.loads(printed.out)[0]["name"] == "d1"
    assert tfrobust("report", "run", "--format", kind, "--out", "it").out == "it\n"
    assert (folder / "it").read_text() == printed.out
    again = tfrobust("report", "run", "--format", kind, "--out", "it")
    assert again.code == 2
    assert "--force" in again.err


def test_two_runs_are_compared_on_a_page_of_their_own(tfrobust, folder):
    shutil.copytree(folder / "run", folder / "again")
    printed = tfrobust("report", "run", "again", "--out", "both.html")
    assert printed.code == 0, printed.err
    assert "McNemar" in printed.out
    page = (folder / "both.html").read_text()
    assert "worst case of these" in page
    assert "No difference is beyond chance" in page
    assert page.count("<script") == 1
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "run", "--format", "csv"), "expected one run; received: 2"),
        (("run", "--out", "page.html"), "the page that compares two runs; received: 1 run"),
        (("run", "--format", "md", "--out", "no/where.md"), "there is no folder no"),
    ],
)
def test_what_has_no_use_is_refused(tfrobust, folder, arguments, says):
    refused = tfrobust("report", *arguments)
    assert refused.code == 2
    assert says in refused.err
    assert refused.err.count("\n") == 1


def test_check_ends_with_5_where_something_does_not_hold(tfrobust, folder):
    holds = tfrobust("check", "run", "--min", "clean >= 0.5", "--junit", "junit.xml")
    assert (holds.code, holds.err) == (0, "")
    assert "all 1 hold" in holds.out
    [checked] = json.loads(tfrobust("check", "run", "--min", "clean >= 0.5", "--json").out)
    assert (checked["classifier"], checked["asked"]) == ("d1", "clean >= 0.5")
    assert checked["holds"] is True
    assert (folder / "junit.xml").read_text().startswith("<?xml")
    arguments = ("--min", "accuracy@linf=0.1 >= 0.99", "--max-drop-from", "run", "0.02")
    fails = tfrobust("check", "run", *arguments, "--summary", "summary.md")
    assert fails.code == 5
    assert fails.err.startswith("error: 1 of ")
    assert "d1: accuracy@linf=0.1 >= 0.99: accuracy@linf=0.1" in fails.err
    assert "| FAILS |" in (folder / "summary.md").read_text()
    nothing = tfrobust("check", "run")
    assert (nothing.code, nothing.err.count("\n")) == (2, 1)
