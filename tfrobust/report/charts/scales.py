"""Where a value lies on the axis of a chart: even, or logarithmic above the least value."""

from __future__ import annotations

import dataclasses
import math

from matplotlib.ticker import MaxNLocator

_LINEAR_PART = 0.12  # of a logarithmic axis: from 0 to the value at which it begins


@dataclasses.dataclass(frozen=True)
class Scale:
    """The scale of an axis.

    Attributes:
        low: the value at its left end.
        high: the value at its right end; not above `low`: one more than that.
        logarithmic_from: from where on it is logarithmic, above 0; below it is even, from 0 on.
            `None`: it is even everywhere.

    Example:
        >>> Scale(0.0, 4.0).place(1.0)
        0.25
    """

    low: float
    high: float
    logarithmic_from: float | None = None

    def place(self, value: float) -> float:
        """Return where a value lies, 0 at the left end and 1 at the right one."""
        begins = self.logarithmic_from
        if begins is None or begins >= self._end:
            return (value - self.low) / (self._end - self.low)
        if value <= begins:
            return _LINEAR_PART * value / begins
        return _LINEAR_PART + (1 - _LINEAR_PART) * math.log(value / begins) / math.log(
            self._end / begins
        )

    def ticks(self) -> list[float]:
        """Return the values that are marked: five or so, or the powers of ten."""
        begins = self.logarithmic_from
        if begins is None or begins >= self._end:
            evenly = MaxNLocator(5).tick_values(self.low, self._end)
            return [float(tick) for tick in evenly if self.low <= tick <= self._end]
        powers = range(math.ceil(math.log10(begins)), math.floor(math.log10(self._end)) + 1)
        return [0.0, *(10.0**power for power in powers)]

    @property
    def _end(self) -> float:
        return self.high if self.high > self.low else self.low + 1.0
