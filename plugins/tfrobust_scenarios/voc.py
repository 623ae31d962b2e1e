"""Pascal VOC as a classification of objects in their surroundings; see `ObjectScenario`.

Everingham, Van Gool, Williams, Winn & Zisserman, "The Pascal visual object classes (VOC)
challenge" (2010). Read from `voc/2007` or `voc/2012` of TensorFlow Datasets, in its own splits; the
test images of 2012 have no annotations, so its validation images are the test there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tfrobust.options import option, plugin
from tfrobust_scenarios.objects import supercategories
from tfrobust_scenarios.objects.scenario import ObjectScenario
from tfrobust_scenarios.objects.selection import Annotated
from tfrobust_scenarios.objects.source import Source
from tfrobust_scenarios.objects.tfds_objects import StoredObjects

_SPLITS = {
    "2007": {"train": "train", "validation": "validation", "test": "test"},
    "2012": {"train": "train", "test": "validation"},
}


@plugin
class Voc(ObjectScenario):
    """Objects of Pascal VOC in their surroundings, with boxes (Everingham et al. 2010)."""

    called = "voc"

    year: Literal["2007", "2012"] = option("year of the challenge", default="2007")
    difficult: bool = option("include images with objects marked as difficult", default=False)

    @property
    def splits(self) -> tuple[str, ...]:
        """`train`, `test` and, of 2007, `validation`."""
        return tuple(_SPLITS[self.year])

    @property
    def _stored(self) -> str:
        return f"voc/{self.year}"

    @property
    def _source(self) -> Source:
        return StoredObjects.of(
            self._stored,
            splits=tuple(_SPLITS[self.year].values()),
            unclear=None if self.difficult else "is_difficult",
            supercategories=supercategories.VOC,
            first_pixel=1,
            command=f"tfrobust data prepare voc -p voc.year={self.year}",
        )

    def _parted(
        self, images: Sequence[Annotated], split: str, random: np.random.Generator
    ) -> list[Annotated]:
        own = _SPLITS[self.year][split]
        return [image for image in images if image.split == own]

    def _reach_every_split(self, images: Sequence[Annotated]) -> bool:
        return {image.split for image in images} == set(_SPLITS[self.year].values())
