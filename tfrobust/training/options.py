"""The options of a training."""

from __future__ import annotations

from typing import Literal

from tfrobust.options import option, plugin
from tfrobust.training.devices import StrategyName


@plugin
class TrainingOptions:
    """How a model is trained; recorded in its card."""

    epochs: int = option("passes over the training images; 0: none", default=10, ge=0)
    batch_size: int | None = option(
        "images a step, over all devices; none: 128, fewer where an epoch had under 40 steps",
        default=None,
        ge=1,
    )
    optimizer: Literal["adam", "sgd"] = option("adam, or sgd with momentum 0.9", default="adam")
    learning_rate: float = option("that the schedule starts from", default=1e-3, gt=0)
    schedule: Literal["constant", "cosine", "step", "quarters", "epoch"] = option(
        "of the learning rate: cosine to zero, ÷ 10 after 1/2 and 3/4 of the steps, ÷ 2, 4 and 10 "
        "after each quarter, or ÷ `decay` after every epoch",
        default="constant",
    )
    decay: float = option("divides the learning rate; of the schedule `epoch`", default=10, ge=1)
    weight_decay: float = option("decoupled, a step", default=0.0, ge=0)
    validation: float = option("share of the training images held out", default=0.1, ge=0, lt=1)
    patience: int | None = option(
        "stop after so many epochs without a better one", default=None, ge=1
    )
    target: float | None = option(
        "stop after an epoch of this validation accuracy", default=None, gt=0, le=1
    )
    seed: int = option("decides everything random", default=0, ge=0, lt=2**31)
    strategy: StrategyName = option("of tf.distribute: auto takes all GPUs", default="auto")
