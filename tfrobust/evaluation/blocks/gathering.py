"""The rows of all blocks, gathered: columns, sums and examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfrobust.attack import Attack
from tfrobust.data.survey import Survey
from tfrobust.engine.recording import GRID
from tfrobust.evaluation.blocks.block import Block
from tfrobust.evaluation.blocks.columns import Columns
from tfrobust.evaluation.blocks.gathered import GatheredAttack, Judgement, Sums
from tfrobust.evaluation.blocks.rows import AttackRows, BlockRows
from tfrobust.evaluation.judging import Subject
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.results.records import Incomplete
from tfrobust.types import Images, Labels


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
        self._sums: dict[str, Sums] = {}
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
        sums = self._sums.setdefault(key, Sums())
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
