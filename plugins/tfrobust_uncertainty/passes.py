"""Many passes through a random classifier; what does not depend on the draws runs once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.graph import is_functional, split
from tfrobust.draws import repeated
from tfrobust.errors import UsageError
from tfrobust.types import Images, KerasModel
from tfrobust_uncertainty.batch_statistics import BatchStatistics, of_passes
from tfrobust_uncertainty.drawing import call_draws, model_draws
from tfrobust_uncertainty.noise_layers import (
    always_on,
    each_for_itself,
    has_batch_statistics,
    has_noise,
    noisy,
    state_of,
)

_WIDEST = 4096  # numbers an image, up to which all passes go through in one batch


class Passes(tf.Module):
    """`samples` independent passes.

    Args:
        samples: how many.
        before: images → tensors, the same for every pass.
        after: those tensors → logits, random.
        together: let all passes through `after` in one batch: right only where every image of a
            batch is drawn for by itself.
        state: the variables behind it.
    """

    def __init__(
        self,
        samples: int,
        before: Callable[[Images], Any],
        after: Callable[[Any], Any],
        *,
        together: bool = False,
        state: list[Any] | None = None,
    ) -> None:
        super().__init__()
        self.samples, self.together, self.state = samples, together, state or []
        self._before, self._after = before, after

    def __call__(self, images: Images) -> Any:
        """Return the logits of every pass, float32 `(samples, batch, classes)`."""
        given = self._before(images)
        if self.samples == 1:
            return self._logits(given)[None]
        return self._as_one_batch(given) if self.together else self._one_by_one(given)

    def _logits(self, given: Any) -> Any:
        return tf.cast(self._after(given), tf.float32)

    def _as_one_batch(self, given: Any) -> Any:
        many = tf.nest.map_structure(lambda tensor: tf.repeat(tensor, self.samples, axis=0), given)
        with of_passes(self.samples):
            logits = self._logits(many)
        rows = tf.reshape(logits, (-1, self.samples, logits.shape[-1]))
        return tf.transpose(rows, (1, 0, 2))

    def _one_by_one(self, given: Any) -> Any:
        def once(number: Any) -> Any:
            with repeated(number):
                return self._logits(given)

        return tf.map_fn(
            once, tf.range(self.samples), fn_output_signature=tf.float32, parallel_iterations=1
        )


def passes_through(
    classifier: Classifier,
    samples: int,
    rate: float | None,
    batch_statistics: BatchStatistics = "running",
) -> Passes:
    """Return `samples` passes through a classifier, its dropout on.

    A Keras model is cut where its randomness begins, and the part before runs once. Any other
    classifier must be random already, and is called `samples` times.

    Args:
        classifier: to be made random, or random already.
        samples: how many passes.
        rate: of the dropout; see `noise_layers.noisy`.
        batch_statistics: what batch normalisation uses; see there too.

    Raises:
        UsageError: the classifier is not random, and no rate is given or nothing can be inserted;
            or it has no batch normalisation that could use the batch's statistics.
    """
    if isinstance(classifier, KerasClassifier) and is_functional(classifier.model):
        return _through_model(classifier.model, samples, rate, batch_statistics)
    if classifier.stochastic and rate is None and batch_statistics == "running":
        return Passes(samples, tf.identity, classifier)
    raise UsageError(
        "mc_dropout: dropout and batch_statistics can be switched only in a functional or "
        "sequential Keras model "
        f"(a .keras file, or while training); received: {type(classifier).__name__}, "
        f"{'random' if classifier.stochastic else 'not random'}"
    )


def _through_model(
    model: KerasModel, samples: int, rate: float | None, batch_statistics: BatchStatistics
) -> Passes:
    otherwise = model_draws(model)  # random without any dropout
    if rate is None and not (has_noise(model) or otherwise):
        raise UsageError(
            "mc_dropout: the model has no dropout and no other randomness; give a rate to insert "
            "some: -p rate=0.5"
        )
    if batch_statistics == "batch" and not has_batch_statistics(model):
        raise UsageError(
            "mc_dropout: batch_statistics=batch: the model has no batch normalisation, or a frozen "
            "one; leave the option out"
        )
    random = noisy(model, rate, batch_statistics)
    before, after = split(random, lambda call: always_on(call) or (otherwise and call_draws(call)))
    # It is unknown whether a third-party layer draws for every image separately.
    together = not otherwise and each_for_itself(random) and _widest(after) <= _WIDEST
    first = tf.identity if before is None else lambda images: before(images, training=False)
    return Passes(
        samples,
        first,
        lambda given: after(given, training=False),
        together=together,
        state=state_of(random),
    )


def _widest(model: KerasModel) -> int:
    """Return the most numbers an image that go into a model."""
    return max(math.prod(tensor.shape[1:]) for tensor in model.inputs)
