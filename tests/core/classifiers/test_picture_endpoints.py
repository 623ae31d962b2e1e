"""Endpoints that take picture files: what is sent, of which size, and what is judged."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.model_server import Served, grpc_server, rest_server
from helpers.support import small_model
from tfrobust import store
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.remote.inputs import question_of
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.pictures import png
from tfrobust.classifiers.remote.protocol import Description, TensorInfo
from tfrobust.engine.run import run_attack
from tfrobust.errors import EndpointError, UsageError
from tfrobust.norms.distances import distances, within_budget
from tfrobust.norms.levels import rounded, rounded_within
from tfrobust.preparation import plain_preparation
from tfrobust.registry import create
from tfrobust.serving.signatures import BYTES, UINT8, more_signatures
from tfrobust.testing.adapters import check_promises

IMAGES = np.random.default_rng(3).uniform(size=(6, 4, 4, 1)).astype(np.float32)
FILES = TensorInfo("DT_STRING", (-1,))


@pytest.fixture(scope="module")
def local():
    return KerasClassifier(small_model())


@pytest.fixture(scope="module")
def folder(local, tmp_path_factory):
    shape = local.image_shape
    more = more_signatures(("image_bytes", "uint8"), plain_preparation(shape), shape)
    return store.export(local, tmp_path_factory.mktemp("served") / "1", more=more)


@pytest.fixture
def served(folder):
    return Served(folder)


def connected(url, **remote):
    return store.load(url, options=LoadOptions(remote=RemoteOptions(**remote)))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_png_file_holds_exactly_the_pixels_that_were_put_in(height, width, channels, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    assert np.array_equal(tf.io.decode_png(png(pixels)).numpy(), pixels)


@pytest.mark.parametrize("server", [rest_server, grpc_server])
def test_an_endpoint_of_picture_files_answers_as_the_network_does_to_the_pixels_that_a_file_holds(
    server, served, local
):
    with server(served) as url:
        endpoint = connected(url, signature=BYTES)
        check_promises(endpoint, differentiable=False)
        assert (endpoint.image_shape, endpoint.pixel_levels) == ((4, 4, 1), 256)
        assert "gets PNG" in endpoint.notices[1]
        assert np.allclose(endpoint(IMAGES), local(rounded(IMAGES, 256)), atol=1e-5)
        bytes_of = connected(url, signature=UINT8, image_shape=(4, 4, 1))
        assert bytes_of.pixel_levels == 256
        assert np.array_equal(bytes_of(IMAGES), endpoint(IMAGES))


@pytest.mark.parametrize("attack", ["square", pytest.param("hopskipjump", marks=pytest.mark.slow)])
def test_what_an_attack_makes_of_it_is_what_was_sent_and_stays_within_the_budget(
    attack, served, local
):
    """25.5 levels: the nearest level beyond the ball is what plain rounding would take."""
    labels = np.asarray(local(rounded(IMAGES, 256))).argmax(axis=1)
    options = {"eps": 25.5 / 255, "queries": 40} if attack == "square" else {"queries": 200}
    with rest_server(served) as url:
        endpoint = connected(url, signature=BYTES)
        crafted = run_attack(create("attacks", attack, **options), endpoint, IMAGES, labels)
        assert np.array_equal(crafted.images, rounded(crafted.images, 256))
        before = served.images
        endpoint(crafted.images)
        assert served.images == before  # each of them had been sent, rounded like that
    far = distances(rounded(IMAGES, 256), crafted.images)["linf"]
    assert attack != "square" or far.max() <= 25 / 255 + 1e-6


@given(
    st.sampled_from(["l0", "l1", "l2", "linf"]),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_rounding_carries_no_image_out_of_the_ball_and_moves_no_pixel_by_a_level(norm, share, seed):
    draw = np.random.default_rng(seed)
    clean = rounded(draw.uniform(size=(5, 3, 3, 2)).astype(np.float32), 256)
    free = draw.uniform(size=clean.shape) < 0.5
    images = np.where(free, draw.uniform(size=clean.shape), clean).astype(np.float32)
    budget = float(distances(clean, images)[norm].max() * share)
    sent = rounded_within(clean, images, 256, norm, budget)
    inside = within_budget(distances(clean, images)[norm], budget)
    assert within_budget(distances(clean, sent)[norm], budget)[inside].all()
    assert np.abs(sent - images).max() <= 1.001 / 255
    assert np.array_equal(sent, rounded_within(clean, sent, 256, norm, budget))


def test_the_size_of_sent_images_is_said_or_told_by_another_signature_or_asked_for():
    bare = Description({"image_bytes": FILES}, {}, None)
    beside = Description(
        bare.inputs, {}, None, ({"x": TensorInfo("DT_FLOAT", (-1, 8, 8, 3))}, {"y": FILES})
    )
    assert question_of(beside, RemoteOptions(), (5, 5, 1))[1] == (8, 8, 3)
    assert question_of(beside, RemoteOptions(image_shape=(9, 9, 1)), None)[1] == (9, 9, 1)
    assert question_of(bare, RemoteOptions(), (5, 5, 1))[1] == (5, 5, 1)
    with pytest.raises(EndpointError, match=r"picture files of any size.*--image-shape HEIGHT"):
        question_of(bare, RemoteOptions(), None)
    with pytest.raises(EndpointError, match=r"expected 1 to 4 channels.*received: 5"):
        question_of(bare, RemoteOptions(), (5, 5, 5))
    nothing = Description({}, {}, None)
    asked = RemoteOptions(encoding="png", image_shape=(5, 5, 3))
    assert question_of(nothing, asked, None)[0].by_file
    with pytest.raises(UsageError, match="pixel_range: expected 0,255"):
        question_of(bare, RemoteOptions(), (5, 5, 1))[0].ranging((-1.0, 1.0))
