"""How large the tuples of a pickle are, counted before it is read.

Sixty tuples, each of which holds the one before twice, take two hundred bytes and have 2⁶⁰ leaves.
As the key of a dict they are hashed, leaf by leaf, and reading never ends. So a pickle's opcodes
are played through first, on a stack of sizes instead of things.
"""

from __future__ import annotations

import pickletools
from io import BytesIO
from typing import Any

_MOST = 1000  # leaves of a tuple; those of a tensor have about twenty
_MARK = -1
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def check_tuples(file: BytesIO) -> None:
    """Refuse a pickle at the file's position with a tuple of more than a thousand leaves.

    Raises:
        ValueError: says so.
        Exception: a damaged pickle raises nearly anything.
    """
    stack: list[int] = []
    memo: dict[int, int] = {}
    for opcode, argument, _ in pickletools.genops(file):
        _play(opcode, argument, stack, memo)
        if stack and stack[-1] > _MOST:
            raise ValueError(f"it nests tuples with more than {_MOST:,} leaves")


def _play(opcode: Any, argument: Any, stack: list[int], memo: dict[int, int]) -> None:
    """Do to a stack of sizes what an opcode does to a stack of things."""
    name = opcode.name
    if name in _PUTS:
        memo[len(memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
    elif name in _GETS:
        stack.append(memo[int(argument)])
    elif name == "DUP":
        stack.append(stack[-1])
    elif name == "TUPLE":
        stack.append(1 + sum(_since_mark(stack)))
    elif name in _TUPLES:
        count = _TUPLES[name]
        parts = [stack.pop() for _ in range(count)]
        stack.append(1 + sum(parts))
    else:
        _play_other(opcode, stack)


def _play_other(opcode: Any, stack: list[int]) -> None:
    """Handle an operation that makes no tuple: its result counts as one leaf."""
    before = [item.name for item in opcode.stack_before]
    if "mark" in before:
        _since_mark(stack)
        before = before[: before.index("mark")]
    for _ in before:
        stack.pop()
    for item in opcode.stack_after:
        stack.append(_MARK if item.name == "mark" else 1)


def _since_mark(stack: list[int]) -> list[int]:
    items = []
    while (size := stack.pop()) != _MARK:
        items.append(size)
    return items
