"""COCO as a classification of objects in their surroundings; see `ObjectScenario`.

Lin et al., "Microsoft COCO: common objects in context" (2014). Read from its official layout, or
from `coco/2017` of TensorFlow Datasets. An image with a crowd is not taken. Departures from
Akumalla, Haney & Bazhenov (2020), beside those of `ObjectScenario`: which images are for the test
is drawn by `seed`, class by class; the paper does not say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust_scenarios.objects import supercategories
from tfrobust_scenarios.objects.coco_annotations import OfficialLayout
from tfrobust_scenarios.objects.scenario import ObjectScenario
from tfrobust_scenarios.objects.selection import Annotated
from tfrobust_scenarios.objects.source import Source
from tfrobust_scenarios.objects.tfds_objects import StoredObjects

_STORED = "coco/2017"


@plugin
class Coco(ObjectScenario):
    """Objects of COCO in their surroundings, with boxes (Lin et al. 2014)."""

    called = "coco"

    source: Literal["official", "tfds"] = option(
        "official: folder in COCO's layout; tfds: TensorFlow Datasets", default="official"
    )
    path: Path | None = option("root folder, in the official layout", default=None)
    test_share: float = option(
        "share of each class that is used for testing", default=0.25, gt=0, lt=1
    )

    @property
    def splits(self) -> tuple[str, ...]:
        """`train` and `test`."""
        return "train", "test"

    @property
    def _stored(self) -> str | None:
        if self.source == "official":
            return None
        if self.path is not None:
            raise UsageError(
                "coco: path: is for source=official; TFDS_DATA_DIR says where TensorFlow "
                f"Datasets' lies; received: {str(self.path)!r}"
            )
        return _STORED

    @property
    def _source(self) -> Source:
        if self._stored is None:
            return OfficialLayout.of(self.path)
        return StoredObjects.of(
            self._stored,
            splits=("train", "validation"),  # its test images have no annotations
            unclear="is_crowd",
            supercategories=supercategories.COCO,
            command="tfrobust data prepare coco -p coco.source=tfds",
        )

    def _parted(
        self, images: Sequence[Annotated], split: str, random: np.random.Generator
    ) -> list[Annotated]:
        order = random.permutation(len(images))
        test = max(1, round(self.test_share * len(images)))
        test = min(test, len(images) - 1)  # what is tested must have been learnt
        return [images[k] for k in (order[:test] if split == "test" else order[test:])]

    def _reach_every_split(self, images: Sequence[Annotated]) -> bool:
        return len(images) >= 2
