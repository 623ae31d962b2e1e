"""The tensors of a network whose boxes decide how tight its bounds are."""

from __future__ import annotations

from typing import NamedTuple

from tfrobust.bounds.network import Network
from tfrobust.bounds.operations import Arrangement, Linear


class Target(NamedTuple):
    """What stands before a tensor that an activation or a maximum reads.

    Attributes:
        follows: how many activations and maxima.
        mixes: how many operations of whose numbers each depends on several.
    """

    follows: int
    mixes: int


def targets(network: Network) -> dict[int, Target]:
    """Return the tensors that activations and maxima read, by number.

    Where they read another arrangement of a tensor, it is that one. What an activation gives is
    left out: its box follows from that of what it reads.
    """
    before: list[tuple[frozenset[int], frozenset[int]]] = [(frozenset(), frozenset())]
    found = {}
    for number, operation in enumerate(network.operations, start=1):
        follows, mixes = (
            frozenset[int]().union(*(before[read][kind] for read in operation.reads))
            for kind in (0, 1)
        )
        if isinstance(operation, Linear | Arrangement):
            before.append((follows, mixes | {number} if operation.mixes else mixes))
            continue
        before.append((follows | {number}, mixes))
        target = _rearranged(network, operation.reads[0])
        if target and isinstance(network.operations[target - 1], Linear | Arrangement):
            found[target] = Target(*map(len, before[target]))
    return found


def _rearranged(network: Network, number: int) -> int:
    """Return the tensor whose numbers a tensor has, each by itself."""
    while number:
        operation = network.operations[number - 1]
        if not isinstance(operation, Arrangement) or operation.mixes or len(operation.reads) > 1:
            break
        [number] = operation.reads
    return number
