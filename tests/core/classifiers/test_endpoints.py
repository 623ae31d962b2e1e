"""An endpoint is a classifier as any other: its answers, its attacks, what is counted and kept."""

import dataclasses
import threading

import numpy as np
import pytest
import tensorflow as tf

from helpers.model_server import Served, grpc_server, rest_server
from helpers.support import small_model
from tfrobust import store
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.remote import waiting
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.engine.run import run_attack
from tfrobust.errors import BudgetSpentError, ClassifierError, EndpointError, UsageError
from tfrobust.meter import Goal
from tfrobust.registry import create
from tfrobust.testing.adapters import check_promises

IMAGES = np.random.default_rng(3).uniform(size=(6, 4, 4, 1)).astype(np.float32)
SERVERS = {"rest": rest_server, "grpc": grpc_server}


@pytest.fixture(scope="module")
def local():
    return KerasClassifier(small_model())


@pytest.fixture(scope="module")
def labels(local):
    return np.asarray(local(IMAGES)).argmax(axis=1)


@pytest.fixture(scope="module")
def folder(local, tmp_path_factory):
    return store.export(local, tmp_path_factory.mktemp("served") / "1")


@pytest.fixture
def served(folder):
    return Served(folder)


def connected(url, **remote):
    return store.load(url, options=LoadOptions(remote=RemoteOptions(**remote)))


def square(**options):
    return create("attacks", "square", **({"eps": 0.3, "queries": 40} | options))


@pytest.mark.parametrize("kind", SERVERS)
def test_an_endpoint_keeps_the_contract_of_all_adapters_and_answers_as_the_file_does(
    kind, served, local
):
    with SERVERS[kind](served) as url:
        endpoint = connected(url)
        check_promises(endpoint, differentiable=False)
        assert np.allclose(endpoint(IMAGES), local(IMAGES), atol=1e-6)
        assert (endpoint.image_shape, endpoint.num_classes) == ((4, 4, 1), 3)
        assert not endpoint.differentiable
        assert not endpoint.stochastic
        assert "version 1 answers" in endpoint.notices
        with pytest.raises(ClassifierError, match="cannot be exported"):
            endpoint.trackables()


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        ("square", {"eps": 0.3, "queries": 40}),
        pytest.param("hopskipjump", {"queries": 400}, marks=pytest.mark.slow),
        pytest.param("boundary", {"queries": 200}, marks=pytest.mark.slow),
        pytest.param("spsa", {"eps": 0.3, "steps": 3}, marks=pytest.mark.slow),
        pytest.param("zoo", {"queries": 100}, marks=pytest.mark.slow),
        pytest.param("pointwise", {"restarts": 1}, marks=pytest.mark.slow),
        pytest.param("spatial", {}, marks=pytest.mark.slow),
    ],
)
def test_an_attack_makes_of_an_endpoint_what_it_makes_of_the_same_file(
    attack, options, served, local, labels
):
    attack = create("attacks", attack, **options)
    with rest_server(served) as url:
        endpoint = connected(url)
        endpoint(IMAGES)
        before = served.images
        crafted = run_attack(attack, endpoint, IMAGES, labels)
        on_file = run_attack(attack, local, IMAGES, labels)
        assert np.array_equal(crafted.images, on_file.images)
        assert crafted.queries == on_file.queries
        asked = endpoint.meter.count.by["attacks"]
        assert asked.sent + asked.kept == crafted.queries
        assert served.images - before == asked.sent
        assert crafted.cut_off == 0


def test_the_budget_of_a_run_is_kept_to_the_query_over_several_runs(served, labels, tmp_path):
    attack = square(early_stop=False)
    cache = tmp_path / "run" / "queries.sqlite"
    with rest_server(served) as url:
        endpoint = connected(url, max_queries=40, cache=cache, batch=4)
        crafted = run_attack(attack, endpoint, IMAGES, labels)
        assert served.images == endpoint.meter.count.sent == 40
        assert crafted.cut_off > 0
        assert crafted.unpaid
        with pytest.raises(BudgetSpentError, match="the budget of 40 queries is spent"):
            store.load(url, options=endpoint.loaded_with)
        whole = connected(url, max_queries=500, cache=cache)
        again = run_attack(attack, whole, IMAGES, labels)
        fresh = run_attack(attack, connected(url), IMAGES, labels)
        assert np.array_equal(again.images, fresh.images)
        assert again.cut_off == 0


@pytest.mark.slow
def test_what_was_answered_is_never_paid_again(served, labels, tmp_path):
    cache = tmp_path / "queries.sqlite"
    with rest_server(served) as url:
        run_attack(square(), connected(url, cache=cache), IMAGES, labels)
        before = served.images
        again = connected(url, cache=cache)
        run_attack(square(), again, IMAGES, labels)
        assert served.images == before + 1  # whether it is still the same model
        assert again.meter.count.cached > 0


def test_every_query_that_left_was_for_something_and_attacks_tell_theirs(
    served, local, labels, monkeypatch
):
    monkeypatch.setattr(waiting, "_FIRST_WAIT", 0.001)
    with rest_server(served) as url:
        endpoint = connected(url)
        assert endpoint.meter.count.by["probes"].sent == 2
        endpoint(IMAGES)
        before = served.requests
        served.faults = lambda request: "503" if request == before + 1 else ""
        goal = Goal(labels, targeted=False, norm="linf", budget=0.3)
        numbers = np.arange(len(IMAGES))
        with endpoint.meter.attempt(IMAGES, goal) as attempt:
            endpoint.meter.ask(IMAGES, numbers)
            endpoint.meter.ask(IMAGES / 2, numbers)
            endpoint.meter.ask(IMAGES, -np.ones_like(numbers))  # the engine
        with endpoint.meter.lenient():
            endpoint(IMAGES / 3)
        count, many = endpoint.meter.count, len(IMAGES)
    assert attempt.asked == 2 * many
    assert {purpose: (asked.sent, asked.kept) for purpose, asked in count.by.items()} == {
        "probes": (2, 0),
        "attacks": (many, many),
        "audits": (many, 0),
        "others": (7 + many, count.by["others"].kept),
    }
    assert count.repeated == many
    assert served.images == count.sent == sum(a.sent for a in count.by.values()) + count.repeated


def test_the_end_of_a_run_asks_once_more_whether_it_was_one_model_if_anything_was_asked(
    served, tmp_path
):
    with rest_server(served) as url:
        endpoint = connected(url, cache=tmp_path / "queries.sqlite")
        endpoint(IMAGES)
        before = served.images
        endpoint.meter.prove()
        endpoint.meter.prove()
        assert served.images == before + 1
        endpoint(IMAGES / 2)
        served.other = True
        with pytest.raises(EndpointError, match="answers otherwise than at the start"):
            endpoint.meter.prove()
        served.other, before = False, served.images
        endpoint(IMAGES / 2)  # what the other model may have answered is gone
        assert served.images == before + len(IMAGES)
        spent = connected(url, max_queries=endpoint.meter.count.sent + 1 + len(IMAGES),
                          cache=tmp_path / "queries.sqlite")  # fmt: skip
        spent(IMAGES / 3)
        before = served.images
        spent.meter.prove()
        assert served.images == before


def test_outside_of_attacks_the_thread_that_asks_is_the_one_that_wants_the_answer(
    served, monkeypatch
):
    """A graph would wait in this one for what another one fetches, and take twice as long."""
    with rest_server(served) as url:
        endpoint = connected(url)
        asked, ask = [], type(endpoint.meter)._ask

        def noted(*given, **how):
            asked.append(threading.get_ident())
            return ask(*given, **how)

        monkeypatch.setattr(type(endpoint.meter), "_ask", noted)
        predict(endpoint, IMAGES, 4)
        assert asked == 2 * [threading.get_ident()]


