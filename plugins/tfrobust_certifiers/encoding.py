"""A ReLU network as matrices between the image, its rectifiers and the logits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrobust.bounds.network import Network
from tfrobust.bounds.operations import Arrangement, Largest, Linear, Rectifier
from tfrobust.bounds.pulling import pulled_back
from tfrobust.errors import UsageError

_LARGEST = 4_000_000  # entries of one matrix


class Affine(NamedTuple):
    """Σ W_k x_k + b of several tensors.

    Attributes:
        matrices: W_k, float64 `(rows, numbers of tensor k)`, by k: 0 is the image, others are what
            rectifiers give.
        constant: b, float64 `(rows,)`.
    """

    matrices: Mapping[int, np.ndarray]
    constant: np.ndarray


class Encoding(NamedTuple):
    """A network whose only operations that are not linear are rectifiers.

    Attributes:
        reads: what each rectifier reads, by the number of the tensor that it gives.
        leaks: their slopes below 0.
        logits: what the network gives.
    """

    reads: Mapping[int, Affine]
    leaks: Mapping[int, float]
    logits: Affine


def check_small(network: Network, certifier: str) -> None:
    """Refuse a network that is no ReLU network, or too large for matrices.

    Raises:
        UsageError: says which.
    """
    for operation in network.operations:
        if not isinstance(operation, Linear | Arrangement | Rectifier):
            what = "max pooling" if isinstance(operation, Largest) else "another activation"
            raise UsageError(
                f"{certifier}: expected a network whose only layers that are not linear are ReLU "
                f"and leaky ReLU; received: one with {what}; crown certifies those"
            )
    sizes = [math.prod(network.shape(k)) for k in range(len(network.operations) + 1)]
    kept = [0, *(k for k, o in enumerate(network.operations, 1) if isinstance(o, Rectifier))]
    for before, after in zip(kept, [*kept[1:], network.output], strict=True):
        if (entries := sizes[before] * sizes[after]) > _LARGEST:
            raise UsageError(
                f"{certifier}: expected a small network; received: {sizes[after]} numbers that "
                f"depend on {sizes[before]}, a matrix of {entries:,} entries, more than "
                f"{_LARGEST:,}; crown certifies larger ones"
            )


def encoded(network: Network) -> Encoding:
    """Return a network as matrices; its weights as they are now."""
    rectifiers = {k: o for k, o in enumerate(network.operations, 1) if isinstance(o, Rectifier)}
    return Encoding(
        {k: _affine(network, rectifier.reads[0]) for k, rectifier in rectifiers.items()},
        {k: rectifier.leak for k, rectifier in rectifiers.items()},
        _affine(network, network.output),
    )


def _affine(network: Network, number: int) -> Affine:
    """Return a tensor as a function of the rectifiers before it and of the image."""
    shape = network.shape(number)
    size = math.prod(shape)
    found, constant = pulled_back(network, tf.reshape(tf.eye(size), (1, size, *shape)), number)
    matrices = {k: np.asarray(slopes, np.float64).reshape(size, -1) for k, slopes in found.items()}
    return Affine(matrices, np.asarray(constant, np.float64)[0])
