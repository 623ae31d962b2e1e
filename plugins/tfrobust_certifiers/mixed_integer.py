"""The nearest image that another class wins, as a mixed-integer program.

min ε  with  |x′ − x| ≤ ε,  0 ≤ x′ ≤ 1,  z_k(x′) ≥ z_y(x′),  and for each unit y = max(p, g p):
y ≥ p,  y ≥ g p,  y ≤ p − (1 − g) l (1 − a),  y ≤ g p + (1 − g) u a,  a ∈ {0, 1},
where l ≤ p ≤ u; a unit whose sign is known is linear

Tjeng, Xiao & Tedrake, "Evaluating robustness of neural networks with mixed integer programming"
(2019).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from tfrobust_certifiers.encoding import Affine, Encoding

_GAP = 1e-6  # as a share of ε, within which the solver proves its optimum
_INFEASIBLE = 2


class Range(NamedTuple):
    """Bounds of what a rectifier reads, float64 `(units,)` each."""

    lower: np.ndarray
    upper: np.ndarray


class Found(NamedTuple):
    """What a search found.

    Attributes:
        lower: nothing is nearer than this.
        least: the distance of the nearest image found; infinite where none was.
        complete: whether the search ended.
        image: float64 `(pixels,)`, that image; `None` where none was found.
    """

    lower: float
    least: float
    complete: bool
    image: np.ndarray | None = None


class Program:
    """All images near an image and what a network makes of them, as linear constraints.

    Columns: the pixels, ε, and for each rectifier its units y and their switches a.

    Args:
        encoding: the network.
        image: float64 `(pixels,)` in [0, 1].
        ranges: of every rectifier over the images within `radius`.
        radius: the largest ε.
    """

    def __init__(
        self, encoding: Encoding, image: np.ndarray, ranges: Mapping[int, Range], radius: float
    ) -> None:
        self.encoding, self.image, self.radius = encoding, image, radius
        self._ranges, pixels = ranges, len(image)
        self._start, self._columns = {0: 0}, pixels + 1
        for number, units in ranges.items():
            self._start[number] = self._columns
            self._columns += 2 * len(units.lower)
        rows = [*self._near(), *(row for k in ranges for row in self._rectified(k))]
        self._rows = [row for row in rows if row.A.shape[0]]

    def search(self, label: int, rivals: Sequence[int], seconds: float) -> Found:
        """Find the nearest image that one of these classes wins over the label.

        Args:
            label: the class to leave.
            rivals: the classes to reach, the most likely ones first.
            seconds: for all of them.
        """
        end = time.monotonic() + seconds
        best = Found(self.radius, np.inf, complete=True)
        for rival in rivals:
            most = min(best.least, self.radius)
            found = self._reach(label, rival, most, end - time.monotonic())
            nearer = found if found.least < best.least else best
            best = Found(
                min(best.lower, found.lower, nearer.least),
                nearer.least,
                best.complete and found.complete,
                nearer.image,
            )
        return best

    def _reach(self, label: int, rival: int, most: float, seconds: float) -> Found:
        """Find the nearest image that a rival wins, among those that are no farther than `most`."""
        if seconds <= 0:
            return Found(0.0, np.inf, complete=False)
        lead = self._placed(self.encoding.logits, [rival]) - self._placed(
            self.encoding.logits, [label]
        )
        constant = self.encoding.logits.constant
        rows = [*self._rows, LinearConstraint(lead, lb=constant[label] - constant[rival])]
        goal = np.zeros(self._columns)
        goal[len(self.image)] = 1.0
        found = milp(
            goal,
            integrality=self._integral(),
            bounds=self._bounds(most),
            constraints=rows,
            options={"time_limit": seconds, "mip_rel_gap": _GAP},
        )
        if found.status == _INFEASIBLE:
            return Found(most, np.inf, complete=True)
        solved = found.status == 0
        bound = found.mip_dual_bound
        if bound is None:  # a program without switches is a linear one: its value is its bound
            bound = found.fun if solved else 0.0
        lower = float(np.clip(bound, 0.0, most)) if np.isfinite(bound) else 0.0
        if found.x is None:
            return Found(lower, np.inf, complete=solved)
        return Found(lower, float(found.fun), solved, found.x[: len(self.image)])

    def _near(self) -> list[LinearConstraint]:
        """Return |x′ − x| ≤ ε."""
        pixels = len(self.image)
        same = sparse.eye(pixels, self._columns, format="csr")
        eps = self._column(pixels, np.ones(pixels))
        return [
            LinearConstraint(same - eps, ub=self.image),
            LinearConstraint(same + eps, lb=self.image),
        ]

    def _rectified(self, number: int) -> list[LinearConstraint]:
        """Return what ties a rectifier's units to what it reads."""
        (lower, upper), leak = self._ranges[number], self.encoding.leaks[number]
        read, shift = (
            self._placed(self.encoding.reads[number]),
            self.encoding.reads[number].constant,
        )
        units, start = len(lower), self._start[number]
        given = sparse.eye(units, self._columns, k=start, format="csr")
        switch = sparse.eye(units, self._columns, k=start + units, format="csr")
        rest = 1.0 - leak
        above = given - read  # y − p without its constant
        below = given - leak * read
        on, off = lower >= 0, upper <= 0
        open_ = ~on & ~off
        scaled = sparse.diags(rest * lower), sparse.diags(rest * upper)
        return [
            LinearConstraint(above[on], lb=shift[on], ub=shift[on]),
            LinearConstraint(below[off], lb=leak * shift[off], ub=leak * shift[off]),
            LinearConstraint(above[open_], lb=shift[open_]),
            LinearConstraint(below[open_], lb=leak * shift[open_]),
            LinearConstraint((above - scaled[0] @ switch)[open_], ub=(shift - rest * lower)[open_]),
            LinearConstraint((below - scaled[1] @ switch)[open_], ub=leak * shift[open_]),
        ]

    def _placed(self, affine: Affine, rows: Sequence[int] | None = None) -> sparse.csr_matrix:
        """Return the linear part of a function as rows of the program."""
        chosen = slice(None) if rows is None else rows
        count = len(affine.constant[chosen])
        total = sparse.csr_matrix((count, self._columns))
        for number, matrix in affine.matrices.items():
            part = sparse.coo_matrix(matrix[chosen])
            columns = part.col + self._start[number]
            total += sparse.csr_matrix((part.data, (part.row, columns)), total.shape)
        return total

    def _column(self, at: int, values: np.ndarray) -> sparse.csr_matrix:
        rows = np.arange(len(values))
        columns = np.full(len(values), at)
        return sparse.csr_matrix((values, (rows, columns)), (len(values), self._columns))

    def _integral(self) -> np.ndarray:
        """Return 1 for the switches and 0 for numbers."""
        integral = np.zeros(self._columns)
        for number, (lower, _) in self._ranges.items():
            start = self._start[number] + len(lower)
            integral[start : start + len(lower)] = 1
        return integral

    def _bounds(self, most: float) -> Bounds:
        """Return the bounds of all columns; the switches of units of known sign are fixed."""
        low, high = np.zeros(self._columns), np.zeros(self._columns)
        pixels = len(self.image)
        low[:pixels] = np.maximum(self.image - most, 0.0)
        high[:pixels] = np.minimum(self.image + most, 1.0)
        high[pixels] = most
        for number, (lower, upper) in self._ranges.items():
            leak, start, units = self.encoding.leaks[number], self._start[number], len(lower)
            low[start : start + units] = np.where(lower > 0, lower, leak * lower)
            high[start : start + units] = np.where(upper > 0, upper, leak * upper)
            high[start + units : start + 2 * units] = (lower < 0) & (upper > 0)
        return Bounds(low, high)
