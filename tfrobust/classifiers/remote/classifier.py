"""An endpoint as a classifier: TensorFlow Serving's protocols, asked from traced graphs.

    http(s)://HOST:PORT/v1/models/NAME[/versions/N]     REST
    grpc(s)://HOST:PORT/NAME[/versions/N]               gRPC

It has no gradient, and every answer costs (`Classifier.meter`). The logits of an endpoint that
answers in probabilities are their logarithms, which have the same differences as the logits before
the softmax, except for classes below float32's least probability. The logits of one that answers in
labels alone are 1 for the label and 0 for the others, which is all that a decision-based attack
reads.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.asking import NUMBERS, is_shared
from tfrobust.classifiers.identity import agree, probes
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.python_calls import call_python
from tfrobust.classifiers.remote.address import Address, parsed
from tfrobust.classifiers.remote.answers import Answers, keys_of, opened
from tfrobust.classifiers.remote.chosen_output import reading_of
from tfrobust.classifiers.remote.endpoint import Endpoint
from tfrobust.classifiers.remote.grpc_wire import GrpcWire
from tfrobust.classifiers.remote.inputs import question_of
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.paid_answers import PaidAnswers
from tfrobust.classifiers.remote.probe import Probe
from tfrobust.classifiers.remote.protocol import Description, Outputs, Wire
from tfrobust.classifiers.remote.questions import Question
from tfrobust.classifiers.remote.reading import Reading
from tfrobust.classifiers.remote.rest import RestWire
from tfrobust.classifiers.remote.sending import Sender, spent_error
from tfrobust.classifiers.remote.spending import Spending
from tfrobust.classifiers.remote.waiting import persistently
from tfrobust.errors import ClassifierError, RobustError, UsageError
from tfrobust.norms.levels import rounded
from tfrobust.types import Images, ImageShape, Logits

_NOBODY = np.zeros(0, np.int32)  # no attack asks
_TWICE = 1e-4  # relative difference of two answers of a model that draws nothing
_ETHICS = "an endpoint: attack only what is yours, or what you have leave to test"


class RemoteClassifier(Classifier):
    """An endpoint; made by `connect`.

    Args:
        endpoint: answers.
        **traits: see `Traits`.
    """

    def __init__(self, endpoint: Endpoint, **traits: Any) -> None:
        super().__init__(differentiable=False, gives_logits=True, meter=endpoint, **traits)
        self._endpoint = endpoint

    def __call__(self, images: Images) -> Logits:
        """Return logits, float32 `(batch, num_classes)`: the only way to the endpoint."""
        numbers = _NOBODY if NUMBERS.now is None else NUMBERS.now
        images = tf.convert_to_tensor(images, tf.float32)
        ask = functools.partial(self._endpoint.ask, shared=is_shared())
        logits = call_python(ask, [images, numbers], tf.float32)
        return tf.ensure_shape(logits, (images.shape[0], self.num_classes))

    def trackables(self) -> NoReturn:
        """Refuse an export.

        Raises:
            ClassifierError: always.
        """
        raise ClassifierError(
            f"{self.source}: an endpoint cannot be exported; export the classifier that it serves"
        )


def connect(text: str, options: LoadOptions) -> RemoteClassifier:
    """Return an endpoint as a classifier, once it has answered about one image.

    Args:
        text: its address.
        options: what the user says about it; `remote` says how it is asked.

    Raises:
        UsageError: the address is none, or of a host that the user does not vouch for; an option
            of files was given; packages or secrets are missing.
        EndpointError: no server, no such model, or one that takes no images or gives no scores.
        BudgetSpentError: the budget is spent already.

    Example:
        >>> connect("http://localhost:8501/v1/models/digits", LoadOptions()).image_shape
        (8, 8, 1)
    """
    address, remote = parsed(text), options.remote.read_secrets()
    address.check_owned(remote.owned)
    if remote.auth is not None and not (address.secure or address.loopback):
        raise UsageError(
            f"{address.url}: --auth: a secret is not sent in the clear; use https:// or grpcs://"
        )
    if options.to_logits or options.custom_objects:
        raise UsageError(f"{address.url}: --to-logits and --custom-objects are about files")
    wire: Wire = GrpcWire(address, remote) if address.grpc else RestWire(address, remote)
    try:
        return _Connecting(address, options, wire).classifier()
    except RobustError:
        wire.close()
        raise


class _Connecting:
    """Gets to know an endpoint, step by step.

    Args:
        address: of the model.
        options: what the user says about it.
        wire: the connection.
    """

    def __init__(self, address: Address, options: LoadOptions, wire: Wire) -> None:
        self._address, self._options, self._wire = address, options, wire
        self._remote: RemoteOptions = options.remote

    def classifier(self) -> RemoteClassifier:
        """Return the classifier; see `connect`."""
        description = persistently(
            lambda: self._wire.describe(self._remote.signature), self._remote.retries
        )
        question, shape = question_of(description, self._remote, self._options.image_shape)
        question = question.ranging(self._options.pixel_range)
        answers = opened(self._remote.cache)
        try:
            return self._probed(description, question, shape, answers)
        except RobustError:
            answers.discard_unused()
            raise

    def _probed(
        self, description: Description, question: Question, shape: ImageShape, answers: Answers
    ) -> RemoteClassifier:
        """Return the classifier, after asking it about one image; twice, if it is new.

        A model that answers as one whose answers are kept has been asked more often than twice.
        """
        spending = Spending(answers, self._remote.max_queries)
        sender, image = Sender(self._wire, self._remote, spending), probes(shape)[:1]
        image = image if question.levels is None else rounded(image, question.levels)
        outputs = _paid(sender, spending, question, image)
        named = self._options.class_names
        reading = reading_of(description, outputs, 1, self._remote, named)
        probe = Probe(image, reading.logits(outputs, 1))
        name = self._name(description, question, reading)
        drawn, model = self._remote.stochastic, None
        if not drawn and (model := answers.known(name, probe.answer)) is None:
            again = reading.logits(_paid(sender, spending, question, image), 1)
            drawn = not agree(again, probe.answer, _TWICE).all()
        if not drawn and model is None:
            model = answers.model(name, probe.answer)
            answers.write(model, keys_of(image), probe.answer)
        paid = PaidAnswers(
            sender,
            question,
            reading,
            answers=answers,
            spending=spending,
            model=model,
            probe=probe,
            remote=self._remote,
            address=self._address,
        )
        endpoint, told = Endpoint(paid, self._remote), self._remote.stochastic
        weakref.finalize(endpoint, _close, sender, self._wire)
        return RemoteClassifier(
            endpoint,
            image_shape=shape,
            num_classes=reading.num_classes,
            class_names=reading.names,
            stochastic=drawn,
            decisions_only=reading.kind == "labels",
            pixel_levels=question.levels,
            source=self._address.url,
            loaded_with=self._options,
            notices=tuple(_notices(description, question, reading, drawn=drawn, told=told)),
        )

    def _name(self, description: Description, question: Question, reading: Reading) -> str:
        """Return what kept answers are found by, beside the probe's answer."""
        version = self._address.version or description.version
        name = self._address.url, version, question, reading, question.pixel_range
        return repr((*name, *reading.class_order))


