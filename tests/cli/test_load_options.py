"""Options that describe a file, and messages about it: `--to-logits`, `--pixel-range`, …"""

import json
import sys

import keras
import numpy as np
import pytest

from tfrobust import store

pytestmark = pytest.mark.usefixtures("no_progress_lines")


EVALUATE = ("--clean-only", "--out", "run", "--limit", 60, "--json", "--force")


def clean(result):
    """Return the clean accuracy of each classifier that was evaluated."""
    assert result.code == 0, result.err
    evaluations = json.loads(result.out)["evaluations"]
    return {
        evaluation["classifier"]["name"]: evaluation["clean"]["accuracy"]
        for evaluation in evaluations
    }


def behind(trained, *layers, shape=(8, 8, 1)):
    """Return the small network with layers before it."""
    copy = keras.models.clone_model(trained.model)
    copy.set_weights(trained.model.get_weights())
    return keras.Sequential([keras.Input(shape), *layers, copy])


@pytest.fixture
def expected(tfrobust, with_store):
    return clean(tfrobust("evaluate", "d1", *EVALUATE))["d1"]


def test_pixels_of_0_to_255_are_suspected_and_the_advice_is_right(
    tfrobust, with_store, trained, expected
):
    behind(trained, keras.layers.Rescaling(1 / 255)).save("bytes.keras")
    result = tfrobust("evaluate", "bytes.keras", *EVALUATE)
    assert clean(result)["bytes.keras"] < 0.2
    [line] = result.err.strip().splitlines()
    assert line.startswith("bytes.keras: clean accuracy is ")
    assert "say so by --pixel-range 0,255" in line
    result = tfrobust("evaluate", "bytes.keras", *EVALUATE, "--pixel-range", "0,255")
    assert clean(result)["bytes.keras"] == expected
    assert result.err == ""
    exported = tfrobust("export", "bytes.keras", "served", "--pixel-range", "0,255")
    assert exported.code == 0, exported.err
    assert clean(tfrobust("evaluate", "served/1", *EVALUATE))["served/1"] == expected


def test_two_models_with_the_same_name_are_distinguished(tfrobust, with_store, trained, expected):
    for folder in ("a", "b"):
        (with_store / folder).mkdir()
        behind(trained).save(f"{folder}/best.keras")
    result = tfrobust("evaluate", "a/best.keras", "b/best.keras", *EVALUATE)
    assert clean(result) == {"a/best.keras": expected, "b/best.keras": expected}


def test_an_open_image_size_is_set_by_the_scenario(tfrobust, with_store):
    images = keras.Input((None, None, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(10, 3)(images))
    keras.Model(images, pooled).save("open.keras")
    assert "open.keras" in clean(tfrobust("evaluate", "open.keras", *EVALUATE))
    result = tfrobust("export", "open.keras", "served")
    assert result.code == 1
    assert "name a scenario" in result.err
    assert tfrobust("export", "open.keras", "served", "--scenario", "digits").code == 0
    assert store.load("served/1").image_shape == (8, 8, 1)


def test_a_custom_layer_is_loaded_from_the_named_module(
    tfrobust, with_store, trained, expected, monkeypatch
):
    code = "import keras\n\nclass Same(keras.layers.Layer):\n    call = lambda self, x: x\n"
    (with_store / "same_layer.py").write_text(code)
    monkeypatch.syspath_prepend(str(with_store))
    import same_layer

    behind(trained, same_layer.Same()).save("own.keras")
    monkeypatch.delitem(sys.modules, "same_layer")
    monkeypatch.setattr(sys, "path", sys.path[1:])
    result = tfrobust("evaluate", "own.keras", *EVALUATE)
    assert result.code == 1
    assert "names same_layer.Same" in result.err
    assert "--custom-objects MODULE" in result.err
    result = tfrobust("evaluate", "own.keras", *EVALUATE, "--custom-objects", "same_layer")
    assert clean(result)["own.keras"] == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "lenet", "--to-logits"), ["--to-logits: says how a file is loaded", "lenet"]),
        (("summary", "lenet", "--trust"), ["--trust: says how a file is loaded"]),
        (("evaluate", "d1", "--out", "run", "--pixel-range", "255"), ["two numbers", "'255'"]),
        (("evaluate", "d1", "--out", "run", "--pixel-range", "1,0"), ["the smaller one first"]),
        (("evaluate", "d1", "--out", "run", "--pixel-range", "0,inf"), ["two numbers"]),
        (("export", "m.keras", "x", "--custom-objects", "no_such"), ["'no_such'", "imported"]),
    ],
)
def test_an_option_without_effect_is_refused(tfrobust, with_store, arguments, words):
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]).save("m.keras")
    result = tfrobust(*arguments)
    assert result.code == 2, result.err
    assert len(result.err.strip().splitlines()) == 1
    assert all(word in result.err for word in words), result.err


def test_another_backend_is_refused_in_one_line(tfrobust, with_store, monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    result = tfrobust("evaluate", "d1", "--out", "run", "--clean-only")
    assert result.code == 2
    assert result.err.startswith(
        "error: KERAS_BACKEND: expected tensorflow; received: 'jax'; unset"
    )
    assert len(result.err.strip().splitlines()) == 1


def test_a_defence_trained_for_a_converted_file_is_applied_to_it_again(
    tfrobust, with_store, trained
):
    from tfrobust.pipeline.reload import stored_network, why_served

    behind(trained, keras.layers.Rescaling(1 / 255)).export("bytes", verbose=False)
    result = tfrobust(
        "train", "bytes", "--only", "calibrater", "--name", "d2", "--scenario", "digits+rotation",
        "--epochs", 0, "-p", "calibrater.size_ratio=0.5", "--pixel-range", "0,255",
    )  # fmt: skip
    assert result.code == 0, result.err
    network = stored_network("d2")
    assert why_served(network) is None
    assert network.inner.loaded_with.pixel_range == (0, 255)
    images = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32)
    assert np.allclose(network.inner(images), trained(images), atol=1e-4)


def test_a_summary_of_a_file_shows_its_layers_without_the_softmax(tfrobust, with_store):
    layers = [keras.layers.Flatten(), keras.layers.Dense(10), keras.layers.Softmax()]
    keras.Sequential([keras.Input((8, 8, 1)), *layers]).save("soft.keras")
    assert tfrobust("summary", "soft.keras").code == 1
    result = tfrobust("summary", "soft.keras", "--to-logits", "--json")
    assert result.code == 0, result.err
    kinds = [row[1] for row in json.loads(result.out)["rows"]]
    assert kinds[-2:] == ["Flatten", "Dense"]
    assert "Softmax" not in kinds
