"""The `Tracker` contract: records what a run does where people look at it."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfrobust.types import Images

Setting = str | int | float | bool  # of a run, as trackers record it
Settings = Mapping[str, Setting]
Figures = Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What a tracked run does.

    Attributes:
        command: `train`, `evaluate`, `diagnose`, `certify` or `study`.
        name: of what it makes, such as `robust`: the stored classifier, or the folder of the run.
        settings: with which it was started.
        resumes: the `TrackedRun.key` of the run that it goes on with; `None`: it begins.
    """

    command: str
    name: str
    settings: Settings = dataclasses.field(default_factory=dict)
    resumes: str | None = None


class TrackedRun(abc.ABC):
    """A run that a tracker records; what is told twice under one name is recorded twice.

    No method may change what it is given, nor wait for long: the run waits too.
    """

    @property
    def key(self) -> str | None:
        """What the tracker finds the run by when a training is resumed; `None`: it does not.

        It is asked for while the run is open, and kept beside the training's checkpoints.
        """
        return None

    @abc.abstractmethod
    def figures(self, figures: Figures, *, step: int | None = None, series: str = "") -> None:
        """Record figures.

        Args:
            figures: name → a finite number.
            step: of a curve, from 0, such as an epoch; `None`: they are known once.
            series: what the figures are of: `stage-1/train`, `stage-1/validation`, a classifier.
        """

    @abc.abstractmethod
    def trial(self, name: str, settings: Settings, figures: Figures) -> None:
        """Record one of the combinations that a run tries, such as a classifier and an attack.

        Args:
            name: of the combination, no other's of the run: `robust/pgd linf 0.1`.
            settings: what it tries: classifier, attack, budget, options.
            figures: what came out.
        """

    def images(self, name: str, images: Images) -> None:  # noqa: B027
        """Record example images; by default nothing.

        Args:
            name: what they show: `robust/pgd linf 0.1`.
            images: float32 `(n, height, width, channels)` in [0, 1], a few.
        """

    def artifact(self, path: Path) -> None:  # noqa: B027
        """Record a file that the run has written, such as its page; by default nothing."""

    @abc.abstractmethod
    def close(self, *, failed: bool = False) -> None:
        """Write what is left; called once, at the end.

        Args:
            failed: the run was interrupted, or ended with an error.
        """


class Tracker(abc.ABC):
    """Records runs in a place of its own; its fields are its options.

    Its module imports the package that it records with, so that a missing one is reported before
    anything is computed. A tracker that raises is left out of the rest of the run, which goes on.

    Example:
        >>> tracked = create("trackers", "tensorboard", folder="logs").start(
        ...     Job(command="evaluate", name="robust"))
        >>> tracked.figures({"clean_accuracy": 0.97}, series="robust")
        >>> tracked.close()
    """

    @abc.abstractmethod
    def start(self, job: Job) -> TrackedRun:
        """Open a run; the one that the job resumes, if it is still there.

        Args:
            job: what is going to be done.
        """


def pictures(images: Images) -> np.ndarray:
    """Return images as files of pictures hold them.

    Args:
        images: float32 `(n, height, width, channels)` in [0, 1].

    Returns:
        uint8 `(n, height, width, 3)`, 4 where there are four channels; `(n, height, width)`, the
        first channel, where there are other than three or four.

    Example:
        >>> pictures(np.ones((2, 8, 8, 1), np.float32)).shape
        (2, 8, 8)
    """
    pixels = np.round(np.clip(np.asarray(images), 0, 1) * 255).astype(np.uint8)
    return pixels if pixels.shape[-1] in (3, 4) else pixels[..., 0]
