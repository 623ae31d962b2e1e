"""What each step of `fmn` does: one run as in the paper, or several and one from the best image."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import tensorflow as tf

ANY = -1  # no single class: the rival is the class with the largest logit but the label's
_LAST_STEP = 0.01  # α falls to this share of itself along half a cosine
_LAST_GAMMA = 0.001  # γ falls to this, in the same way
_STARTING = 0.6  # share of the steps in runs towards single classes
_LEAST_STEPS = 5  # of such a run
_FIRST_SIZE = 2.0  # its α₀ in units of the option: it has few steps to get there


class Schedule(NamedTuple):
    """A number for each step; or, sliced, those of one step.

    Attributes:
        gamma: γ_k: relative change of ε.
        size: α_k: an L2 norm, or a share of that of the best perturbation.
        rival: the number of the likely class to go to, or `ANY`.
        clean: whether a run starts from the clean image here.
        best: whether the run from the best image starts here.
    """

    gamma: Any
    size: Any
    rival: Any
    clean: Any
    best: Any

    def at(self, number: Any) -> Schedule:
        """Return the numbers of one step."""
        return Schedule(*(numbers[number] for numbers in self))


def classes_tried(classes: int, steps: int) -> int:
    """Return how many likely classes get a run of their own; 0: the paper's single run.

    Args:
        classes: how many are wanted.
        steps: of the whole attack.

    Example:
        >>> classes_tried(5, 100), classes_tried(5, 20), classes_tried(5, 8)
        (5, 2, 0)
    """
    return min(classes, int(_STARTING * steps) // _LEAST_STEPS)


def schedule(steps: int, gamma: float, size: float, classes: int) -> Schedule:
    """Return the schedule of all steps.

    Args:
        steps: how many.
        gamma: γ₀.
        size: α₀.
        classes: how many likely classes get a run of their own; see `classes_tried`.
    """
    if not classes:
        return _joined([_run(steps, gamma, size, ANY)])
    each = int(_STARTING * steps) // classes
    wide = 1.0 - (1.0 - gamma) ** 2  # a short run closes in twice as fast
    runs = [_run(each, wide, _FIRST_SIZE * size, rival) for rival in range(classes)]
    last = _run(steps - classes * each, gamma, size, ANY)
    return _joined([*runs, last._replace(clean=last.best, best=last.clean)])


def _run(steps: int, gamma: float, size: float, rival: int) -> Schedule:
    first = [number == 0 for number in range(steps)]
    return Schedule(
        gamma=_annealed(gamma, min(gamma, _LAST_GAMMA), steps),
        size=_annealed(size, _LAST_STEP * size, steps),
        rival=[rival] * steps,
        clean=first,
        best=[False] * steps,
    )


def _joined(runs: list[Schedule]) -> Schedule:
    columns = zip(*runs, strict=True)
    return Schedule(*(tf.constant(list(itertools.chain(*column))) for column in columns))


def _annealed(first: float, last: float, steps: int) -> list[float]:
    """Return one number per step, falling along half a cosine."""
    turns = (math.cos(math.pi * number / steps) for number in range(steps))
    return [last + (first - last) * (1.0 + turn) / 2.0 for turn in turns]
