"""Foolbox's attacks on a Keras model, by the names of their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import foolbox
import tensorflow as tf

from benchmarks.peers.task import Made, Task

PACKAGES = ("foolbox",)


def craft(attack: str, task: Task, options: Mapping[str, Any]) -> Made:
    """Return what `foolbox.attacks.<attack>(**options)` makes; `eps` is its budget, if given."""
    named = dict(options)
    eps = named.pop("eps", None)
    model = foolbox.TensorFlowModel(task.classifier.model, bounds=(0, 1))
    run = getattr(foolbox.attacks, attack)(**named)
    if task.targets is None:
        goal = foolbox.criteria.Misclassification(tf.constant(task.labels))
    else:
        goal = foolbox.criteria.TargetedMisclassification(tf.constant(task.targets))
    _, crafted, _ = run(model, tf.constant(task.images), goal, epsilons=eps)
    return Made(crafted.numpy())
