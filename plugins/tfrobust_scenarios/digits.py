"""Scikit-learn's handwritten digits: 1,797 images of 8×8, no download.

Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository
(1998). The split is ours: 360 test images, stratified by class.
"""

from __future__ import annotations

import functools

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tfrobust.data.in_memory import Arrays, InMemoryScenario
from tfrobust.options import plugin
from tfrobust.types import ImageShape

_TEST = 360


@plugin
class Digits(InMemoryScenario):
    """8×8 grey digits that come with scikit-learn."""

    @property
    def image_shape(self) -> ImageShape:
        """8×8, grey."""
        return 8, 8, 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """The digits."""
        return tuple("0123456789")

    @property
    def splits(self) -> tuple[str, ...]:
        """1,437 training and 360 test images."""
        return "train", "test"

    def split_arrays(self, split: str) -> Arrays:
        """Return one split; see `InMemoryScenario`."""
        return _splits()[split]


@functools.cache
def _splits() -> dict[str, Arrays]:
    """Return both splits: they take 0.5 MB, and reading them takes longer than their use."""
    digits = load_digits()
    train, test, train_labels, test_labels = train_test_split(
        (digits.images[..., None] / 16).astype("float32"),
        digits.target.astype("int64"),
        test_size=_TEST,
        stratify=digits.target,
        random_state=0,
    )
    return {
        "train": {"image": train, "label": train_labels},
        "test": {"image": test, "label": test_labels},
    }
