"""The Adversarial Robustness Toolbox's attacks on a Keras model, by the names of their classes."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

import art.attacks.evasion as attacks
import keras
import numpy as np
from art.estimators.classification import TensorFlowV2Classifier

from benchmarks.peers.task import Made, Task

PACKAGES = ("adversarial-robustness-toolbox", "multiprocess")
_BATCH = 100


class _Counting(TensorFlowV2Classifier):
    """Counts the images it predicts."""

    queries = 0

    def predict(self, x: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
        """Return the logits."""
        self.queries += len(x)
        return super().predict(x, *args, **kwargs)


def craft(attack: str, task: Task, options: Mapping[str, Any]) -> Made:
    """Return what `art.attacks.evasion.<attack>(**options)` makes, 100 images at a time."""
    estimator = _Counting(
        model=task.classifier.model,
        nb_classes=task.classifier.num_classes,
        input_shape=task.classifier.image_shape,
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )
    kind = getattr(attacks, attack)
    common = {"batch_size": _BATCH, "verbose": False}
    known = inspect.signature(kind.__init__).parameters
    run = kind(estimator, **{k: v for k, v in common.items() if k in known}, **options)
    one_hot = np.eye(task.classifier.num_classes, dtype=np.float32)
    with _quiet():
        crafted = run.generate(task.images.copy(), y=one_hot[task.goal])
    return Made(crafted.astype(np.float32), estimator.queries / len(task.images))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bars of attacks that ART's AutoAttack starts; they have no option."""
    logging.getLogger("art").setLevel(logging.ERROR)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield
