"""Networks that a defence is given by name: finished ones, or architectures with weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfrobust.classifier import Classifier
from tfrobust.classifiers.bounded import NoLogitsError
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.pipeline.reload import network_of
from tfrobust.registry import create
from tfrobust.types import ImageShape

_FILES = (".pth", ".pt", ".safetensors")


def is_weights_file(name: str) -> bool:
    """Tell whether a name is that of a weights file, for which an architecture is built."""
    return Path(name).suffix in _FILES


def several(given: str | Sequence[str] | None) -> Sequence[str] | None:
    """Validate an option that takes one name or several, and return the names.

    Raises:
        ValueError: an empty name, or none in a list.
    """
    listed = (given,) if isinstance(given, str) else given
    if listed is not None and not all(listed):
        raise ValueError("expected a name, a path or a file, or several")
    return listed


@dataclasses.dataclass(frozen=True)
class NamedNetworks:
    """Opens networks by a name in the store, a path, or a weights file.

    Attributes:
        wanted_by: the defence and its option, for messages: `contextual_fusion: background`.
        architecture: the model plugin that is built for weights.
        options: of the architecture.
        image_shape: of its images.
    """

    wanted_by: str
    architecture: str
    options: Mapping[str, Any]
    image_shape: ImageShape

    def open(self, name: str, num_classes: int, **options: str) -> Classifier:
        """Return one network.

        Args:
            name: a name in the store, a SavedModel folder, a `.keras` file; or a state dict.
            num_classes: of the architecture, where the network is a state dict.
            **options: of the architecture; they override the user's.

        Raises:
            UsageError: there is nothing of that name.
            ClassifierError: it is damaged, or gives no logits.
            DataError: a file does not fit the architecture.
        """
        if not is_weights_file(name):
            return self._loaded(name)
        if not Path(name).is_file():
            raise UsageError(f"{self.wanted_by}: there is no file {name!r}")
        return self.build(num_classes, weights=name, **options)

    def _loaded(self, name: str) -> Classifier:
        try:
            return network_of(name)
        except NoLogitsError as error:  # the command's own --to-logits is not for this one
            raise ClassifierError(
                f"{self.wanted_by}: {error}; `tfrobust export {name} FOLDER --to-logits` first, "
                "and name FOLDER here"
            ) from error

    def build(self, num_classes: int, **options: str) -> Classifier:
        """Return the architecture; these options override the user's."""
        builder = create("models", self.architecture, **{**self.options, **options})
        return KerasClassifier(builder.build(self.image_shape, num_classes))
