"""The parts of the adapter of endpoints: addresses, options, messages, kept answers, counting."""

import contextlib
import email.utils
import json
import sqlite3
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrobust.classifiers.remote.address import parsed
from tfrobust.classifiers.remote.answers import Answers, keys_of
from tfrobust.classifiers.remote.attempts import Attempt
from tfrobust.classifiers.remote.chosen_output import reading_of
from tfrobust.classifiers.remote.inputs import question_of
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.protocol import Description, TensorInfo
from tfrobust.classifiers.remote.reading import Reading
from tfrobust.classifiers.remote.rest_messages import outputs_of, retry_after, tensors_of
from tfrobust.errors import EndpointError, StoreError, UsageError
from tfrobust.meter import Goal

IMAGES = np.random.default_rng(0).uniform(size=(4, 2, 2, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "url", "loopback"),
    [
        ("http://localhost:8501/v1/models/m", "http://localhost:8501/v1/models/m", True),
        ("http://127.0.0.2/v1/models/m/", "http://127.0.0.2:80/v1/models/m", True),
        ("http://[::1]:1/v1/models/m", "http://[::1]:1/v1/models/m", True),
        ("https://h/a/b/v1/models/m/versions/3", "https://h:443/a/b/v1/models/m/versions/3", False),
        ("grpc://h:9/m.1", "grpc://h:9/m.1", False),
        ("grpcs://127.0.0.1/m/versions/07", "grpcs://127.0.0.1:443/m/versions/7", True),
        ("http://127.0.0.1.evil.example/v1/models/m", None, False),
        ("http://localhost.evil.example/v1/models/m", None, False),
    ],
)
def test_an_address_is_taken_apart_and_only_this_machine_is_loopback(text, url, loopback):
    address = parsed(text)
    assert url is None or address.url == url
    assert address.loopback == loopback
    if not loopback:
        with pytest.raises(UsageError, match=f"--i-own-this {address.host}"):
            address.check_owned(())
        address.check_owned((address.host.upper(),))


@pytest.mark.parametrize(
    "text",
    [
        "http://h/",
        "http://h/v1/models/",
        "http://h/v1/models/m:predict",
        "http://h/v1/models/m?key=1",
        "http://h/v1/models/m#a",
        "http://h/../x y/v1/models/m",
        "http://h:99999/v1/models/m",
        "http:///v1/models/m",
        "grpc://h:1/a/b",
        "grpc://h:1/m/versions/x",
        "http://h/v1/models/m/versions/-1",
    ],
)
def test_what_is_no_address_is_refused_with_the_form_of_one(text):
    with pytest.raises(UsageError, match="expected http"):
        parsed(text)


@pytest.mark.parametrize(
    "text", ["http://me:opensesame@h/v1/models/m", "http://me:opensesame@h:99999/v1/models/m"]
)
def test_a_password_in_an_address_is_refused_and_not_repeated(text):
    with pytest.raises(UsageError, match="--auth env:VARIABLE") as refusal:
        parsed(text)
    assert "opensesame" not in str(refusal.value)


@pytest.mark.parametrize(
    "options",
    [
        {"max_queries": 0},
        {"queries_per_image": 0},
        {"batch": 0},
        {"timeout": 0.0},
        {"timeout": float("nan")},
        {"requests_per_second": float("inf")},
        {"auth": "Bearer opensesame"},
        {"auth_header": "a: b"},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match="expected") as refusal:
        RemoteOptions(**options)
    assert "opensesame" not in str(refusal.value)


def test_a_secret_is_read_from_a_file_and_holds_one_line(tmp_path):
    (tmp_path / "token").write_text("Bearer abc\n")
    assert RemoteOptions(auth=f"file:{tmp_path / 'token'}").headers() == {
        "Authorization": "Bearer abc"
    }
    (tmp_path / "token").write_text("Bearer abc\r\nX-Evil: 1")
    with pytest.raises(UsageError, match="one line"):
        RemoteOptions(auth=f"file:{tmp_path / 'token'}").headers()


def test_a_server_says_when_to_come_again_in_seconds_or_by_a_date():
    assert retry_after("1.5") == 1.5
    assert retry_after(None) is retry_after("soon") is None
    later = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 25 < retry_after(later) <= 31


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=4), inside),
    max_leaves=8,
)


@given(JSON)
@settings(max_examples=60, deadline=None)
def test_any_json_is_read_as_logits_or_refused_in_one_line(record):
    try:
        tensors_of(record)
        outputs = outputs_of(json.loads(json.dumps(record)))
        reading = reading_of(Description({}, {}, None), outputs, 1, RemoteOptions(num_classes=3))
        logits = reading.logits(outputs, 1)
    except EndpointError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all()
        assert logits.shape == (1, reading.num_classes)
    assert len(refusal.splitlines()) <= 1


@pytest.mark.parametrize("size", [2**17, 2**13])
def test_images_that_no_memory_holds_are_refused_and_infinite_sizes_are_unknown(size):
    record = {"x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": 1e999}]}}}
    assert tensors_of(record)["x"].shape == (-1,)
    tensor = TensorInfo("DT_FLOAT", (-1, size, size, 3))
    with pytest.raises(EndpointError, match=f"at most 67108864 numbers.*received: {size} × {size}"):
        question_of(Description({"x": tensor}, {}, None), RemoteOptions(), None)


