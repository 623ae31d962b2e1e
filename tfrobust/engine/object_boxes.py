"""Where the objects of images are, for the attacks that ask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifiers.inference import BATCH_SIZE
from tfrobust.data.boxes import masks, padded
from tfrobust.data.reading import readable
from tfrobust.data.shifted import Shifted
from tfrobust.errors import DataError, UsageError
from tfrobust.registry import declaring, name_of
from tfrobust.scenario import Scenario
from tfrobust.types import Boxes, Flags, Images


def boxes_for(
    attacks: Iterable[Attack], scenario: Scenario, split: str, limit: int | None = None
) -> np.ndarray | None:
    """Read the boxes of the images that `arrays` reads, if an attack needs them.

    Args:
        attacks: of one evaluation.
        scenario: where the images come from.
        split: of the scenario.
        limit: only this many images, the first ones.

    Returns:
        float32 `(n, most, 4)`, filled up with zeros; `None` if no attack needs them.

    Raises:
        UsageError: the scenario has no boxes, or its shift may have moved what was in them.
        DataError: an image without a box, or with one that is empty or reaches out of it.
    """
    if not needs_boxes(attacks, scenario, split):
        return None
    boxes = scenario.load(split).map(lambda example: example["boxes"])
    boxes = boxes.take(limit) if limit else boxes
    return padded(list(readable(boxes.as_numpy_iterator())))


def needs_boxes(attacks: Iterable[Attack], scenario: Scenario, split: str) -> bool:
    """Tell whether an attack needs the boxes of the images, which then are there.

    Raises:
        UsageError: the scenario has no boxes, or its shift may have moved what was in them.
    """
    asking = next((attack for attack in attacks if attack.needs_boxes), None)
    if asking is None:
        return False
    base = scenario.base if isinstance(scenario, Shifted) else scenario
    if isinstance(scenario, Shifted) and not scenario.shift.keeps_geometry:
        raise UsageError(
            f"{name_of(asking)}: the shift {scenario.shift_name} may move objects out of their "
            "boxes: leave it out, or choose region=all"
        )
    if "boxes" not in scenario.load(split).element_spec:
        raise _no_boxes(asking, name_of(base))
    return True


def checked_boxes(attack: Attack, boxes: Any, count: int) -> np.ndarray | None:
    """Return the boxes of `count` images as one array, if the attack needs them.

    Raises:
        UsageError: it needs boxes, and there are none.
        DataError: those of more or fewer images; an image without a box, or with a wrong one.
    """
    if not attack.needs_boxes:
        return None
    if boxes is None:
        raise _no_boxes(attack, f"region={attack.region}")
    if len(boxes) != count:
        raise DataError(f"boxes: expected those of {count} images; received: {len(boxes)}")
    return padded(boxes)


def free_of(attack: Attack, boxes: Boxes | None, images: Images) -> Any:
    """Return which pixels an attack may change.

    Args:
        attack: with its region.
        boxes: float32 `(n, most, 4)`, of the images.
        images: `(n, height, width, channels)`.

    Returns:
        bool `(n, height, width, 1)`; `None` if it may change all.
    """
    if attack.region == "all" or boxes is None:
        return None
    inside = masks(boxes, *images.shape[1:3])
    return inside if attack.region == "foreground" else ~inside


def strays(attack: Attack, images: Images, adversarial: Images, boxes: Any) -> Flags:
    """Return which images changed outside of the attack's region at all, bool `(n,)`.

    Raises:
        UsageError, DataError: see `checked_boxes`.
    """
    boxes = checked_boxes(attack, boxes, len(images))
    changed_outside = np.zeros(len(images), np.bool_)
    if boxes is None:
        return changed_outside
    for start in range(0, len(images), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        free = free_of(attack, boxes[rows], images[rows])
        if free is not None:
            changed = images[rows] != adversarial[rows]
            changed_outside[rows] = (changed & ~np.asarray(free)).any(axis=(1, 2, 3))
    return changed_outside


def _no_boxes(attack: Attack, images: str) -> UsageError:
    known = ", ".join(declaring("scenarios", "has_boxes"))
    return UsageError(
        f"{name_of(attack)}: {images} has no boxes: choose a scenario that has them"
        f"{f' ({known})' if known else ''} or region=all"
    )
