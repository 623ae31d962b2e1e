"""The peers: one module of this folder each, that crafts with the peer's own attack.

A module offers `craft(attack, task, options) -> Made`, and `PACKAGES`, the distributions it needs
(extra `bench`), the peer's own first.
"""

from __future__ import annotations

import dataclasses
import importlib
from importlib import metadata
from types import ModuleType

import numpy as np

from tfrobust import KerasClassifier

TITLES = {
    "foolbox": "Foolbox",
    "art": "ART",
    "cleverhans": "CleverHans",
    "autoattack": "AutoAttack (PyTorch original)",
}


@dataclasses.dataclass(frozen=True)
class Task:
    """What both sides are given.

    Attributes:
        classifier: a Keras 3 model inside.
        images: float32 `(n, height, width, channels)`, in [0, 1].
        labels: int64 `(n,)`.
        targets: int64 `(n,)`: the classes to reach, or `None`.
    """

    classifier: KerasClassifier
    images: np.ndarray
    labels: np.ndarray
    targets: np.ndarray | None = None

    @property
    def goal(self) -> np.ndarray:
        """The classes to reach or, of an untargeted attack, to leave."""
        return self.labels if self.targets is None else self.targets


@dataclasses.dataclass(frozen=True)
class Made:
    """What a peer's attack returned.

    Attributes:
        images: float32 `(n, height, width, channels)`.
        queries: forward passes an image, where they were counted.
    """

    images: np.ndarray
    queries: float | None = None


class NotInstalledError(Exception):
    """A peer's distribution is missing; the message says which."""


def peer(name: str) -> tuple[ModuleType, str]:
    """Return a peer's module, and its title with the version.

    Raises:
        NotInstalledError: one of its distributions is missing.
    """
    try:
        module = importlib.import_module(f"benchmarks.peers.{name}")
        versions = [metadata.version(package) for package in module.PACKAGES]
    except (ImportError, metadata.PackageNotFoundError) as error:
        missing = getattr(error, "name", None) or error
        raise NotInstalledError(f'{missing} is not installed: pip install -e ".[bench]"') from error
    return module, f"{TITLES[name]} {versions[0]}"