def _paid(sender: Sender, spending: Spending, question: Question, image: Images) -> Outputs:
    """Return all outputs for one image, paid for."""
    found: list[Outputs] = []
    if spending.pay(1, "probes"):
        sender.send(question, image, "probes", lambda _, outputs: found.append(outputs))
    if not found:
        raise spent_error(spending.limit)
    return found[0]


def _close(sender: Sender, wire: Wire) -> None:
    """Leave an endpoint that nobody asks any more."""
    sender.close()
    wire.close()


def _notices(
    description: Description, question: Question, reading: Reading, *, drawn: bool, told: bool
) -> Iterator[str]:
    """Yield what the user should know of an endpoint."""
    yield _ETHICS
    output = repr(reading.output) if reading.output else "its only output"
    if reading.kind == "probabilities":
        yield f"{output} holds probabilities; their logarithms serve as logits"
    if reading.kind == "log-probabilities":
        yield f"{output} holds logarithms of probabilities; they serve as logits"
    if reading.kind == "labels":
        yield f"{output} holds labels alone; score-based attacks cannot be run on it"
    if question.levels is not None:
        how = "picture files, and gets PNG" if question.by_file else "numbers of 8 bits"
        yield f"it takes {how}: images are sent, and judged, in {question.levels} levels"
    if drawn:
        why = "it draws at random, as was said" if told else "it answers the same image differently"
        yield f"{why}; its answers are not kept, and an interrupted run pays for them again"
    elif description.version is not None:
        yield f"version {description.version} answers"
