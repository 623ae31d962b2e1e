"""How `boundary` and `hopskipjump` begin their walks along the decision boundary."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.errors import UsageError
from tfrobust.files.arrays import read_arrays
from tfrobust.norms import Ball
from tfrobust.options import option, plugin
from tfrobust.registry import name_of
from tfrobust.types import Flags, Images
from tfrobust_attacks.decision.starting_points import (
    SETTLING,
    SHARE,
    Oracle,
    Search,
    affordable,
    starting_points,
)


class Start(NamedTuple):
    """Where each image's walk begins."""

    images: Images  # at the boundary; the clean image where no start was found
    found: Flags
    queries: int  # per image, for its start and its end


@plugin
class DecisionWalk(Attack):
    """A walk along the boundary, from an adversarial image to the nearest one."""

    minimum_norm = True

    eps: float | None = option(
        "budget of the evaluation; none: any distance", default=None, ge=0, trace="unused"
    )
    queries: int | None = option(
        "hard limit of queries per image; none: no limit", default=None, ge=1
    )
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)
    start_images: Path | None = option(
        ".npz with `images` to start from, in addition to random ones; for targets, images of "
        "every class",
        default=None,
    )

    def check(self, classifier: Classifier) -> None:
        """Refuse starts of another shape or range; see `Attack`.

        Raises:
            StoreError: the file cannot be read.
        """
        super().check(classifier)
        if self.start_images is None:
            return
        given, shape = self._given(), classifier.image_shape
        if given.shape[1:] != shape or not len(given):
            wanted = ", ".join(map(str, ("n", *shape)))
            raise UsageError(
                f"{name_of(self)}: start_images: expected images ({wanted}); "
                f"received: {given.shape}"
            )
        if not (given.min() >= 0 and given.max() <= 1):  # NaN is neither
            raise UsageError(
                f"{name_of(self)}: start_images: expected pixels from 0 to 1; "
                f"received: {given.min():g} to {given.max():g}"
            )

    def begin(
        self,
        oracle: Oracle,
        images: Images,
        seeds: Any,
        *,
        geometry: Ball,
        halvings: int,
        share: int = SHARE,
    ) -> Start | None:
        """Return the starts, for a `share`-th of `queries`; `None` if they are too few for any."""
        given = self._given()
        search = affordable(self.queries, Search(halvings=halvings, given=len(given)), share)
        if search is None:
            return None
        start, found = starting_points(
            oracle, images, seeds, search=search, geometry=geometry, given=given[: search.given]
        )
        return Start(start, found, search.queries + SETTLING)

    def _given(self) -> np.ndarray:
        if self.start_images is None:
            return np.zeros((0,), np.float32)
        arrays = read_arrays(self.start_images)
        if "images" not in arrays:
            raise UsageError(
                f"{name_of(self)}: start_images: expected an array 'images' in "
                f"{self.start_images}; received: {', '.join(arrays)}"
            )
        given = arrays["images"]
        if given.dtype.kind not in "fiub":
            raise UsageError(
                f"{name_of(self)}: start_images: expected numbers from 0 to 1; "
                f"received: {given.dtype.name}"
            )
        return given.astype(np.float32)
