"""Requests side by side: what is paid for arrives, what never left costs nothing."""

import collections
import contextlib
import os
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifiers.python_calls import call_python, raised_in_python
from tfrobust.classifiers.remote import waiting
from tfrobust.classifiers.remote.answers import Answers
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.protocol import OtherModelError, TransientError
from tfrobust.classifiers.remote.questions import Question
from tfrobust.classifiers.remote.sending import Sender
from tfrobust.classifiers.remote.spending import Spending
from tfrobust.errors import EndpointError

IMAGES = np.arange(40, dtype=np.float32).reshape(40, 1, 1, 1) / 64
QUESTION = Question("serving_default", "images", np.float32)


class Wire:
    """Answers each image with itself, after `fault(number of the request)` has had its way."""

    def __init__(self, fault=lambda request: None, seconds=0.0):
        self.requests, self.images, self._lock = 0, 0, threading.Lock()
        self._fault, self._seconds = fault, seconds

    def predict(self, signature, name, images):
        with self._lock:
            self.requests += 1
            self.images += len(images)
            request = self.requests
        time.sleep(self._seconds)
        self._fault(request)
        return {"logits": images.reshape(len(images), -1)}


def sent(wire, *, read=lambda rows, outputs: None, images=IMAGES, retries=0, spending=None, **how):
    """Send images; return the rows that were answered, and what was spent."""
    spending = spending or Spending(Answers(None), None)
    spending.pay(len(images), "attacks")
    options = RemoteOptions(**({"batch": 1, "concurrency": 4, "retries": retries} | how))
    sender, arrived = Sender(wire, options, spending), []

    def answered(rows, outputs):
        read(rows, outputs)
        arrived.extend(rows.tolist())

    failure = None
    try:
        sender.send(QUESTION, images, "attacks", answered)
    except (EndpointError, KeyboardInterrupt) as error:
        failure = error
    sender.close()
    return arrived, spending, failure


def raising(error, *numbers):
    def fault(request):
        if request in numbers:
            raise error

    return fault


def test_no_request_leaves_while_the_server_asks_one_of_them_to_wait():
    """Four requests at once, of which the first is told to wait: only those under way arrive."""
    moments = collections.deque()

    def busy(request):
        moments.append(time.monotonic())
        if request == 1:
            raise TransientError("busy", wait=0.4)
        time.sleep(0.05)

    arrived, spending, failure = sent(Wire(busy), retries=1)
    assert failure is None
    assert sorted(arrived) == list(range(40))
    assert spending.sent == len(moments) == 41
    assert sum(moment < moments[0] + 0.4 for moment in moments) <= 4


@pytest.mark.parametrize("wrong", ["request", "answer"])
def test_a_failure_loses_no_answer_that_was_paid_for_and_what_never_left_costs_nothing(wrong):
    wire = Wire(raising(EndpointError("no") if wrong == "request" else None, 7), seconds=0.01)

    def read(rows, outputs):
        if wrong == "answer" and rows[0] == 6:
            raise EndpointError("no")

    if wrong == "answer":
        wire = Wire(seconds=0.01)
    arrived, spending, failure = sent(wire, read=read)
    assert str(failure) == "no"
    assert len(arrived) == wire.images - 1
    assert wire.images < len(IMAGES)
    assert spending.sent == spending.by["attacks"].sent == wire.images


def test_a_request_that_never_left_is_given_back_the_second_time_too(monkeypatch):
    monkeypatch.setattr(waiting, "_FIRST_WAIT", 0.001)
    away = TransientError("refused", left=False)

    def fault(request):
        raise TransientError("busy") if request == 1 else away

    wire = Wire(fault)
    _, spending, failure = sent(wire, images=IMAGES[:1], retries=2)
    assert failure is away
    assert wire.requests == 3
    assert (spending.sent, spending.repeated) == (1, 0)


def test_that_another_model_answers_is_not_hidden_by_an_error_that_came_first():
    other = OtherModelError("http://localhost", "another version")
    for first, second in [(EndpointError("no"), other), (other, EndpointError("no"))]:

        def fault(request, first=first, second=second):
            if request <= 2:
                time.sleep(0.05 * request)  # both are on their way
                raise first if request == 1 else second

        assert sent(Wire(fault), concurrency=2)[2] is other


def test_a_failure_ends_the_waiting_of_requests_that_were_to_leave_later():
    wire = Wire(raising(EndpointError("no"), 1))
    began, before = time.monotonic(), time.process_time()
    _, spending, failure = sent(wire, requests_per_second=0.5, concurrency=4)
    assert str(failure) == "no"
    assert spending.sent == wire.images == 1
    assert time.monotonic() - began < 1.0  # the second one was to leave after two seconds
    assert time.process_time() - before < 1.0


@contextlib.contextmanager
def ctrl_c():
    """Yield a timer that presses Ctrl-C soon after it is started."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # xdist's workers ignore it
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    try:
        yield timer
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("traced", [False, True])
def test_after_ctrl_c_nothing_leaves_and_what_is_on_its_way_is_kept(traced):
    spending, arrived = Spending(Answers(None), None), []

    def ask(images):
        failure = sent(
            wire, read=lambda rows, _: arrived.append(rows), spending=spending, concurrency=2
        )[2]
        if failure:
            raise failure
        return images

    with ctrl_c() as timer:
        wire = Wire(lambda request: timer.start() if request == 1 else None, seconds=0.05)
        run = tf.function(lambda images: call_python(ask, [images], tf.float32))
        with pytest.raises(KeyboardInterrupt), raised_in_python():
            run(tf.constant(IMAGES)) if traced else ask(IMAGES)
    time.sleep(0.2)  # until those on their way have arrived
    left = wire.images
    time.sleep(0.1)
    assert wire.images == left < len(IMAGES)
    assert spending.sent == len(arrived) == left
