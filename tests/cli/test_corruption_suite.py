"""`--suite corruptions`, `scenario+corruption.severity`, and names that two kinds share."""

import json

import pytest

from tfrobust.errors import UsageError
from tfrobust_cli.arguments import Parameters
from tfrobust_scenarios.suites import Corruptions

pytestmark = pytest.mark.usefixtures("no_progress_lines")


CLEAN = ("--clean-only", "--out", "run")
SUITE = ("evaluate", "d1", "--suite", "corruptions", "--out", "run")


SOME = {"contrast": {}, "fog": {}, "jpeg_compression": {}}


@pytest.mark.parametrize(
    ("members", "conditions"),
    [
        pytest.param(SOME, 1 + 3 * 5, id="three corruptions"),
        pytest.param(None, 76, id="all corruptions", marks=pytest.mark.slow),
    ],
)
def test_the_suite_prints_and_writes_the_mean_corruption_error(
    members, conditions, tfrobust, with_store, monkeypatch
):
    if members:
        monkeypatch.setattr(Corruptions, "members", members)
    result = tfrobust(*SUITE, "--limit", 10)
    assert result.code == 0, result.err
    assert "mCE" in result.out
    assert "jpeg compression" in result.out
    written = json.loads((with_store / "run/results.json").read_text())
    assert len(written["evaluations"]) == conditions
    assert 0 <= written["corruptions"][0]["mce"] <= 1
    assert "<svg" in (with_store / "run/report.html").read_text()
    before = (with_store / "run/report.html").read_text()
    assert tfrobust("report", "run").code == 0
    assert (with_store / "run/report.html").read_text() == before


def test_a_baseline_is_measured_too_and_its_errors_divide_the_others(
    tfrobust, with_store, monkeypatch
):
    monkeypatch.setattr(Corruptions, "members", {"contrast": {}, "fog": {}})
    result = tfrobust(*SUITE, "--limit", 10, "--normalise-by", "saved_models/d1/1", "--json")
    assert result.code == 0, result.err
    d1, baseline = json.loads(result.out)["corruptions"]
    assert (d1["classifier"], baseline["classifier"]) == ("d1", "d1/1")
    assert d1["baseline"] == "d1/1"
    assert d1["mce_ratio"] in (None, pytest.approx(1))


def test_a_corruption_at_a_severity_can_be_attacked_as_a_scenario(tfrobust, with_store):
    result = tfrobust(
        "evaluate", "d1", "--scenario", "digits+gaussian_noise.5", "--attack", "gaussian_noise",
        "-p", "gaussian_noise.eps=0.25", "--limit", 10, "--out", "run", "--no-baselines",
        "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    evaluation = json.loads(result.out)["evaluations"][0]
    assert evaluation["scenario"]["shift"] == "gaussian_noise.5"
    assert evaluation["attacks"][0]["params"]["eps"] == 0.25


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*SUITE, "--attack", "pgd", "--eps", "0.1"), ["leave out --attack, --eps"]),
        ((*SUITE, "--detector", "mixture"), ["leave out --detector"]),
        ((*SUITE, "--crafted-on", "d1"), ["leave out --crafted-on"]),
        ((*SUITE, "--scenario", "digits+fog.3"), ["without a shift", "digits+fog.3"]),
        ((*SUITE, "--normalise-by", "d2"), ["no classifier 'd2'"]),
        ((*SUITE, "-p", "fog.severity=2"), ["no plugin 'fog'"]),
        ((*SUITE, "--limit", "0"), ["limit"]),
        (("evaluate", "d1", "--normalise-by", "d1", "--out", "run"), ["--suite corruptions"]),
        (("evaluate", "d1", "--suite", "corruption", "--out", "run"), ["corruptions"]),
        (("evaluate", "d1", "--scenario", "digits+fog.6", *CLEAN), ["severity", "5", "6"]),
        (("evaluate", "d1", "--scenario", "digits+fog.x", *CLEAN), ["severity", "'x'"]),
    ],
)
def test_what_makes_no_sense_costs_one_line(tfrobust, with_store, arguments, words):
    result = tfrobust(*arguments)
    lines = result.err.strip().splitlines()
    assert (result.code, len(lines)) == (2, 1), result.err
    assert lines[0].startswith("error: ")
    assert all(word in lines[0] for word in words), lines[0]
    assert not (with_store / "run" / "results.json").exists()


SHARED = [("attacks", "gaussian_noise"), ("scenarios", "digits"), ("shifts", "gaussian_noise")]


def test_an_option_that_one_of_two_namesakes_has_needs_no_kind():
    dealt = Parameters(["gaussian_noise.severity=2", "gaussian_noise.eps=0.3"], SHARED)
    assert dealt.all() == {"gaussian_noise": {"severity": "2"}}
    assert dealt.of("gaussian_noise", "attacks") == {"eps": "0.3"}
    assert dealt.build("attacks", "gaussian_noise").eps == 0.3
    assert dealt.build("shifts", "gaussian_noise").severity == 2
    assert Parameters(["severity=2"], SHARED).all() == {"gaussian_noise": {"severity": "2"}}


def test_the_kind_tells_namesakes_apart():
    dealt = Parameters(["shifts/gaussian_noise.severity=2"], SHARED)
    assert dealt.build("shifts", "gaussian_noise").severity == 2
    assert dealt.of("gaussian_noise", "attacks") == {}
    with pytest.raises(
        UsageError,
        match=r"which one\? write -p attacks/gaussian_noise.no=… or -p shifts/gaussian_noise.no=…",
    ):
        Parameters(["gaussian_noise.no=1"], SHARED)
    with pytest.raises(UsageError, match=r"no plugin 'models/gaussian_noise'"):
        Parameters(["models/gaussian_noise.severity=2"], SHARED)
