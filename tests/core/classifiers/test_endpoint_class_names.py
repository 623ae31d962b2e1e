"""What an endpoint answers is put into the order of the classes, and told from what it is not."""

import dataclasses

import numpy as np
import pytest

from helpers.model_server import NAME, Served, grpc_server, rest_server
from helpers.support import small_model
from tfrobust import store
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.remote.chosen_output import reading_of
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.protocol import Description
from tfrobust.errors import EndpointError, UsageError
from tfrobust.norms.levels import rounded
from tfrobust.preparation import plain_preparation
from tfrobust.serving.finishing import finish
from tfrobust.serving.signatures import BYTES, CLASSIFY, more_signatures

IMAGES = np.random.default_rng(3).uniform(size=(6, 4, 4, 1)).astype(np.float32)
ANIMALS = ("dog", "ant", "cat")
NOTHING = Description({}, {}, None)
SCORES = np.array([[0.2, 0.7, 0.1]])


@pytest.fixture(scope="module")
def local():
    return KerasClassifier(small_model())


def exported(local, folder, *inputs):
    shape = local.image_shape
    more = more_signatures(inputs, plain_preparation(shape), shape, ANIMALS)
    store.export(local, folder / "1", more=more)
    finish(folder / "1", NAME, shape, classify=True, warmup=(), readme="")
    return folder / "1"


@pytest.fixture(scope="module")
def folder(local, tmp_path_factory):
    return exported(local, tmp_path_factory.mktemp("served"))


def connected(url, names=(), **remote):
    loading = LoadOptions(remote=RemoteOptions(**remote)).for_images((4, 4, 1), names)
    return store.load(url, options=loading)


@pytest.mark.parametrize("server", [rest_server, grpc_server])
def test_an_endpoint_with_a_classify_signature_alone_answers_in_the_order_of_the_classes(
    server, local, folder, tmp_path
):
    model = Served(folder)
    model.signatures = {CLASSIFY: model.signatures[CLASSIFY]}
    with server(model) as url:
        endpoint = connected(url, ANIMALS)
        assert endpoint.class_names == ANIMALS
        logits = np.asarray(local(IMAGES))
        expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        assert np.allclose(endpoint(IMAGES), expected, atol=1e-4)
        if server is rest_server:
            with pytest.raises(EndpointError, match=r"and not their order; give it by --labels"):
                connected(url)
            names = tmp_path / "labels.txt"
            names.write_text("cat\nant\ndog\n")
            assert connected(url, labels=names).class_names == ("cat", "ant", "dog")


@pytest.mark.slow
def test_an_example_holds_a_file_where_another_signature_takes_files(local, tmp_path):
    with rest_server(Served(exported(local, tmp_path, "image_bytes"))) as url:
        endpoint = connected(url, ANIMALS, signature=CLASSIFY)
        assert endpoint.pixel_levels == 256
        files = connected(url, signature=BYTES)(IMAGES)
        assert np.allclose(np.argmax(endpoint(IMAGES), 1), np.argmax(files, 1))
        assert np.allclose(files, local(rounded(IMAGES, 256)), atol=1e-5)


def test_names_beside_scores_say_which_class_each_score_is_of():
    outputs = {"scores": SCORES, "classes": np.array([[b"c", b"a", b"b"]], object)}
    reading = reading_of(NOTHING, outputs, 1, RemoteOptions(), ("a", "b", "c"))
    assert reading.names == ("a", "b", "c")
    assert np.allclose(np.exp(reading.logits(outputs, 1)), [[0.7, 0.1, 0.2]])
    numbered = {"scores": SCORES, "classes": np.array([["2", "0", "1"]])}
    assert reading_of(NOTHING, numbered, 1, RemoteOptions()).names == ("0", "1", "2")
    fixed = {"scores": SCORES, "all_classes": np.array([["c", "a", "b"]])}
    assert reading_of(NOTHING, fixed, 1, RemoteOptions()).names == ("c", "a", "b")
    for wrong in (["c", "c", "b"], ["c", "a", "d"]):
        with pytest.raises(EndpointError, match=r"names a class|a score of each of 3 classes"):
            reading.logits({**outputs, "classes": np.array([wrong])}, 1)


def test_the_best_of_a_few_names_is_a_label_of_all_of_them():
    outputs = {"scores": SCORES[:, :2], "classes": np.array([["c", "a"]])}
    reading = reading_of(NOTHING, outputs, 1, RemoteOptions(), ("a", "b", "c"))
    assert reading.kind == "labels"
    assert reading.logits(outputs, 1).tolist() == [[1, 0, 0]]
    named = {"label": np.array([b"b"], object)}
    reading = reading_of(NOTHING, named, 1, RemoteOptions(), ("a", "b", "c"))
    assert reading.logits(named, 1).tolist() == [[0, 1, 0]]


def test_kept_answers_are_found_by_the_order_of_the_classes_where_it_decides_what_they_mean():
    word, score = {"label": np.array([b"b"], object)}, {"scores": SCORES}
    named = {"scores": SCORES, "classes": np.array([["c", "a", "b"]])}
    for outputs, decides in [(word, True), (named, True), (score, False)]:
        orders = {
            reading_of(NOTHING, outputs, 1, RemoteOptions(), tuple(names)).class_order
            for names in ("abc", "cba")
        }
        assert len(orders) == 1 + decides


def test_names_of_other_classes_and_files_of_something_else_are_refused(tmp_path):
    names = tmp_path / "labels.txt"
    options = RemoteOptions(labels=names)
    for text, error, words in [
        ("a\nb\n", EndpointError, "expected names of the model's 3 classes; received: 2"),
        ("a\na\nb\n", UsageError, "none twice"),
        ("a\x00\nb\nc\n", UsageError, "one a line"),
    ]:
        names.write_text(text)
        with pytest.raises(error, match=words):
            reading_of(NOTHING, {"p": SCORES}, 1, options)
    names.write_text("a\nb\nc\n")
    assert reading_of(NOTHING, {"p": SCORES}, 1, options).names == ("a", "b", "c")
    with pytest.raises(UsageError, match="cannot be read"):
        reading_of(NOTHING, {"p": SCORES}, 1, RemoteOptions(labels=tmp_path / "nowhere"))


def test_logits_probabilities_and_their_logarithms_are_told_apart_by_their_numbers():
    logits = np.array([[1.5, -2.0, 0.25]])
    soft = np.exp(logits) / np.exp(logits).sum()
    for values, kind in [
        (logits, "logits"),
        (soft, "probabilities"),
        (np.log(soft), "log-probabilities"),
    ]:
        for name in ("scores", "logits"):
            reading = reading_of(NOTHING, {name: values}, 1, RemoteOptions())
            assert reading.kind == kind
            answered = reading.logits({name: values}, 1)
            assert np.allclose(np.exp(answered) / np.exp(answered).sum(), soft, atol=1e-6)
    with np.errstate(divide="ignore"):
        impossible = np.log(np.array([[1.0, 0.0, 0.0]]))
    answered = dataclasses.replace(reading, output="logits").logits({"logits": impossible}, 1)
    assert np.isfinite(answered).all()
    softmax = np.exp(soft) / np.exp(soft).sum()
    both = {"logits": soft, "probabilities": softmax}
    assert reading_of(NOTHING, both, 1, RemoteOptions()).kind == "logits"
