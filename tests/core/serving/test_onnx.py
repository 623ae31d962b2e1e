"""An ONNX file is written only if onnxruntime answers as TensorFlow does."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import small_classifier, small_model
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.registry import create
from tfrobust.serving import ExportSettings, export
from tfrobust.serving.onnx_export import check_onnx, export_onnx
from tfrobust.store.cards import card_of, read_card

ort = pytest.importorskip("onnxruntime", reason="pip install 'tfrobust[onnx]'")
pytest.importorskip("tf2onnx", reason="pip install 'tfrobust[onnx]'")
IMAGES = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder to work in, with a Keras file."""
    monkeypatch.chdir(tmp_path)
    small_model().save("small.keras")
    return tmp_path


def test_onnxruntime_gives_every_output_of_the_export(small):
    path = export(ExportSettings(classifier="small.keras", format="onnx"), "served").path
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert names == ["logits", "probabilities"]
    expected = small_classifier().outputs(IMAGES)
    for name, answer in zip(names, session.run(names, {"images": IMAGES}), strict=True):
        assert answer == pytest.approx(expected[name].numpy(), abs=1e-6)
    assert read_card(path.parent).image_shape == (4, 4, 1)


@pytest.mark.slow
def test_a_random_defence_is_exported_by_the_draws_of_the_image_and_else_refused(small):
    defense = create("defenses", "randomized_smoothing", training="off", samples=3)
    options = {"classifier": "small.keras", "defenses": [defense], "format": "onnx"}
    with pytest.raises(UsageError, match="--draws content"):
        export(ExportSettings(**options), "served")
    path = export(ExportSettings(**options, draws="content"), "served").path
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    together = session.run(["logits"], {"images": IMAGES})[0]
    alone = session.run(["logits"], {"images": IMAGES[2:3]})[0]
    assert alone[0] == pytest.approx(together[2], abs=1e-6)


def test_a_file_that_answers_otherwise_is_not_written(small):
    classifier = small_classifier()

    def other(images):  # than what is converted
        added = 1.0 if tf.executing_eagerly() else 0.0
        return {"logits": classifier(images) + added}

    with pytest.raises(ClassifierError, match="onnxruntime answers otherwise: logits differs by 1"):
        export_onnx(other, "served/1", card_of(classifier), IMAGES)
    assert not (small / "served/1").exists()


def test_without_the_packages_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tf2onnx", None)
    with pytest.raises(UsageError, match=r"pip install 'tfrobust\[onnx\]'"):
        check_onnx()
