"""`tfrobust export` of a defence alone and of LiteRT files, as a user types it."""

import json
import shutil

import pytest

UNTRAINED = ("--epochs", 0, "-p", "calibrater.size_ratio=0.5")


@pytest.fixture(scope="module")
def calibrated(stored, tmp_path_factory):
    """A store with `d1`, and `d1-turned`, a calibrater learned for it."""
    from tfrobust import store
    from tfrobust.data.names import open_scenario
    from tfrobust.pipeline.deployed import Deployed
    from tfrobust.pipeline.plans import TrainingPlan
    from tfrobust.pipeline.stored_training import run_training
    from tfrobust.registry import create
    from tfrobust.training.trainer import Trainer, TrainingOptions

    root = tmp_path_factory.mktemp("calibrated") / "saved_models"
    shutil.copytree(stored, root)
    plan = TrainingPlan(
        Deployed("d1", store.load("d1", root=root)),
        open_scenario("digits+rotation"),
        [create("defenses", "calibrater", size_ratio=0.5)],
        scenario_name="digits+rotation",
    )
    run_training(plan, "d1-turned", Trainer(TrainingOptions(epochs=1)), root=root)
    return root


@pytest.fixture
def both(here, calibrated, monkeypatch):
    """A folder to work in, and the store with both."""
    monkeypatch.setenv("TFROBUST_MODELS", str(calibrated))
    return here


def test_the_calibrater_is_served_alone(tfrobust, both):
    result = tfrobust("export", "d1-turned", "served", "--only", "calibrater")
    assert result.code == 0, result.err
    assert result.out.strip() == "served/1"
    assert (both / "served/1/saved_model.pb").exists()


@pytest.mark.slow
def test_the_calibrater_is_exported_in_8_bits_and_compared_with_float32(tfrobust, both):
    command = ("export", "d1-turned", "served", "--only", "calibrater", "--format", "tflite")
    result = tfrobust(*command, "--quantize", "int8", "--json")
    assert result.code == 0, result.err
    assert not result.err.strip()
    exported = json.loads(result.out)
    assert exported["path"] == "served/1/model.tflite"
    bare, exact, small = exported["measured"]
    assert [bare["name"], exact["name"], small["name"]] == ["none", "float32", "int8"]
    assert small["megabytes"] < exact["megabytes"]
    assert abs(small["accuracy"] - exact["accuracy"]) < 0.1
    card = json.loads((both / "served/1/assets.extra/tfrobust.json").read_text())
    assert card["image_shape"] == [8, 8, 1]
    result = tfrobust(*command, "--quantize", "int8", "--images", 30)
    assert "without it" in result.out
    assert "served/2/model.tflite" in result.out


def test_a_whole_classifier_is_exported_to_litert_too(tfrobust, both):
    result = tfrobust(
        "export", "d1", "lite", "--format", "tflite", "--scenario", "digits", "--json"
    )
    assert result.code == 0, result.err
    (measured,) = json.loads(result.out)["measured"]
    assert measured["name"] == "float32"
    assert measured["accuracy"] > 0.8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("d1", "--only", "calibrater"), ["received: 'calibrater' of one with defences: none"]),
        (("d1-turned", "--only", "calibrator"), ["did you mean 'calibrater'"]),
        (("d1-turned", "--only", "mc_dropout"), ["'mc_dropout' of one with defences: calibrater"]),
        (("d1-turned", "--quantize", "int8"), ["--quantize: expected --format tflite"]),
        (("d1-turned", "--only", "calibrater", "--defense", "mc_dropout"), ["leave out --defense"]),
        (
            ("d1", "--format", "tflite", "--detector", "mahalanobis", "--attack", "pgd"),
            ["--format tflite: has logits only"],
        ),
        (
            ("d1-turned", "--only", "calibrater", "--scenario", "digits", "-p", "digits.size=9"),
            ["images: expected (9, 9, 1); received: (8, 8, 1)"],
        ),
    ],
)
def test_mistakes_cost_one_line_and_leave_nothing(tfrobust, both, arguments, words):
    name, *rest = arguments
    result = tfrobust("export", name, "served", *rest)
    assert result.code in (1, 2)
    assert len(result.err.strip().splitlines()) == 1, result.err
    for word in words:
        assert word in result.err
    assert not (both / "served").exists()


def test_a_network_without_a_known_scenario_needs_one_for_8_bits(tfrobust, both, calibrated):
    from helpers.support import small_model

    small_model().save(both / "small.keras")
    command = ("export", "small.keras", "served", "--format", "tflite")
    result = tfrobust(*command, "--quantize", "int8")
    assert result.code == 2
    assert "quantize: expected a scenario" in result.err
    result = tfrobust(*command, "--json")
    assert json.loads(result.out)["measured"][0]["accuracy"] is None


def test_without_a_readable_scenario_only_the_accuracy_is_not_measured(
    tfrobust, both, calibrated, monkeypatch
):
    root = both / "moved"
    shutil.copytree(calibrated, root)
    for card in root.glob("d1*/1/assets.extra/tfrobust.json"):
        card.write_text(json.dumps(json.loads(card.read_text()) | {"scenario": "images"}))
    monkeypatch.setenv("TFROBUST_MODELS", str(root))
    command = ("export", "d1", "lite", "--format", "tflite", "--json")
    result = tfrobust(*command)
    assert result.code == 0, result.err
    assert result.err.startswith("accuracy is not measured: ")
    assert json.loads(result.out)["measured"][0]["accuracy"] is None
    result = tfrobust(*command, "--quantize", "int8")
    assert result.code == 2
    assert "quantize: expected a scenario" in result.err


def test_without_the_deployed_classifier_the_calibrater_cannot_be_separated(
    tfrobust, both, calibrated, monkeypatch
):
    root = both / "moved"
    shutil.copytree(calibrated, root)
    plan = root / "d1-turned.training/plan.json"
    plan.write_text(plan.read_text().replace(str(calibrated / "d1"), str(root / "gone")))
    (root / "d1-turned.training/model.keras").unlink(missing_ok=True)
    monkeypatch.setenv("TFROBUST_MODELS", str(root))
    result = tfrobust("export", "d1-turned", "served", "--only", "calibrater")
    assert result.code == 2
    assert "cannot be separated; export it where it was trained" in result.err


@pytest.mark.slow
def test_a_compressed_network_shows_its_size(tfrobust, with_store):
    result = tfrobust(
        "train", "lenet", "--epochs", 0, "--name", "small", "--defense", "deep_compression",
        "-p", "bits=2", "-p", "prune_epochs=0", "-p", "tune_epochs=0",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert " MB" in result.out
    size = float(result.out.split()[-2])
    result = tfrobust("summary", "small", "--json")
    assert json.loads(result.out)["totals"]["compressed"] == f"{size:.3g} MB"
    result = tfrobust("train", "small", "--only", "calibrater", "--name", "both", *UNTRAINED)
    assert result.code == 0, result.err
    assert float(result.out.split()[-2]) > size