def test_an_endpoint_that_is_said_to_draw_is_believed(served):
    with rest_server(served) as url:
        endpoint = connected(url, stochastic=True)
        assert endpoint.stochastic
        assert "as was said" in endpoint.notices[-1]
        before = served.images
        endpoint(IMAGES)
        endpoint(IMAGES)
        endpoint(np.repeat(IMAGES[:1], 4, axis=0))  # each has an answer of its own
        assert served.images == before + 2 * len(IMAGES) + 4
        assert endpoint.meter.count.by["probes"].sent == 1


@pytest.mark.parametrize("limit", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_no_image_is_asked_more_often_than_its_budget_allows(limit, served, labels):
    with rest_server(served) as url:
        endpoint = connected(url, queries_per_image=limit)
        before = served.images
        crafted = run_attack(square(eps=0.01, early_stop=False), endpoint, IMAGES, labels)
        assert crafted.queries == limit * len(IMAGES)
        assert served.images - before <= limit * len(IMAGES)
        assert crafted.cut_off == len(IMAGES)
        assert np.array_equal(crafted.images, IMAGES)  # nothing adversarial was seen


def test_requests_that_are_sent_again_cost_the_run_and_not_the_image(served, labels, monkeypatch):
    monkeypatch.setattr(waiting, "_FIRST_WAIT", 0.001)
    with rest_server(served) as url:
        endpoint = connected(url, queries_per_image=1)
        before, sent = served.requests, endpoint.meter.count.sent
        served.faults = lambda request: "503" if request == before + 1 else ""
        goal = Goal(labels, targeted=False, norm="linf", budget=0.3)
        with endpoint.meter.attempt(IMAGES, goal) as attempt:
            endpoint.meter.ask(IMAGES, np.arange(len(IMAGES)))
            assert attempt.cut_off == 0
        assert attempt.asked == len(IMAGES)
        assert endpoint.meter.count.sent == sent + 2 * len(IMAGES)


def test_a_shared_question_without_an_answer_decides_no_attack(served, labels):
    goal = Goal(labels, targeted=False, norm="linf", budget=0.3)
    shared = np.concatenate([IMAGES, IMAGES[:2] * np.nan])
    with rest_server(served) as url:
        endpoint = connected(url)
        with endpoint.meter.attempt(IMAGES, goal) as attempt:
            endpoint.meter.ask(shared, np.arange(len(IMAGES)))
            assert endpoint.meter.refused(np.arange(len(IMAGES))).all()
            assert np.array_equal(attempt.settled(IMAGES + 1), IMAGES)


def test_a_shared_question_of_as_many_rows_as_images_is_paid_for_as_a_whole_or_not_at_all(
    served, labels
):
    goal, numbers = Goal(labels, targeted=False, norm="l2", budget=None), np.arange(len(IMAGES))
    with rest_server(served) as url:
        probes = connected(url).meter.count.sent
        endpoint = connected(url, max_queries=probes + len(IMAGES) - 1)
        with endpoint.meter.attempt(IMAGES, goal) as attempt:
            logits = endpoint.meter.ask(1 - IMAGES, numbers, shared=True)
            assert np.isfinite(logits).all()
            assert endpoint.meter.refused(numbers).all()
            assert np.array_equal(attempt.settled(IMAGES + 1), IMAGES)  # nobody's was seen


@pytest.mark.slow
def test_a_cut_off_image_is_broken_only_if_an_adversarial_one_was_seen(served, labels):
    hopskipjump = create("attacks", "hopskipjump", queries=400)
    with rest_server(served) as url:
        crafted = run_attack(hopskipjump, connected(url, queries_per_image=120), IMAGES, labels)
        assert crafted.cut_off == len(IMAGES)
        predicted = np.asarray(connected(url)(crafted.images)).argmax(axis=1)
        changed = (crafted.images != IMAGES).any(axis=(1, 2, 3))
        assert changed.any()
        assert np.array_equal(predicted != labels, changed)


def test_probabilities_serve_as_logits_and_labels_alone_let_decision_based_attacks_through(
    tmp_path,
):
    weights = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    scores = IMAGES.reshape(-1, 16) @ weights
    spec = tf.TensorSpec((None, 4, 4, 1), tf.float32, name="images")

    def logits(images):
        return tf.reshape(images, (-1, 16)) @ tf.constant(weights)

    signatures = {
        "serving_default": tf.function(lambda images: {"p": tf.nn.softmax(logits(images))}, [spec]),
        "labels": tf.function(lambda images: {"label": tf.argmax(logits(images), 1)}, [spec]),
    }
    tf.saved_model.save(tf.Module(), str(tmp_path / "m"), signatures)
    served = Served(tmp_path / "m")
    with rest_server(served) as rest, grpc_server(served) as grpc:
        soft = connected(grpc)
        assert "probabilities" in soft.notices[1]
        assert np.allclose(soft(IMAGES), tf.nn.log_softmax(scores), atol=1e-5)
        with pytest.raises(EndpointError, match="say how many classes"):
            connected(rest, signature="labels")
        hard = connected(rest, signature="labels", num_classes=3)
        labels = scores.argmax(axis=1)
        assert np.array_equal(hard(IMAGES), np.eye(3, dtype=np.float32)[labels])
        with pytest.raises(UsageError, match=r"square reads scores.* decision-based"):
            run_attack(square(), hard, IMAGES, labels)
        spatial = create("attacks", "spatial", rotations=2, translations=2)
        assert run_attack(spatial, hard, IMAGES, labels).queries > 0


def test_a_white_box_attack_is_refused_with_what_to_do_before_anything_is_paid(served, labels):
    with rest_server(served) as url:
        endpoint = connected(url)
        before = served.images
        with pytest.raises(UsageError, match=r"pgd needs gradients.*--crafted-on NAME.*square"):
            run_attack(create("attacks", "pgd", eps=0.1), endpoint, IMAGES, labels)
        assert served.images == before


@pytest.mark.parametrize("kind", SERVERS)
def test_the_secret_is_sent_as_a_header_and_stands_nowhere_else(kind, served, monkeypatch):
    monkeypatch.setenv("TOKEN", "Bearer opensesame")
    with SERVERS[kind](served) as url:
        endpoint = connected(url, auth="env:TOKEN", auth_header="X-Key")
        assert {k.lower(): v for k, v in served.headers.items()}["x-key"] == "Bearer opensesame"
        assert "opensesame" not in repr((endpoint.loaded_with, endpoint.source, endpoint.notices))
        assert "opensesame" not in repr(dataclasses.asdict(endpoint.loaded_with))


def test_pixels_are_scaled_on_the_way_to_the_endpoint(served, local):
    with rest_server(served) as url:
        endpoint = store.load(url, options=LoadOptions(pixel_range=(-1.0, 1.0)))
        assert np.allclose(endpoint(IMAGES), local(2 * IMAGES - 1), atol=1e-5)


def test_requests_are_as_large_and_as_many_a_second_as_was_asked_for(served):
    import time

    with rest_server(served) as url:
        endpoint = connected(url, batch=2, requests_per_second=50, concurrency=3)
        served.sizes.clear()
        began = time.monotonic()
        endpoint(np.repeat(IMAGES, 2, 0) * np.linspace(0.1, 1, 12)[:, None, None, None])
        assert served.sizes == [2] * 6
        assert time.monotonic() - began >= 5 / 50


def test_a_random_model_is_noticed_and_its_answers_are_not_kept(served):
    draw = np.random.default_rng(0)
    plain = served.predict
    served.predict = lambda name, images: {
        key: values + draw.normal(size=values.shape) for key, values in plain(name, images).items()
    }
    with rest_server(served) as url:
        endpoint = connected(url)
        assert endpoint.stochastic
        assert "differently" in endpoint.notices[-1]
        assert not np.allclose(endpoint(IMAGES), endpoint(IMAGES))
