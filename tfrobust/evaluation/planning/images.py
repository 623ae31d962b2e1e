"""The few images that a plan is measured on, and how fast images are read."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrobust.data.block_reader import BlockReader, ImageRows
from tfrobust.data.survey import survey
from tfrobust.engine.object_boxes import needs_boxes
from tfrobust.evaluation.blocks.block import Block, BlockImages
from tfrobust.evaluation.planning.rates import Clock
from tfrobust.evaluation.planning.records import Reading
from tfrobust.evaluation.settings import EvaluationSettings

FEW = 32  # images of the first run of each attack
_PIECES = 4  # places of the split that the images come from
_READ = 1024  # images by which reading is measured


@dataclasses.dataclass(frozen=True)
class TrialImages:
    """The images that attacks are tried on.

    Attributes:
        few: for the first run.
        full: a whole batch, or all there are.
    """

    few: BlockImages
    full: BlockImages


def measured_reading(settings: EvaluationSettings, clock: Clock) -> tuple[Reading, int]:
    """Return how fast images are read and checked, and how many there are."""
    scenario, split, limit = settings.scenario, settings.split, settings.limit

    def seconds(most: int | None) -> tuple[float, int]:
        began = clock()
        count = len(survey(scenario, split, most, settings.block_size).labels)
        return clock() - began, count

    seconds(1)  # opens files, and fills what the scenario keeps
    start, _ = seconds(1)
    known = scenario.count(split)
    if known is None:  # nothing tells their number but reading them all
        taken, images = seconds(limit)
        read = images
    else:
        images = known if limit is None else min(known, limit)
        taken, read = seconds(max(1, min(images, _READ)))
    per_image = max(0.0, taken - start) / max(1, read - 1)
    return Reading(start=start, per_image=per_image), images


def trial_images(settings: EvaluationSettings, images: int) -> TrialImages:
    """Return images from several places of the split: it may be sorted by class."""
    full = min(settings.batch_size, settings.block_size, images)
    attacks = [*settings.attacks, *(settings.baselines or ())]
    boxes = needs_boxes(attacks, settings.scenario, settings.split)
    pieces = 1 if boxes else min(_PIECES, full)  # boxes are filled up to the most of one piece
    size = -(-full // pieces)
    reader = BlockReader(
        settings.scenario, settings.split, images, size, boxes=boxes, reads_on=False
    )
    places = np.linspace(0, images - size, pieces, dtype=np.int64)
    rows = [reader.read(int(place)) for place in places]
    every = ImageRows(
        np.concatenate([part.images for part in rows]),
        np.concatenate([part.labels for part in rows]),
        rows[0].boxes,
    )
    # Each place has its share of the few images too.
    order = np.argsort(
        np.concatenate([np.arange(len(part.images)) for part in rows]), kind="stable"
    )
    return TrialImages(few=_block(every, order[: min(FEW, full)]), full=_block(every, order[:full]))


def _block(rows: ImageRows, chosen: np.ndarray) -> BlockImages:
    boxes = None if rows.boxes is None else rows.boxes[chosen]
    images = ImageRows(rows.images[chosen], rows.labels[chosen], boxes)
    return BlockImages(Block(0, len(chosen)), lambda: images)
