"""The optimizer of a training and its learning rate, in the model's Keras generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfrobust.classifiers.keras.models import keras_of

if TYPE_CHECKING:
    from tfrobust.training.options import TrainingOptions


def optimizer_for(model: Any, options: TrainingOptions, steps_an_epoch: int) -> Any:
    """Return an optimizer that is built for a model; call it in the strategy's scope.

    Args:
        model: the Keras model, of either generation.
        options: of the training.
        steps_an_epoch: updates of the weights an epoch, which the schedule counts.
    """
    keras = keras_of(model)
    rate = _schedule(keras, options, steps_an_epoch)
    decay = {"weight_decay": options.weight_decay} if options.weight_decay else {}
    if options.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, **decay)
    else:
        optimizer = keras.optimizers.Adam(rate, **decay)
    optimizer.build(model.trainable_variables)
    return optimizer


def _schedule(keras: Any, options: TrainingOptions, epoch: int) -> Any:
    """Return the learning rate, or Keras's schedule of it; `epoch` in steps."""
    rate = options.learning_rate
    total = max(epoch * options.epochs, 1)
    if options.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(rate, total)
    if options.schedule == "step":
        return _steps(keras, [total // 2, total * 3 // 4], [rate, rate / 10, rate / 100])
    if options.schedule == "quarters":
        quarters = [total // 4, total // 2, total * 3 // 4]
        return _steps(keras, quarters, [rate, rate / 2, rate / 4, rate / 10])
    if options.schedule == "epoch" and options.epochs > 1:
        later = range(1, options.epochs)
        rates = [rate, *(rate / options.decay**number for number in later)]
        return _steps(keras, [number * epoch for number in later], rates)
    return rate


def _steps(keras: Any, updates: Sequence[int], rates: Sequence[float]) -> Any:
    """Return a schedule that takes its next rate after each of these numbers of updates.

    Keras numbers updates from 0 and keeps the old rate at the boundary itself.
    """
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [number - 1 for number in updates], list(rates)
    )


def rate_used(optimizer: Any) -> float:
    """Return the learning rate of the last update that the optimizer made."""
    rate = optimizer._learning_rate  # `learning_rate` is the next update's in Keras 3
    if callable(rate):
        rate = rate(int(optimizer.iterations.numpy()) - 1)
    return float(rate.numpy() if hasattr(rate, "numpy") else rate)
