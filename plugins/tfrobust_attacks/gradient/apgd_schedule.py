"""When Auto-PGD looks back at its progress, and in L1 how far it may go meanwhile.

In L1 the ascent starts in a ball of three times the radius, goes on in one of twice the radius,
and ends in the ball asked for: Croce & Hein, "Mind the box: l1-APGD for sparse adversarial
attacks" (2021). The point that a phase found best, projected, is where the next one starts. That
projection takes the place of a step, so that a whole run takes the gradients that one phase would.
Images cannot stop early before the last phase.

On 100 digits, a network trained on PGD of 0.2 in Linf, and L1 of 1.5 and 2, `apgd_ce` leaves 34 and
18 (one phase: 52 and 32), with 5 restarts 24 and 7 (48 and 27), `apgd_t` 30 and 11 (45 and 28).
"""

from __future__ import annotations

from typing import NamedTuple

from tfrobust.types import Norm

_WIDER = 3, 2  # radii of the phases before the last, in ε
_TENTHS = 3  # of all steps, for each of these


class Schedule(NamedTuple):
    """One entry a step."""

    factors: tuple[float, ...]  # radius of the ball, in ε
    begins: tuple[bool, ...]  # whether the step is a projection into a smaller ball
    lengths: tuple[int, ...]  # at a checkpoint the steps since the last one, otherwise 0


def schedule(norm: Norm, steps: int) -> Schedule:
    """Return the phases of a run.

    Args:
        norm: only L1 has more than one.
        steps: of the whole run, 1 or more; with fewer than 4 there is one phase.

    Example:
        >>> schedule("l1", 10).factors
        (3.0, 3.0, 3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0)
    """
    wider = _TENTHS * steps // 10 if norm == "l1" else 0
    phases = [(float(factor), wider) for factor in _WIDER] if wider else []
    phases.append((1.0, steps - len(phases) * wider))
    factors: list[float] = []
    begins: list[bool] = []
    lengths: list[int] = []
    for factor, count in phases:
        projects = bool(factors)
        factors += [factor] * count
        begins += [projects] + [False] * (count - 1)
        lengths += [0] * projects + checkpoints(count - projects)
    return Schedule(tuple(factors), tuple(begins), tuple(lengths))


def checkpoints(steps: int) -> list[int]:
    """Return for each step 0, or at a checkpoint the number of steps since the last one.

    The first interval is 22 % of all steps; each next one is 3 % shorter, down to 6 %.
    """
    interval, shortest = max(int(0.22 * steps), 1), max(int(0.06 * steps), 1)
    shorter = max(int(0.03 * steps), 1)
    lengths, since = [], 0
    for _ in range(steps):
        since += 1
        lengths.append(since if since == interval else 0)
        if since == interval:
            interval, since = max(interval - shorter, shortest), 0
    return lengths
