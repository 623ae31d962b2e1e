"""`tfrobust diagnose`, and what `evaluate` tells of masked gradients."""

import json

import pytest

from tfrobust.diagnosis import Diagnosis
from tfrobust.results.diagnosis import read_diagnosis

QUICK = ("--images", 40)


def test_a_diagnosis_is_printed_written_and_read_again(tfrobust, with_store):
    told = tfrobust("diagnose", "d1", "--eps", 0.1, *QUICK, "--out", "runs/d1", "--json")

    assert told.code == 0, told.err
    refused = tfrobust("diagnose", "d1", "--eps", 0.1, *QUICK, "--out", "runs/d1")
    assert "runs/d1: is not empty" in refused.err
    diagnosis = Diagnosis.model_validate_json(told.out)
    assert read_diagnosis(with_store / "runs/d1") == diagnosis
    assert diagnosis.lowest.accuracy <= diagnosis.attacked.accuracy <= diagnosis.clean.accuracy
    page = (with_store / "runs/d1/diagnosis.html").read_text(encoding="utf-8")
    assert all(finding.check in page for finding in diagnosis.findings)
    assert page.count("<script") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--eps'"),
        (("--eps", 0), "eps: expected more than 0"),
        (("--eps", 0.1, "--norm", "l0"), "norm: expected one of linf, l2, l1"),
        (
            ("--eps", 0.1, "--norm", "l2", "--attack", "uniform_noise"),
            "attack: uniform_noise works in linf, but l2 was asked for",
        ),
        (("--eps", 0.1, "--attack", "pgd", "-p", "eps=0.2"), "pgd has eps 0.2, but 0.1"),
        (("--eps", 0.1, "--attack", "pgd", "-p", "targeted=true"), "does not try to leave"),
    ],
)
def test_a_mistake_costs_one_line(tfrobust, with_store, arguments, message):
    told = tfrobust("diagnose", "d1", *arguments, "--out", "runs/d1")

    assert told.code == 2
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not (with_store / "runs/d1").exists()


@pytest.mark.looks_for_signs
def test_an_evaluation_says_what_its_gradients_are_worth(tfrobust, with_store):
    attack = ("--attack", "fgsm", "--eps", 0.1, "--limit", 40)

    told = tfrobust("evaluate", "d1", *attack, "--out", "runs/looked")
    tfrobust("evaluate", "d1", *attack, "--no-diagnosis", "--out", "runs/not")

    looked, not_looked = (
        json.loads((with_store / "runs" / name / "results.json").read_text())["evaluations"][0]
        for name in ("looked", "not")
    )
    assert "diagnosis of d1: nothing suspicious found by 5 checks" in told.out
    assert [f["verdict"] for f in looked["signs"]["findings"]] == ["fine"] * 5
    assert not_looked["signs"] is None
    assert looked["attacks"][0]["accuracy"] == not_looked["attacks"][0]["accuracy"]


def test_a_detector_is_attacked_with_the_classifier(tfrobust, with_store):
    asked = ("--eps", 0.15, "--detector", "feature_squeezing", *QUICK)

    told = tfrobust("diagnose", "d1", *asked, "--out", "runs/guarded", "--json")

    assert told.code == 0, told.err
    diagnosis = Diagnosis.model_validate_json(told.out)
    assert [defense.name for defense in diagnosis.defenses] == ["feature_squeezing"]
    assert diagnosis.of("rejection").verdict != "not applicable"
