"""What was gathered of one attack, and of one classifier, over all blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from tfrobust.attack import Attack
from tfrobust.evaluation.blocks.block import Block
from tfrobust.evaluation.blocks.columns import Columns
from tfrobust.evaluation.blocks.rows import AttackRows, Cost, DetectorRows
from tfrobust.evaluation.judging import Subject
from tfrobust.results.attack_records import AdaptiveRecord
from tfrobust.results.detectors import FittedOn
from tfrobust.types import Images


@dataclasses.dataclass
class Sums:
    """What is added up over blocks, of one attack on one classifier."""

    violations: int = 0
    cut_off: int = 0
    recorded: bool = True  # in all blocks so far
    cost: Cost = dataclasses.field(default_factory=Cost)
    learning: Cost | None = None
    examples: dict[int, Images] = dataclasses.field(default_factory=dict)
    images: dict[int, Images] = dataclasses.field(default_factory=dict)  # by start of the block
    detectors: tuple[tuple[float, FittedOn], ...] = ()
    first: int | None = None  # start of the block whose worker fitted these detectors

    def add(self, block: Block, rows: AttackRows, *, keep: bool) -> None:
        """Add the rows of a block; `keep` its images too."""
        self.violations += rows.violations
        self.cut_off += rows.cut_off
        self.recorded &= rows.found is not None
        self.cost += rows.cost
        if rows.learning and (self.learning is None or rows.learning.most > self.learning.most):
            self.learning = rows.learning  # blocks of a resumed run read from a file what it cost
        self.examples |= dict(zip(block.examples, rows.examples, strict=True))
        if self.first is None or block.start < self.first:  # whichever block comes last
            self.first = block.start
            self.detectors = tuple((d.threshold, d.fitted_on) for d in rows.detectors)
        if keep and rows.images is not None:
            self.images[block.start] = rows.images


@dataclasses.dataclass(frozen=True)
class GatheredAttack:
    """One attack on one classifier, over all blocks; see `judging.Attacked`."""

    attack: Attack
    crafted_on: str | None
    imitated: str | None
    key: str
    sums: Sums
    columns: Columns

    @property
    def violations(self) -> int:
        """How many images break the rules of the attack."""
        return self.sums.violations

    @property
    def cut_off(self) -> int:
        """How many images' attacks ended early, because a budget of queries was spent."""
        return self.sums.cut_off

    @property
    def recorded(self) -> bool:
        """Whether what it reached by each number of queries was recorded, for all images."""
        return self.sums.recorded

    @property
    def cost(self) -> Cost:
        """Of crafting all images, and of learning the attack once."""
        return self.sums.cost + (self.sums.learning or Cost())

    def column(self, name: str) -> np.ndarray:
        """Return one number an image; see `Attacked`."""
        return self.columns.read(f"{self.key}_{name}")

    @property
    def detector_count(self) -> int:
        """How many detectors were fitted against it."""
        return len(self.sums.detectors)

    def examples(self, positions: np.ndarray, like: Images) -> Images:
        """Return example images, attacked, by their positions in the split; shaped `like` these."""
        attacked = [self.sums.examples[int(position)] for position in positions]
        return np.stack(attacked) if attacked else np.zeros_like(like)

    def images(self) -> Images:
        """Return all images, attacked, if they were kept."""
        return np.concatenate([images for _, images in sorted(self.sums.images.items())])

    def detectors(self) -> Iterator[DetectorRows]:
        """Yield the scores of each detector, over all blocks."""
        for k, (threshold, fitted_on) in enumerate(self.sums.detectors):
            clean, adversarial = self.column(f"d{k}_clean"), self.column(f"d{k}_adversarial")
            yield DetectorRows(clean, adversarial, threshold, fitted_on)


@dataclasses.dataclass(frozen=True)
class AdaptiveRun:
    """An attack that knows the defences of a classifier, over all blocks.

    Attributes:
        run: what it did.
        record: how the results tell that it was adaptive.
    """

    run: GatheredAttack
    record: AdaptiveRecord


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What was measured of one classifier.

    Attributes:
        subject: the classifier.
        clean_column: the column of its predictions for the clean images.
        attacked: it under each attack.
        baselines: it under noise.
        adaptive: it under the attacks that know its defences.
    """

    subject: Subject
    clean_column: str
    attacked: Sequence[GatheredAttack]
    baselines: Sequence[GatheredAttack]
    adaptive: Sequence[AdaptiveRun] = ()
