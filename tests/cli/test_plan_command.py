"""`tfrobust plan evaluate`: one table or JSON, and one line for what it does not predict."""

import dataclasses
import json

import pytest

from helpers.commands import one_line
from tfrobust.environment.durations import duration
from tfrobust_cli.options.evaluate import EvaluatedOptions
from tfrobust_cli.options.evaluate_run import EvaluateOptions

PLAN = ("plan", "evaluate", "d1", "--limit", "16", "--no-baselines")


def test_a_plan_shows_each_attack_and_all_of_them(with_store, tfrobust):
    result = tfrobust(*PLAN, "--attack", "fgsm", "--eps", "0.1", "--eps", "0.2")
    assert result.code == 0, result.err
    for words in ("fgsm ε=0.1", "fgsm ε=0.2", "clean images", "measured", "projected", "on 64"):
        assert words in result.out
    assert not (with_store / "runs").exists()


def test_json_keeps_what_was_measured_and_what_is_projected_apart(with_store, tfrobust):
    options = ("--attack", "fgsm", "--devices", "2", "--devices", "16", "--json")
    plan = json.loads(tfrobust(*PLAN, *options).out)
    assert [projection["devices"] for projection in plan["projections"]] == [2, 16]
    assert [step["title"] for step in plan["steps"]] == ["clean images", "fgsm ε=0.1"]
    assert plan["images"] == 16


def test_plan_takes_the_options_of_evaluate_but_those_of_its_output_and_of_what_is_beside_attacks():
    names = [
        {field.name for field in dataclasses.fields(options)}
        for options in (EvaluateOptions, EvaluatedOptions)
    ]
    assert names[0] - names[1] == {"out", "force", "certifier", "tracker"}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("--suite", "corruptions"), ("does not predict --suite corruptions",)),
        (("--attack", "fgsm", "--detector", "variance_logistic"), ("--detector", "leave it out")),
        (("--attack", "fgsm", "--crafted-on", "d1", "--reattack"), ("--reattack",)),
        (("--attack", "pdg"), ("pdg", "pgd")),
        (("--out", "run"), ("--out",)),
        (("--devices", "0"), ("--devices",)),
    ],
    ids=" ".join,
)
def test_what_cannot_be_planned_costs_one_line(with_store, tfrobust, typed, words):
    one_line(tfrobust(*PLAN, *typed), 2, *words)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (119.9, "119.9 s"), (600, "10 min"), (36_000, "10.0 h"), (9e6, "2,500.0 h")],
)
def test_a_duration_has_the_unit_that_suits_it(seconds, text):
    assert duration(seconds) == text
