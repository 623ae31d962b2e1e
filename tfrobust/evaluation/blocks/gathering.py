"""The rows of all blocks, gathered: columns, sums and examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from tfrobust.attack import Attack
from tfrobust.data.survey import Survey
from tfrobust.engine.recording import GRID
from tfrobust.evaluation.blocks.block import Block
from tfrobust.evaluation.blocks.columns import Columns
from tfrobust.evaluation.blocks.rows import AttackRows, BlockRows, Cost, DetectorRows
from tfrobust.evaluation.judging import Subject
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.results.attack_records import AdaptiveRecord
from tfrobust.results.detectors import FittedOn
from tfrobust.results.records import Incomplete
from tfrobust.types import Images, Labels


@dataclasses.dataclass
class _Sums:
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
    sums: _Sums
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


class Gathered:
    """What the blocks of an evaluation gave, in any order.

    Args:
        passes: of the job.
        survey: of the split.
        columns: where the rows go.
        keep: whether to keep images that blocks return.

    Attributes:
        columns: of all passes; `label` is among them.
    """

    def __init__(
        self,
        passes: tuple[EvaluationSettings, ...],
        survey: Survey,
        columns: Columns,
        *,
        keep: bool,
    ) -> None:
        self._passes, self._survey, self._keep = passes, survey, keep
        self.columns = columns
        self._sums: dict[str, _Sums] = {}
        self._images: dict[int, Images] = {}
        self._failures: list[Incomplete] = []
        columns.write("label", 0, len(survey.labels), survey.labels)

    def add(self, block: Block, rows: BlockRows) -> None:
        """Add the rows of a block.

        Raises:
            StoreError: the disk refuses.
        """
        for p, by_classifier in enumerate(rows.passes):
            for c, classifier in enumerate(by_classifier):
                name = f"p{p}_c{c}_clean"
                self.columns.write(name, block.start, block.stop, classifier.clean)
                for kind, several in (("a", classifier.attacked), ("n", classifier.baselines)):
                    for k, attack in enumerate(several):
                        self._add_attack(f"p{p}_c{c}_{kind}{k}", block, attack)
        if self._keep and rows.images is not None:
            self._images[block.start] = rows.images

    def _add_attack(self, key: str, block: Block, rows: AttackRows) -> None:
        sums = self._sums.setdefault(key, _Sums())
        sums.add(block, rows, keep=self._keep)
        columns: dict[str, np.ndarray] = {
            "prediction": rows.prediction,
            "success": rows.success,
            "reached": rows.reached,
            **rows.distance,
        }
        if rows.found is not None:
            columns["asked"] = rows.found.asked
            columns |= {f"by{q}": rows.found.least[:, k] for k, q in enumerate(GRID)}
        for k, detector in enumerate(rows.detectors):
            columns[f"d{k}_clean"] = detector.clean
            columns[f"d{k}_adversarial"] = detector.adversarial
        for name, values in columns.items():
            self.columns.write(f"{key}_{name}", block.start, block.stop, values)

    def fail(self, block: Block, cause: str) -> None:
        """Leave out a block that could not be computed."""
        self._failures.append(Incomplete(start=block.start, stop=block.stop, cause=cause))

    def finish(self) -> None:
        """Leave out the rows of failed blocks."""
        if self._failures:
            self.columns.keep(self.ranges)

    @property
    def incomplete(self) -> list[Incomplete]:
        """The images that could not be computed."""
        return sorted(self._failures, key=lambda failure: failure.start)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The positions that were computed, in ascending order."""
        return computed_ranges(self._failures, len(self._survey.labels))

    @property
    def labels(self) -> Labels:
        """Labels of the computed images, int64 `(n,)`."""
        return self.columns.read("label")

    def examples(self) -> tuple[np.ndarray, np.ndarray, Images]:
        """Return the computed examples: their positions, their rows, and their images."""
        positions, rows, images = [], [], []
        for position, image in zip(self._survey.examples, self._survey.example_images, strict=True):
            before = 0
            for start, stop in self.ranges:
                if start <= position < stop:
                    positions.append(int(position))
                    rows.append(before + int(position) - start)
                    images.append(image)
                before += stop - start
        shape = self._survey.example_images.shape[1:]
        stacked = np.stack(images) if images else np.zeros((0, *shape), np.float32)
        return np.array(positions, np.int64), np.array(rows, np.int64), stacked

    def judgements(self, p: int) -> list[Judgement]:
        """Return what pass `p` measured of each of its classifiers."""
        settings, judged = self._passes[p], []
        for c, (name, classifier) in enumerate(settings.classifiers.items()):
            column = f"p{p}_c{c}_clean"
            subject = Subject(name, classifier, self.columns.read(column))
            attacked = self._of(p, c, "a", settings.attacks)
            baselines = self._of(p, c, "n", settings.baselines or ())
            judged.append(Judgement(subject, column, attacked, baselines))
        return judged

    def images(self) -> Images:
        """Return the clean images, if they were kept."""
        if not self._images:
            return self._survey.example_images[:0]
        return np.concatenate([images for _, images in sorted(self._images.items())])

    def _of(self, p: int, c: int, kind: str, attacks: Sequence[Attack]) -> list[GatheredAttack]:
        seen, crafted_on = self._passes[p].crafted_on, self._passes[p].crafted_on_name
        imitated = (seen[1].imitates or None) if seen else None
        keys = [f"p{p}_c{c}_{kind}{k}" for k in range(len(attacks))]
        return [
            GatheredAttack(attack, crafted_on, imitated, key, self._sums[key], self.columns)
            for attack, key in zip(attacks, keys, strict=True)
        ]


def computed_ranges(failures: Sequence[Incomplete], images: int) -> list[tuple[int, int]]:
    """Return the positions that are in no failure, in ascending order.

    Example:
        >>> computed_ranges([Incomplete(start=10, stop=20, cause="killed")], 30)
        [(0, 10), (20, 30)]
    """
    ranges, start = [], 0
    for failure in sorted(failures, key=lambda failure: failure.start):
        if failure.start > start:
            ranges.append((start, failure.start))
        start = failure.stop
    return [*ranges, (start, images)] if start < images else ranges
