"""What `tfrobust export` and `serve` are asked for is checked before TensorFlow starts."""

import pytest

from tfrobust.serving import servers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--inputs", "image_byte"), "expected image_bytes or uint8; received: 'image_byte'"),
        (("--warmup-batch", "8"), "--warmup-batch: is the size of warm-up requests; add --warmup"),
        (("--classify", "--format", "onnx"), "--classify: is of a SavedModel that classifies"),
        (("--draws", "content", "--only", "jpeg"), "--draws: are those of a whole classifier"),
    ],
)
def test_options_that_do_not_fit_cost_one_line(tfrobust, here, options, message):
    result = tfrobust("export", "d1", "served", *options)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_serve_says_what_to_install_where_no_server_is(tfrobust, here, stored, monkeypatch):
    monkeypatch.setenv("TFROBUST_MODELS", str(stored))
    monkeypatch.setattr(servers, "_succeeds", lambda words: False)
    result = tfrobust("serve", "d1")
    assert result.code == 2
    assert "no server is installed" in result.err
    assert result.out == ""


@pytest.mark.slow
def test_a_trained_random_classifier_is_exported_by_its_name_with_one_answer(tfrobust, here):
    import numpy as np
    import tensorflow as tf

    random = ("--defense", "randomized_smoothing", "-p", "training=off", "-p", "samples=3")
    result = tfrobust("train", "linear", "--name", "r1", "--epochs", "1", *random)
    assert result.code == 0, result.err
    result = tfrobust("export", "r1", "served", "--draws", "content", "--inputs", "uint8")
    assert result.code == 0, result.err
    signatures = tf.saved_model.load("served/1").signatures
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8)
    answers = [signatures["serve_uint8"](images=tf.constant(pixels))["logits"] for _ in range(2)]
    floats = signatures["serving_default"](images=tf.constant(pixels / np.float32(255)))["logits"]
    assert (answers[0].numpy() == answers[1].numpy()).all()
    assert floats.numpy() == pytest.approx(answers[0].numpy(), abs=1e-6)
