"""Networks of scenes, by what a user calls them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfrobust.classifier import Classifier, KerasClassifier
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.stored_network import network_of
from tfrobust.types import ImageShape

_FILES = (".pth", ".pt", ".safetensors")
_IMAGENET, _IMAGENET_CLASSES = "imagenet", 1000


@dataclasses.dataclass(frozen=True)
class Named:
    """Finds networks by a name in the store, a path, a weights file, or `imagenet`.

    Attributes:
        architecture: the model plugin that is built for weights.
        options: of it.
        image_shape: that it is built for.
    """

    architecture: str
    options: Mapping[str, Any]
    image_shape: ImageShape

    def networks(self, called: Sequence[str]) -> dict[str, Classifier]:
        """Return the networks: `background`, or where there are more `background1`, ….

        Raises:
            UsageError: there is nothing of that name.
            DataError: a file does not fit the architecture.
        """
        if len(called) == 1:
            return {"background": self._opened(called[0])}
        return {f"background{k}": self._opened(each) for k, each in enumerate(called, 1)}

    def _opened(self, called: str) -> Classifier:
        if called == _IMAGENET:
            return self._built(_IMAGENET_CLASSES, weights=called)
        if Path(called).suffix not in _FILES:
            return network_of(called)
        if not Path(called).is_file():
            raise UsageError(f"contextual_fusion: background: there is no file {called!r}")
        # Its last layer is not read: whatever classes it was trained for, two random ones do.
        return self._built(2, weights=called, head="new")

    def _built(self, num_classes: int, **weights: str) -> Classifier:
        builder = create("models", self.architecture, **{**self.options, **weights})
        return KerasClassifier(builder.build(self.image_shape, num_classes))
