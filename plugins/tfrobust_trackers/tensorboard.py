"""TensorBoard: event files in a folder, which TensorBoard shows.

Curves of training and of validation images are runs of their own, so that TensorBoard draws them in
one chart. Each classifier under each attack is a session of the HParams tab: options beside
figures. Files are not copied: a page lies where the run has written it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from tfrobust.options import option, plugin
from tfrobust.tracker import Figures, Job, Settings, TrackedRun, Tracker
from tfrobust.types import Images


class EventFiles(TrackedRun):
    """A run as a folder of event files; each series and each trial has a folder in it.

    Args:
        folder: of the run.
        settings: of the run, shown as text.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._writers: dict[str, Any] = {}
        writer = self._writer("")
        with writer.as_default(step=0):
            tf.summary.text("settings", _table(settings))
        writer.flush()

    def figures(self, figures: Figures, *, step: int | None = None, series: str = "") -> None:
        """Write scalars."""
        writer = self._writer(series)
        with writer.as_default(step=step or 0):
            for name, value in figures.items():
                tf.summary.scalar(name, value)
        writer.flush()

    def trial(self, name: str, settings: Settings, figures: Figures) -> None:
        """Write a session of the HParams tab."""
        writer = self._writer(f"trials/{name}")
        with writer.as_default(step=0):
            hparams.hparams(dict(settings), trial_id=name)
            for figure, value in figures.items():
                tf.summary.scalar(figure, value)
        writer.flush()

    def images(self, name: str, images: Images) -> None:
        """Write images."""
        writer = self._writer("images")
        with writer.as_default(step=0):
            tf.summary.image(name, images, max_outputs=len(images))
        writer.flush()

    def close(self, *, failed: bool = False) -> None:
        """Close all files."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, series: str) -> Any:
        if series not in self._writers:
            inside = [_folder_name(part) for part in series.split("/") if part]
            path = self._folder.joinpath(*inside)
            self._writers[series] = tf.summary.create_file_writer(str(path))
        return self._writers[series]


@plugin
class TensorBoard(Tracker):
    """Event files for TensorBoard: curves, attacks as HParams, images."""

    folder: str = option("folder of the logs; each run has one inside", default="runs/tensorboard")

    def start(self, job: Job) -> EventFiles:
        """Open the event files of a run; those of an earlier run of its name stay beside."""
        return EventFiles(Path(self.folder) / _folder_name(job.name), job.settings)


def _folder_name(text: str) -> str:
    """Return a text as the name of one folder."""
    name = re.sub(r"[^\w.+-]+", "_", text)
    return name if name.strip(".") else "_"


def _table(settings: Mapping[str, Any]) -> str:
    """Return settings as a table of Markdown."""
    rows = [f"| {name} | {str(value).replace('|', '∣')} |" for name, value in settings.items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])
