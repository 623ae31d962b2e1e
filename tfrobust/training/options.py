"""The options of a training."""

from __future__ import annotations

from typing import Literal

from tfrobust.options import option, plugin

StrategyName = Literal["auto", "default", "mirrored", "multiworker"]


@plugin
class TrainingOptions:
    """How a model is trained; recorded in its card."""

    epochs: int = option("passes over the images; 0 trains nothing", default=10, ge=0)
    batch_size: int | None = option(
        "images per step over all devices; none: 128 at most",
        default=None,
        ge=1,
    )
    optimizer: Literal["adam", "sgd"] = option(
        "optimizer: adam, or sgd with momentum 0.9", default="adam"
    )
    learning_rate: float = option("initial learning rate", default=1e-3, gt=0)
    schedule: Literal["constant", "cosine", "step", "quarters", "epoch"] = option(
        "learning rate schedule: constant, cosine (to zero), step (÷ 10 after 1/2 and 3/4 of "
        "the steps), quarters (÷ 2, 4, 10 after each) or epoch (÷ decay after each)",
        default="constant",
    )
    decay: float = option(
        "schedule epoch: divides the learning rate after every epoch", default=10, ge=1
    )
    weight_decay: float = option("decoupled weight decay per step", default=0.0, ge=0)
    validation: float = option(
        "share of training images held out to choose the best epoch", default=0.1, ge=0, lt=1
    )
    patience: int | None = option(
        "stop after this number of epochs without improvement", default=None, ge=1
    )
    target: float | None = option(
        "stop at this validation accuracy, such as 0.99", default=None, gt=0, le=1
    )
    seed: int = option("determines all random numbers", default=0, ge=0, lt=2**31)
    strategy: StrategyName = option(
        "tf.distribute strategy: auto (all GPUs), default, mirrored or multiworker",
        default="auto",
    )
