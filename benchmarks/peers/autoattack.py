"""The original AutoAttack in PyTorch, on a copy of a Keras model with the same weights.

The authors publish it on PyPI as `pyautoattack`, which their RobustBench depends on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pyautoattack import AutoAttack

from benchmarks.peers.task import Made, Task
from benchmarks.peers.torch_copy import TorchCopy

PACKAGES = ("pyautoattack", "torch")
_BATCH = 100


def craft(attack: str, task: Task, options: Mapping[str, Any]) -> Made:
    """Return what the version `attack` of AutoAttack makes, 100 images at a time."""
    model = TorchCopy(task.classifier.model).eval()
    ensemble = AutoAttack(model, version=attack, seed=0, **options)
    ours = torch.tensor(task.images.transpose(0, 3, 1, 2)).contiguous()
    crafted, _ = ensemble.run_standard_evaluation(
        ours, torch.tensor(task.labels), batch_size=_BATCH
    )
    return Made(np.ascontiguousarray(crafted.numpy().transpose(0, 2, 3, 1)))
