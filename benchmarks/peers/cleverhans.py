"""CleverHans's attacks, run eagerly as its documentation has it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from benchmarks.peers.task import Made, Task

PACKAGES = ("cleverhans",)


def craft(attack: str, task: Task, options: Mapping[str, Any]) -> Made:
    """Return what `cleverhans.tf2.attacks.<attack>` makes."""
    goal = {"y": tf.constant(task.goal)}
    box = {"clip_min": 0.0, "clip_max": 1.0}
    run = getattr(importlib.import_module(f"cleverhans.tf2.attacks.{attack}"), attack)
    crafted = run(task.classifier, tf.constant(task.images), **options, **box, **goal)
    return Made(crafted.numpy())
