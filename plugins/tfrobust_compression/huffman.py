"""Huffman codes: the number of bits of a sequence of symbols.

Huffman, "A method for the construction of minimum-redundancy codes" (1952).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

import numpy as np


def code_lengths(counts: Sequence[int]) -> list[int]:
    """Return the bits of each symbol's code, given how often it occurs; 0 for one that does not.

    Args:
        counts: 0 or more for each symbol.

    Example:
        >>> code_lengths([5, 2, 1, 1])
        [1, 2, 3, 3]
    """
    lengths = [0] * len(counts)
    order = itertools.count()  # between equal counts the older tree comes first
    trees = [(count, next(order), [symbol]) for symbol, count in enumerate(counts) if count]
    if len(trees) == 1:
        lengths[trees[0][2][0]] = 1  # a code of no bits could not be counted
    heapq.heapify(trees)
    while len(trees) > 1:
        first, second = heapq.heappop(trees), heapq.heappop(trees)
        joined = first[2] + second[2]
        for symbol in joined:
            lengths[symbol] += 1
        heapq.heappush(trees, (first[0] + second[0], next(order), joined))
    return lengths


def coded_bits(symbols: np.ndarray) -> int:
    """Return how many bits a row of symbols takes under its own Huffman code.

    The code itself takes a byte more for each symbol that occurs: its length, from which the
    canonical code follows.

    Args:
        symbols: integers from 0 upwards, of any shape.

    Example:
        >>> coded_bits(np.array([0, 0, 0, 0, 0, 1, 1, 2, 3])) - 4 * 8
        15
    """
    counts = np.bincount(symbols.ravel()).tolist() if symbols.size else []
    bits: int = sum(n * length for n, length in zip(counts, code_lengths(counts), strict=True))
    return bits + 8 * sum(n > 0 for n in counts)
