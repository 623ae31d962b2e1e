"""`tfrobust train CLASSIFIER --only DEFENSE`, as a user types it."""

import json

import pytest

QUICK = ("--epochs", 1, "-p", "calibrater.size_ratio=0.5")


def test_a_calibrater_is_trained_for_a_stored_classifier_and_leaves_it_alone(tfrobust, with_store):
    before = {p: p.read_bytes() for p in (with_store / "saved_models/d1").rglob("*") if p.is_file()}
    scene = ("--scenario", "digits+rotation")
    result = tfrobust(
        "train", "d1", "--only", "calibrater", *scene, "--name", "d2", *QUICK, "--json"
    )
    assert result.code == 0, result.err
    card = json.loads(result.out)
    assert card["defenses"][0]["name"] == "calibrater"
    assert card["defenses"][0]["params"]["size_ratio"] == 0.5
    assert "d1" in card["model"]["deployed"]
    assert all(path.read_bytes() == content for path, content in before.items())
    both = ("evaluate", "d1", "d2", *scene, "--attack", "reverse_ifgsm", "--limit", 20)
    result = tfrobust(*both, "--out", "out", "--no-baselines", "--json")
    assert result.code == 0, result.err
    bare, calibrated = json.loads(result.out)["evaluations"]
    assert bare["attacks"][0]["accuracy"] >= bare["clean"]["accuracy"]
    assert bare["worst_case"] == bare["clean"]
    assert calibrated["classifier"]["defenses"][0]["name"] == "calibrater"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("d1", "--only", "calibrater"), ["--only: give the result a --name of its own"]),
        (("d1", "--only", "calibrator", "--name", "x"), ["did you mean 'calibrater'"]),
        (
            ("d1", "--only", "mc_dropout", "--name", "x"),
            ["mc_dropout trains nothing; expected a defence"],
        ),
        (
            ("d1", "--only", "calibrater", "--name", "x", "--defense", "mc_dropout"),
            ["--only: trains calibrater alone; leave out --defense"],
        ),
        (("d9", "--only", "calibrater", "--name", "x"), ["no classifier 'd9'"]),
        (
            ("d1", "--only", "calibrater", "--name", "x", "--scenario", "digits+b3"),
            ["no plugin shifts/b3"],
        ),
    ],
)
def test_mistakes_cost_one_line_and_leave_nothing(tfrobust, with_store, arguments, words):
    result = tfrobust("train", *arguments)
    assert result.code == 2, result.err
    assert len(result.err.strip().splitlines()) == 1
    for word in words:
        assert word in result.err
    assert not (with_store / "saved_models/x").exists()


def test_export_refuses_to_train(tfrobust, with_store):
    result = tfrobust("export", "d1", "served", "--defense", "calibrater")
    assert result.code == 2
    assert "calibrater trains a network of its own; give it to `tfrobust train`" in result.err
