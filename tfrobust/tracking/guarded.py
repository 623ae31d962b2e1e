"""Several trackers of one run, none of which can harm it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tfrobust.errors import StoreError, one_line
from tfrobust.registry import name_of
from tfrobust.tracker import Job, TrackedRun, Tracker
from tfrobust.tracking.keys import read_keys, write_keys
from tfrobust.types import Images


class Tracking:
    """Tells trackers about one run; a tracker that fails is left out, and the run goes on.

    Args:
        trackers: built; with none, nothing is told to anybody.
        job: what the run does.
        log: takes a line where a tracker fails.
        keys: the file of the runs' keys beside a training's checkpoints, whose folder is there
            when the runs are opened; `None`: the run cannot be resumed.
        resume: go on with the runs of that file.

    Example:
        >>> job = Job(command="train", name="d1")
        >>> with Tracking([create("trackers", "tensorboard")], job) as tracking:
        ...     trainer = Trainer(TrainingOptions(epochs=5), on_epoch=EpochFigures(tracking))
    """

    def __init__(
        self,
        trackers: Sequence[Tracker],
        job: Job,
        log: Callable[[str], None] = lambda _: None,
        *,
        keys: Path | None = None,
        resume: bool = False,
    ) -> None:
        self._trackers, self._log = list(trackers), log
        self._keys, self._known = keys, read_keys(keys) if keys and resume else {}
        self._job = dataclasses.replace(job, settings=plain_settings(job.settings))
        self._runs: list[tuple[str, TrackedRun]] = []

    def __enter__(self) -> Tracking:
        """Open a run of every tracker."""
        for tracker in self._trackers:
            name = name_of(tracker)
            job = dataclasses.replace(self._job, resumes=self._known.get(name))
            try:
                self._runs.append((name, tracker.start(job)))
            except (Exception, SystemExit) as error:  # somebody else's program may do anything
                self._leave_out(name, error)
        if self._keys is not None:
            self._write_keys(self._keys)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """Close the runs, as failed where an error comes through."""
        self._tell(lambda run: run.close(failed=kind is not None))
        self._runs.clear()

    def __bool__(self) -> bool:
        """Whether anybody is told anything."""
        return bool(self._runs)

    def figures(
        self, figures: Mapping[str, Any], *, step: int | None = None, series: str = ""
    ) -> None:
        """Record those of the figures that are finite numbers; see `TrackedRun.figures`."""
        if finite := finite_figures(figures):
            self._tell(lambda run: run.figures(finite, step=step, series=series))

    def trial(self, name: str, settings: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """Record a combination that was tried; see `TrackedRun.trial`."""
        plain, finite = plain_settings(settings), finite_figures(figures)
        self._tell(lambda run: run.trial(name, plain, finite))

    def images(self, name: str, images: Images) -> None:
        """Record example images; see `TrackedRun.images`."""
        self._tell(lambda run: run.images(name, images))

    def artifact(self, path: Path) -> None:
        """Record a file, if it is there; see `TrackedRun.artifact`."""
        if path.is_file():
            self._tell(lambda run: run.artifact(path))

    def _write_keys(self, path: Path) -> None:
        """Write the keys before anything else: a training that is killed goes on with its runs."""
        asked: list[str | None] = []
        self._tell(lambda run: asked.append(run.key))  # one that fails is left out, and gives none
        keys = {name: key for (name, _), key in zip(self._runs, asked, strict=True) if key}
        if keys:
            try:
                write_keys(path, keys)
            except StoreError as error:
                self._log(f"{one_line(error)}; a resumed training begins new runs of trackers")

    def _tell(self, tell: Callable[[TrackedRun], None]) -> None:
        for opened in list(self._runs):
            name, run = opened
            try:
                tell(run)
            except (Exception, SystemExit) as error:
                self._runs.remove(opened)
                self._leave_out(name, error)

    def _leave_out(self, name: str, error: BaseException) -> None:
        self._log(f"tracker {name} failed: {one_line(error)}; the run goes on without it")


def finite_figures(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures that are finite numbers.

    Example:
        >>> finite_figures({"loss": 0.5, "auroc": None, "distance": float("nan")})
        {'loss': 0.5}
    """
    numbers = {
        name: float(value)
        for name, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def plain_settings(settings: Mapping[str, Any], outer: str = "") -> dict[str, Any]:
    """Return settings as texts, numbers and flags; what is inside of another by `outer.key`.

    Settings of no value are left out.

    Example:
        >>> plain_settings({"model": {"name": "lenet"}, "eps": [0.1, 0.2], "limit": None})
        {'model.name': 'lenet', 'eps': '0.1, 0.2'}
    """
    plain: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            plain |= plain_settings(value, f"{outer}{key}.")
        elif isinstance(value, list | tuple):
            plain |= _plain_list(f"{outer}{key}", value)
        elif value is not None:
            known = isinstance(value, str | int | float)
            plain[f"{outer}{key}"] = value if known else str(value)
    return plain


def _plain_list(key: str, values: Sequence[Any]) -> dict[str, Any]:
    if any(isinstance(value, Mapping) for value in values):
        return plain_settings({f"{key}.{number}": value for number, value in enumerate(values)})
    return {key: ", ".join(map(str, values))} if values else {}
