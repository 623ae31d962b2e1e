"""The settings of a measurement under corruptions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE
from tfrobust.data.shifted import Shifted
from tfrobust.errors import UsageError
from tfrobust.evaluation.blocks.block import BLOCK_SIZE
from tfrobust.evaluation.settings import check_sizes, check_some
from tfrobust.registry import name_of
from tfrobust.scenario import Scenario, Shift

Shifts = Mapping[str, Sequence[Shift]]  # corruption → one shift a severity, the mildest first


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorruptionSettings:
    """What is measured under corruptions, and how.

    Attributes:
        classifiers: name → classifier, one or more.
        scenario: without a shift.
        shifts: corruption → one shift a severity, the mildest first. `None`: those of
            `tfrobust.suites.corruptions`.
        baseline: the classifier whose errors all errors are divided by, a name of `classifiers`.
        split: of the scenario.
        limit: only the first `limit` images; `None`: all.
        seed: of the corruptions.
        batch_size: images at a time.
        block_size: images that are read and forgotten before the next ones; see
            `EvaluationSettings`.

    Raises:
        UsageError: no classifier, a batch or a block of no image, a baseline that is none of the
            classifiers, a scenario that has a shift already, no corruption, or one without
            severities, a shift without a severity.
    """

    classifiers: Mapping[str, Classifier]
    scenario: Scenario
    shifts: Shifts | None = None
    baseline: str | None = None
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    batch_size: int = BATCH_SIZE
    block_size: int = BLOCK_SIZE

    @property
    def conditions(self) -> tuple[Shift | None, ...]:
        """The clean images, `None`, and every shift."""
        return None, *(shift for several in (self.shifts or {}).values() for shift in several)

    def scenario_under(self, condition: int) -> Scenario:
        """Return the scenario under the condition of this number."""
        shift = self.conditions[condition]
        return self.scenario if shift is None else Shifted(self.scenario, shift, self.seed)

    def __post_init__(self) -> None:
        check_some(self.classifiers)
        check_sizes(self.batch_size, self.block_size)
        if self.baseline is not None and self.baseline not in self.classifiers:
            known = ", ".join(self.classifiers)
            raise UsageError(f"baseline: expected one of {known}; received: {self.baseline!r}")
        if isinstance(self.scenario, Shifted):
            raise UsageError(
                "suite 'corruptions': expected a scenario without a shift; "
                f"received: {name_of(self.scenario.base)}+{self.scenario.shift_name}"
            )
        if self.shifts is not None and not all([self.shifts, *self.shifts.values()]):
            raise UsageError(
                "shifts: expected one or more corruptions with one or more severities each; "
                f"received: { {name: len(shifts) for name, shifts in self.shifts.items()} }"
            )
        for shift in (shift for severities in (self.shifts or {}).values() for shift in severities):
            if shift.severity is None:
                raise UsageError(
                    f"shifts: expected shifts with a severity; received: {name_of(shift)}"
                )
