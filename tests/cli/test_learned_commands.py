"""What an attack learns: learned again, stored, served, loaded and printed."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import small_model
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.files.arrays import read_arrays
from tfrobust.registry import create
from tfrobust.store.models import export

TINY = ("filters=2", "blocks=0", "passes=1", "training_images=50", "eps=0.1")


def tiny(*more):
    return [part for option in (*TINY, *more) for part in ("-p", option)]


def run(tfrobust, *arguments, code=0):
    result = tfrobust(*arguments, "--limit", 10)
    assert result.code == code, result.err
    return result


def pattern(path):
    return read_arrays(Path(path))["perturbation"]


@pytest.fixture
def two(with_store):
    """A store of two classifiers, `d1` and `d2`."""
    export(KerasClassifier(small_model((8, 8, 1), 10)), with_store / "saved_models/d2/1")
    return with_store


@pytest.mark.parametrize(
    ("classifier", "options"),
    [
        ("d1", ["passes=2"]),
        pytest.param("d1", ["loss=least_likely"], marks=pytest.mark.slow),
        pytest.param("d1", ["eps=0.2"], marks=pytest.mark.slow),
        pytest.param("d2", [], marks=pytest.mark.slow),
    ],
)
def test_force_learns_again_instead_of_reading_the_stored_pattern(
    tfrobust, two, classifier, options
):
    run(tfrobust, "attack", "d1", "--attack", "gap", "--out", "run", *tiny())
    stale = pattern("run/gap.npz")
    again = ["attack", classifier, "--attack", "gap", *tiny(*options)]
    run(tfrobust, *again, "--out", "run", "--force")
    run(tfrobust, *again, "--out", "fresh")
    assert np.array_equal(pattern("run/gap.npz"), pattern("fresh/gap.npz"))
    assert not np.array_equal(pattern("run/gap.npz"), stale)
    forced, fresh = (np.load(two / out / "adversarial/images.npy") for out in ("run", "fresh"))
    assert np.array_equal(forced, fresh)


def test_a_given_file_is_used_and_its_source_classifier_is_printed(tfrobust, two):
    run(tfrobust, "attack", "d1", "--attack", "gap", "--out", "run", *tiny())
    before = (two / "run/gap.npz").read_bytes()
    given = tiny("file=run/gap.npz", "passes=3")
    result = run(tfrobust, "attack", "d2", "--attack", "gap", "--out", "moved", *given)
    line = (
        "gap: read from run/gap.npz, learned on saved_models/d1/1: another classifier than d2; "
        "with passes=1 (here: 3)"
    )
    assert line in " ".join(result.err.split())
    assert (two / "run/gap.npz").read_bytes() == before
    assert not (two / "moved/gap.npz").exists()
    images, clean = (np.load(two / f"moved/adversarial/{name}.npy") for name in ("images", "clean"))
    reach = np.abs(images - clean).max()
    assert reach == pytest.approx(np.abs(pattern("run/gap.npz")).max(), abs=1e-6)
    result = run(
        *(tfrobust, "evaluate", "d1", "--attack", "gap", "--out", "own", "--no-baselines"),
        *tiny("file=run/gap.npz"),
    )
    assert "learned on saved_models/d1/1" in result.err
    assert "another classifier" not in result.err


def test_an_interrupted_attack_goes_on_without_learning_again(tfrobust, with_store, monkeypatch):
    plugin = type(create("attacks", "gap"))
    plain = plugin.apply

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    arguments = ["attack", "d1", "--attack", "gap", "--out", "run", *tiny()]
    monkeypatch.setattr(plugin, "apply", interrupted)
    assert tfrobust(*arguments).code not in (0, None)
    monkeypatch.setattr(plugin, "apply", plain)
    monkeypatch.setattr(plugin, "learn", interrupted)
    run(tfrobust, *arguments)
    assert {path.name for path in (with_store / "run").iterdir()} >= {"gap.npz", "results.json"}
    assert not list((with_store / "run").glob(".tfrobust*"))
    results = json.loads((with_store / "run/results.json").read_text())
    assert results["evaluations"][0]["attacks"][0]["gradients_per_image"] > 0


@pytest.mark.parametrize("mode", [pytest.param("universal", marks=pytest.mark.slow), "image"])
def test_a_learned_gap_generator_is_served(tfrobust, with_store, mode):
    options = tiny(f"mode={mode}")
    run(
        *(tfrobust, "attack", "d1", "--attack", "gap", "--out", "run", "--export", "served/gap"),
        *options,
    )
    folder = with_store / "run/adversarial"
    kept = {name: np.load(folder / f"{name}.npy") for name in ("images", "clean")}
    served = tf.saved_model.load("served/gap/1").signatures["serving_default"]
    adversarial = served(images=tf.constant(kept["clean"]))["adversarial"].numpy()
    assert adversarial == pytest.approx(kept["images"], abs=1e-6)
    assert np.abs(adversarial - kept["clean"]).max() > 0.01
    run(
        *(tfrobust, "attack", "d1", "--attack", "gap", "--out", "again", "--export", "served/gap"),
        *tiny(f"mode={mode}", "file=run/gap.npz"),
    )
    assert (with_store / "served/gap/2/saved_model.pb").exists()


@pytest.mark.parametrize(("same", "known_as"), [("d1", "d1"), ("saved_models/d1/1", "d1/1")])
def test_attacking_the_same_classifier_again_costs_one_line(tfrobust, with_store, same, known_as):
    result = run(
        *(tfrobust, "evaluate", same, "--crafted-on", "d1", "--reattack", "--attack", "fgsm"),
        *("--out", "run"),
        code=2,
    )
    assert "reattack: expected a classifier to attack again beside d1" in result.err
    assert f"received: {known_as}, the same" in " ".join(result.err.split())
    assert not (with_store / "run").exists()


@pytest.mark.slow
def test_reattack_keeps_the_patterns_of_both_classifiers(tfrobust, two):
    given = ["--attack", "gap", "--crafted-on", "d1", "--no-baselines", *tiny()]
    run(tfrobust, "evaluate", "d2", "--reattack", "--out", "run", *given)
    before, again = (pattern(two / f"run/gap-{name}.npz") for name in ("d1", "d2"))
    assert not np.array_equal(before, again)
    run(tfrobust, "attack", "d2", "--attack", "gap", "--out", "alone", *tiny())
    assert np.array_equal(pattern(two / "alone/gap.npz"), again)
    run(tfrobust, "evaluate", "d2", "--out", "transfer", *given)
    assert not list((two / "transfer").glob("gap*"))
