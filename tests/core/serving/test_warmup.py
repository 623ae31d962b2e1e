"""Warm-up requests are what TensorFlow Serving reads: genuine messages, which the model answers."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import small_model
from tfrobust.errors import UsageError
from tfrobust.serving import ExportSettings, export
from tfrobust.serving.warmup import WARMUP, check_protos

pytest.importorskip("tensorflow_serving", reason="pip install 'tfrobust[serving]'")


@pytest.mark.parametrize(
    "inputs",
    [("uint8",), pytest.param(("image_bytes", "uint8"), marks=pytest.mark.slow)],
    ids=["pixels", "files too"],
)
def test_there_is_a_request_of_each_signature_and_batch_size_which_the_model_answers(
    inputs, tmp_path, monkeypatch
):
    from tensorflow_serving.apis import prediction_log_pb2

    monkeypatch.chdir(tmp_path)
    small_model().save("small.keras")
    settings = ExportSettings(classifier="small.keras", inputs=inputs, classify=True, warmup=(1, 3))
    path = export(settings, "served").path
    signatures = tf.saved_model.load(str(path)).signatures
    met = set()
    for record in tf.data.TFRecordDataset(str(path / WARMUP)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request
        inputs = (
            {"inputs": [e.SerializeToString() for e in request.input.example_list.examples]}
            if kind == "classify_log"
            else {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        )
        assert request.model_spec.name == "served"
        name = request.model_spec.signature_name
        assert (kind == "classify_log") == (name == "classify")
        answer = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        sizes = {len(value) for value in answer.values()}
        assert all(np.isfinite(v).all() for v in answer.values() if v.dtype == tf.float32)
        met.add((name, *sizes))
    assert met == {(name, size) for name in signatures for size in (1, 3)}


def test_without_the_messages_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_serving.apis", None)
    with pytest.raises(UsageError, match=r"pip install 'tfrobust\[serving\]'"):
        check_protos()
