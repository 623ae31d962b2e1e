"""What goes wrong on the way to an endpoint loses nothing, and costs no more than was allowed."""

import numpy as np
import pytest

from helpers.model_server import NAME, Served, grpc_server, rest_server
from helpers.support import small_model
from tfrobust import store
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.remote import waiting
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.errors import BudgetSpentError, EndpointError, UsageError

IMAGES = np.random.default_rng(3).uniform(size=(24, 4, 4, 1)).astype(np.float32)
FIRST = 10  # images asked, in 3 requests, while a classifier is loaded


@pytest.fixture(scope="module")
def local():
    return KerasClassifier(small_model())


@pytest.fixture(scope="module")
def folder(local, tmp_path_factory):
    return store.export(local, tmp_path_factory.mktemp("served") / "1")


@pytest.fixture
def served(folder):
    return Served(folder)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(waiting, "_FIRST_WAIT", 0.001)


def connected(url, **remote):
    options = RemoteOptions(**({"batch": 4, "concurrency": 2} | remote))
    return store.load(url, options=LoadOptions(remote=options))


@pytest.mark.parametrize("fault", ["drop", "500", "429", "503", "truncated"])
def test_a_fault_that_passes_loses_nothing_and_every_request_that_left_is_counted(
    fault, served, local
):
    served.faults = lambda request: fault if request in (2, 5, 6, 9) else ""
    with rest_server(served) as url:
        endpoint = connected(url)
        assert np.allclose(endpoint(IMAGES), local(IMAGES), atol=1e-6)
        assert endpoint.meter.count.sent == served.images
        assert served.images > FIRST + len(IMAGES)


@pytest.mark.parametrize("fault", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL"])
def test_a_grpc_status_that_passes_loses_nothing(fault, served, local):
    served.faults = lambda request: fault if request in (2, 5, 6, 9) else ""
    with grpc_server(served) as url:
        endpoint = connected(url)
        assert np.allclose(endpoint(IMAGES), local(IMAGES), atol=1e-6)
        assert endpoint.meter.count.sent == served.images


@pytest.mark.parametrize("fault", ["drop", "500"])
def test_the_budget_holds_to_the_query_while_requests_fail(fault, served, tmp_path):
    cache = tmp_path / "queries.sqlite"
    served.faults = lambda request: fault if request in (2, 5, 6, 9) else ""
    with rest_server(served) as url:
        endpoint = connected(url, max_queries=30, cache=cache)
        with pytest.raises(BudgetSpentError, match="30 queries"):
            store.load(url, options=endpoint.loaded_with)(IMAGES)
        assert served.images <= 30
        served.faults = lambda request: ""
        whole = connected(url, max_queries=200, cache=cache)
        answered = whole(IMAGES)
        # Requests were cut elsewhere, and a batch of another size rounds differently.
        np.testing.assert_allclose(answered, connected(url)(IMAGES), atol=1e-6)


def test_a_slow_answer_is_asked_for_again_and_counted_again(served, local):
    served.faults = lambda request: "slow" if request == 4 else ""
    with rest_server(served) as url:
        endpoint = connected(url, timeout=0.3)
        assert np.allclose(endpoint(IMAGES[:2]), local(IMAGES[:2]), atol=1e-6)
        assert endpoint.meter.count.sent == served.images


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("shape", "expected numbers of shape"),
        ("nan", "NaN"),
        ("html", "a web page instead of JSON"),
        ("redirect", "redirected to http://elsewhere.example/"),
    ],
)
def test_an_answer_that_never_will_be_right_ends_the_run_and_nothing_of_it_is_kept(
    fault, words, served, tmp_path
):
    cache = tmp_path / "queries.sqlite"
    with rest_server(served) as url:
        endpoint = connected(url, cache=cache)
        served.faults = lambda request: fault
        with pytest.raises(EndpointError, match=words):
            store.load(url, options=endpoint.loaded_with)
        served.faults = lambda request: ""
        connected(url, cache=cache)(IMAGES)


def test_a_request_that_fails_too_often_ends_the_run_with_what_the_server_says(served):
    with rest_server(served) as url:
        endpoint = connected(url, retries=2)
        before, served.faults = served.requests, lambda request: "503"
        with pytest.raises(EndpointError, match=r"answers 503 \(try later\)"):
            store.load(url, options=endpoint.loaded_with)
        assert served.requests == before + 3


