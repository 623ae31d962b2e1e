"""What a peer's attack finds by each query: its model is a recorder of all that it asks.

An attack is stopped by an exception at its last query, and the nearest adversarial image among its
first queries is what it is credited with, whether or not it would have returned that image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.peers.task import NotInstalledError, peer
from tfrobust import Classifier
from tfrobust.norms.distances import distances
from tfrobust.types import Norm

Run = Callable[[np.ndarray, np.ndarray], Any]


class BudgetSpentError(Exception):
    """The attack has asked all it may."""


class Recorder:
    """A classifier that keeps what it was asked about some images.

    Args:
        classifier: the network.
        norm: in which distances are measured.
        limit: queries that are answered for each image.
    """

    def __init__(self, classifier: Classifier, norm: Norm, limit: int) -> None:
        spec = tf.TensorSpec((None, *classifier.image_shape), tf.float32)
        self._predict = tf.function(classifier, input_signature=[spec])
        self.classifier, self.norm, self.limit = classifier, norm, limit

    def begin(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Forget all, and record queries about other images; of several, all at once each time."""
        self._images, self._labels, self._found = images, labels, list[np.ndarray]()
        self.asked = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return logits `(batch, classes)`.

        Raises:
            BudgetSpentError: these are more than there is room for.
            ValueError: they are not the same number of queries for each image.
        """
        count = len(self._images)
        if len(images) % count:
            raise ValueError(f"expected queries about {count} images; received: {len(images)}")
        room = (self.limit - self.asked) * count
        if room == 0:
            raise BudgetSpentError
        asked = np.asarray(images[:room], np.float32)
        times = len(asked) // count
        logits = self._predict(asked).numpy()
        self.asked += times
        clean = np.tile(self._images, (times, 1, 1, 1))
        apart = distances(clean, np.clip(asked, 0.0, 1.0))[self.norm]
        fooled = logits.argmax(axis=1) != np.tile(self._labels, times)
        self._found.append(np.where(fooled, apart, np.inf).reshape(times, count))
        if len(images) > room:
            raise BudgetSpentError
        return logits

    def least(self, grid: Sequence[int]) -> np.ndarray:
        """Return the distances of the nearest adversarial images by then, `(queries, images)`."""
        found = np.concatenate([*self._found, np.full((1, len(self._images)), np.inf)])
        return np.array([found[:queries].min(axis=0) for queries in grid])


@dataclasses.dataclass(frozen=True)
class PeerAttack:
    """A peer's attack.

    Attributes:
        library: `art` or `foolbox`.
        name: of its class.
        options: of the class.
        planned: the option that takes the number of queries, if the attack plans by it; it is then
            run once for each number.
        probabilities: whether it wants them instead of logits.
        least: the fewest queries that it can plan by.
        alone: whether it goes on asking about an image until it is done with all of a batch.
        start_steps: noisy images that Foolbox's pointwise attack may try for a start.
    """

    library: str
    name: str
    options: dict[str, Any]
    planned: str | None = None
    probabilities: bool = False
    least: int = 1
    alone: bool = False
    start_steps: int | None = None

    @property
    def at_once(self) -> int:
        """Images that it attacks together, at most; ART goes image by image."""
        return 1 if self.library == "art" or self.alone else 100

    @property
    def title(self) -> str:
        """The library and its version.

        Raises:
            NotInstalledError: it is missing.
        """
        return peer(self.library)[1]

    def prepare(self, recorder: Recorder, queries: int) -> Run:
        """Return `(images, labels)` → the attack's run; the recorder ends it with the budget."""
        options = self.options | ({self.planned: queries} if self.planned else {})
        return _PREPARED[self.library](self, recorder, options)


def _art(attack: PeerAttack, recorder: Recorder, options: dict[str, Any]) -> Any:
    import art.attacks.evasion as attacks
    import keras
    from art.estimators.classification import TensorFlowV2Classifier

    classifier: Any = recorder.classifier

    class Asking(TensorFlowV2Classifier):
        """Asks the recorder."""

        def predict(self, x: np.ndarray, *_: Any, **__: Any) -> np.ndarray:
            """Return the logits or probabilities."""
            logits = recorder(x)
            return tf.nn.softmax(logits).numpy() if attack.probabilities else logits

    estimator = Asking(
        model=classifier.model,
        nb_classes=classifier.num_classes,
        input_shape=classifier.image_shape,
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )
    run = getattr(attacks, attack.name)(estimator, verbose=False, **options)
    one_hot = np.eye(classifier.num_classes, dtype=np.float32)
    return lambda images, labels: run.generate(images.copy(), y=one_hot[labels])


def _foolbox(attack: PeerAttack, recorder: Recorder, options: dict[str, Any]) -> Any:
    import foolbox

    if attack.start_steps:
        first = foolbox.attacks.SaltAndPepperNoiseAttack(steps=attack.start_steps)
        options = options | {"init_attack": first}
        # Foolbox's pointwise attack indexes by lists, which fails on tensors of TensorFlow.
        model, given = foolbox.models.NumPyModel(recorder, (0, 1), "channels_last"), np.asarray
    else:

        def answers(x: Any) -> Any:
            return tf.constant(recorder(x.numpy()))

        model, given = foolbox.TensorFlowModel(answers, bounds=(0, 1)), tf.constant
    run = getattr(foolbox.attacks, attack.name)(**options)

    return lambda images, labels: run(
        model,
        given(images),
        foolbox.criteria.Misclassification(given(labels)),
        epsilons=None,
    )


_PREPARED = {"art": _art, "foolbox": _foolbox}
__all__ = ["BudgetSpentError", "NotInstalledError", "PeerAttack", "Recorder"]
