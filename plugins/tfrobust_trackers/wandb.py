"""Weights & Biases: a run in a project, online or in files for `wandb sync`.

Settings are the run's config, curves its charts, each with its own axis of steps; classifiers under
attacks are the rows of the table `trials`; example images are media, and the files that the run
wrote are one artifact. What is printed, code and reports of errors are not sent.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from tfrobust.options import option, plugin
from tfrobust.tracker import Figures, Job, Settings, TrackedRun, Tracker, pictures
from tfrobust.types import Images

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read by the import

import wandb


class WandbRun(TrackedRun):
    """A run of Weights & Biases.

    Args:
        run: that was begun.
        name: of its artifact.
        command: type of its artifact.
    """

    def __init__(self, run: Any, name: str, command: str) -> None:
        self._run = run
        self._series: set[str] = set()
        self._trials: list[dict[str, Any]] = []
        self._files = wandb.Artifact(
            re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:100], type=command
        )
        self._has_files = False

    @property
    def key(self) -> str | None:
        """The run's number; files of an offline run are never gone on with."""
        return None if self._run.offline else str(self._run.id)

    def figures(self, figures: Figures, *, step: int | None = None, series: str = "") -> None:
        """Log figures of a step; those without one are the run's summary."""
        named = {f"{series}/{name}" if series else name: v for name, v in figures.items()}
        if step is None:
            self._run.summary.update(named)
            return
        # One axis for all would lose the second training of a defence, which begins at 0 again.
        axis = f"{series}/step" if series else "step"
        if series not in self._series:
            self._series.add(series)
            self._run.define_metric(axis, hidden=True)
            for name in named:
                self._run.define_metric(name, step_metric=axis)
        self._run.log({**named, axis: step})

    def trial(self, name: str, settings: Settings, figures: Figures) -> None:
        """Keep a row of the table `trials`."""
        self._trials.append({"trial": name, **settings, **figures})

    def images(self, name: str, images: Images) -> None:
        """Log images."""
        shown = [wandb.Image(picture) for picture in pictures(images)]
        self._run.log({f"images/{name}": shown})

    def artifact(self, path: Path) -> None:
        """Add a file to the run's artifact."""
        self._files.add_file(str(path))
        self._has_files = True

    def close(self, *, failed: bool = False) -> None:
        """Log the table and the files, and wait until they are sent or written."""
        if self._trials:
            columns: list[str | int] = list(
                dict.fromkeys(name for trial in self._trials for name in trial)
            )
            rows = [[trial.get(str(column)) for column in columns] for trial in self._trials]
            table = wandb.Table(columns=columns, data=rows, allow_mixed_types=True)
            self._run.log({"trials": table})
        if self._has_files:
            self._run.log_artifact(self._files)
        self._run.finish(exit_code=int(failed))


@plugin
class WeightsAndBiases(Tracker):
    """Runs of Weights & Biases, online or in files."""

    project: str = option("project of the runs", default="tfrobust", min_length=1)
    entity: str | None = option("user or team; none: your default", default=None)
    mode: Literal["online", "offline"] | None = option(
        "online, or offline: files that `wandb sync` sends later; none: WANDB_MODE, else online",
        default=None,
    )
    folder: str = option("folder in which it makes its own, wandb", default="runs")

    def start(self, job: Job) -> WandbRun:
        """Begin a run, or go on with one."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        # Two folders of one number would be for the server to put together.
        offline = (self.mode or os.environ.get("WANDB_MODE")) == "offline"
        resumes = None if offline else job.resumes
        run = wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=self.folder,
            name=job.name,
            job_type=job.command,
            id=resumes,
            resume="allow" if resumes else None,
            config=dict(job.settings),
            reinit="create_new",  # a run that the user's program has open stays open
            settings=wandb.Settings(console="off", save_code=False, silent=True),
        )
        return WandbRun(run, job.name, job.command)