def test_probabilities_of_zero_have_finite_logits_and_bad_ones_are_refused():
    reading = Reading("p", "probabilities", 2)
    logits = reading.logits({"p": np.array([[1.0, 0.0], [0.25, 0.75]])}, 2)
    assert np.allclose(np.exp(logits), [[1, 0], [0.25, 0.75]])
    with pytest.raises(EndpointError, match="the sum 1"):
        reading.logits({"p": np.array([[0.5, 0.2]])}, 1)


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_answers_are_found_by_content_and_model_and_the_budget_is_never_overdrawn(kept, tmp_path):
    path = None if kept == "memory" else tmp_path / "a" / "queries.sqlite"
    answers = Answers(path)
    logits = np.arange(12, dtype=np.float32).reshape(4, 3)
    keys = keys_of(IMAGES)
    first, second = answers.model("m", logits[:1]), answers.model("m", logits[1:2])
    assert first != second
    assert answers.model("m", logits[:1] * (1 + 1e-5)) == first
    answers.write(first, keys[1:], logits[1:])
    positions, rows = answers.read(first, keys, 3)
    assert positions.tolist() == [1, 2, 3]
    assert np.array_equal(rows, logits[1:])
    assert len(answers.read(second, keys, 3)[0]) == 0
    assert [answers.reserve(4, 10) for _ in range(4)] == [4, 4, 2, 0]
    assert answers.reserve(9, 12) == 2
    assert answers.reserve(3, None) == 3
    assert answers.spent == 15
    if path:
        assert Answers(path).spent == 15


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "queries.sqlite").write_text("this is no database, whatever its name may say")
    with pytest.raises(StoreError, match="cannot be used"):
        Answers(tmp_path / "queries.sqlite")


def test_a_database_of_something_else_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "queries.sqlite"
    for statement in ("CREATE TABLE cookies (name TEXT)", "PRAGMA application_id=7"):
        path.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as file:
            file.execute(statement)
        before = path.read_bytes()
        with pytest.raises(StoreError, match="a database of something else"):
            Answers(path)
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE spent SET queries = -5",
        "UPDATE spent SET queries = 'none'",
        "UPDATE spent SET queries = 1e300",
        "INSERT INTO spent VALUES (0)",
        "UPDATE models SET probe = x'0102'",
        "UPDATE models SET probe = 'text'",
        "UPDATE answers SET logits = x'0102'",
        "UPDATE answers SET logits = 7",
    ],
)
def test_a_damaged_value_is_refused_with_what_to_do(damage, tmp_path):
    logits, keys = np.ones((4, 3), np.float32), keys_of(IMAGES)
    answers = Answers(tmp_path / "queries.sqlite")
    answers.write(answers.model("m", logits[:1]), keys, logits)
    with contextlib.closing(sqlite3.connect(tmp_path / "queries.sqlite")) as file, file:
        file.execute(damage)
    with pytest.raises(StoreError, match=r"damaged; put a copy back, or remove the file"):
        answers.read(answers.model("m", logits[:1]) * answers.reserve(1, None), keys, 3)


@given(
    st.integers(1, 9),
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=9), max_size=9),
)
@settings(max_examples=100, deadline=None)
def test_however_questions_are_mixed_each_image_is_answered_exactly_up_to_its_limit(limit, calls):
    goal = Goal(np.zeros(4, np.int64), targeted=False, norm="l2", budget=None)
    attempt = Attempt(IMAGES, goal, limit)
    answered = np.zeros(4, int)
    for call in calls:
        numbers = np.array(call)
        allowed = attempt.charge(numbers)
        np.add.at(answered, numbers[allowed], 1)
    asked = np.bincount(np.concatenate([[], *calls]).astype(int), minlength=4)
    assert np.array_equal(answered, np.minimum(asked, limit))
    assert np.array_equal(attempt.refused(np.arange(4)), asked > limit)
    assert attempt.asked == answered.sum()


def test_rows_that_belong_to_no_single_image_are_shared_out_and_answered_together_or_not():
    goal = Goal(np.zeros(4, np.int64), targeted=False, norm="l2", budget=None)
    attempt = Attempt(IMAGES, goal, 5)
    assert attempt.share(np.arange(4), 10).all()  # 3 of each
    assert attempt.share(np.arange(2), 3).all()  # 2 of the first two
    assert not attempt.share(np.arange(4), 3).any()
    assert attempt.refused(np.arange(4)).all()  # also those that could have paid


def test_the_nearest_adversarial_image_within_the_budget_is_remembered():
    labels = np.zeros(4, np.int64)
    goal = Goal(labels, targeted=False, norm="linf", budget=0.3)
    attempt = Attempt(IMAGES, goal, None)
    numbers = np.arange(4)
    other = np.eye(2, dtype=np.float32)[[1, 1, 0, 1]]  # the third is not adversarial
    for change in (0.2, 0.1, 0.25):
        attempt.see(numbers, IMAGES + np.float32(change), other)
    attempt.see(numbers, IMAGES + np.float32(0.5), other)
    attempt.refuse(np.array([0, 2]))
    settled = attempt.settled(np.zeros_like(IMAGES))
    assert np.allclose(settled[0], IMAGES[0] + 0.1)
    assert np.array_equal(settled[2], IMAGES[2])
    assert not settled[[1, 3]].any()
    assert attempt.cut_off == 2


@pytest.mark.parametrize(
    ("module", "address"),
    [("httpx", "http://127.0.0.1:9/v1/models/m"), ("tensorflow_serving", "grpc://127.0.0.1:9/m")],
)
def test_without_the_extra_one_line_says_what_to_install(module, address, monkeypatch):
    from tfrobust.store import load

    for name in [name for name in sys.modules if name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=r"pip install 'tfrobust\[remote\]'"):
        load(address)