def test_a_version_that_changes_is_noticed_and_its_answers_are_not_mixed(served, local, tmp_path):
    from tfrobust.classifiers.inference import predict

    cache = tmp_path / "queries.sqlite"
    with rest_server(served) as url:
        endpoint = connected(url, probe_every=3, cache=cache)
        first = predict(endpoint, IMAGES[:8])
        served.other = True
        with pytest.raises(EndpointError, match="answers otherwise than at the start"):
            predict(endpoint, IMAGES[8:])
        other = connected(url, cache=cache)
        assert np.allclose(other(IMAGES[:8]), first[:, ::-1], atol=1e-6)
        served.other = False
        before = served.images
        again = connected(url, cache=cache)
        assert np.array_equal(again(IMAGES[:8]), first)
        assert served.images == before + 1
        assert np.allclose(again(IMAGES[8:]), local(IMAGES[8:]), atol=1e-6)


def test_an_answer_of_another_version_over_grpc_ends_the_run_and_takes_unproven_ones_along(
    served, tmp_path
):
    cache = tmp_path / "queries.sqlite"
    with grpc_server(served) as url:
        endpoint = connected(url, cache=cache)
        endpoint(IMAGES[:8])
        served.version = 2
        with pytest.raises(EndpointError, match=r"version 2 answers instead of 1.*run ends here"):
            endpoint(IMAGES[8:])
        served.version = 1
        before = served.images
        connected(url, cache=cache)(IMAGES[:8])
        assert served.images == before + 1 + 7 + 8  # the probe; its eight images need seven


def test_a_model_or_server_that_is_not_there_is_named_with_those_that_are(served):
    with rest_server(served) as url, grpc_server(served) as grpc:
        with pytest.raises(EndpointError, match=rf"no model 'nosuch'.*it serves: {NAME}"):
            connected(url.replace(NAME, "nosuch"))
        with pytest.raises(EndpointError, match="no model 'nosuch'"):
            connected(grpc.replace(NAME, "nosuch"))
        with pytest.raises(EndpointError, match=r"no signature 'nosuch' \(there are: .*serving_"):
            connected(url, signature="nosuch")
        with pytest.raises(EndpointError, match=r"no output 'nosuch' \(there are: .*logits"):
            connected(url, output="nosuch")
    with pytest.raises(EndpointError, match="no server answers"):
        connected(url)
    with pytest.raises(EndpointError, match="no server answers"):
        connected(grpc, timeout=2)


@pytest.mark.slow
def test_a_certificate_that_does_not_verify_is_refused_and_a_ca_of_ones_own_is_taken(
    served, local, tmp_path
):
    import ssl
    import subprocess

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["/usr/bin/env", "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with rest_server(served, context) as url:
        with pytest.raises(EndpointError, match="certificate does not verify"):
            connected(url)
        endpoint = connected(url, ca_file=certificate)
        assert np.allclose(endpoint(IMAGES), local(IMAGES), atol=1e-6)


def test_a_file_that_is_left_behind_holds_what_was_spent_and_nothing_else_is_made(served, tmp_path):
    with pytest.raises(EndpointError):
        connected("http://127.0.0.1:9/v1/models/m", cache=tmp_path / "run" / "queries.sqlite")
    assert not (tmp_path / "run").exists()
    with rest_server(served) as url, pytest.raises(UsageError, match="NOSUCH is empty"):
        connected(url, auth="env:NOSUCH", cache=tmp_path / "run" / "queries.sqlite")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("server", [rest_server, grpc_server])
def test_a_server_that_repeats_the_secret_is_quoted_without_it(server, served, monkeypatch):
    monkeypatch.setenv("TOKEN", 'Bearer open"sesame')
    served.faults = lambda request: "PERMISSION_DENIED" if server is grpc_server else "503"
    served.says = 'no such token: open"sesame'
    with server(served) as url, pytest.raises(EndpointError, match="no such token: …") as refusal:
        connected(url, auth="env:TOKEN", retries=0)
    assert "sesame" not in str(refusal.value)


def test_a_header_that_grpc_refuses_is_refused_without_its_value(monkeypatch):
    monkeypatch.setenv("TOKEN", "opensesame")
    for header in ("X!Key", "key-bin"):
        with pytest.raises(UsageError, match="auth_header: expected letters") as refusal:
            connected("grpc://127.0.0.1:9/m", auth="env:TOKEN", auth_header=header)
        assert "opensesame" not in str(refusal.value)


def test_no_words_of_a_grpc_server_make_a_query_free(served):
    served.faults = lambda request: "UNAVAILABLE" if request % 2 else ""
    served.says = "failed to connect to all addresses"
    with grpc_server(served) as url:
        assert connected(url).meter.count.sent == served.images
