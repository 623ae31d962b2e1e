"""Checkpoints: a resumed training ends at the same weights as an uninterrupted one."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic
import tensorflow as tf

from tfrobust.classifiers.keras.models import raw_variables
from tfrobust.errors import StoreError, one_line
from tfrobust.files.atomic import disk_errors
from tfrobust.files.leftovers import scratch_folder
from tfrobust.files.reading import UnreadableError, checked_record, read_bytes
from tfrobust.training.workers import Workers

_INDEX = 10**6  # bytes of the list of checkpoints
_LATEST = re.compile(r'model_checkpoint_path: "ckpt-\d+"')
_LISTED = re.compile(
    r'(all_)?model_checkpoint_paths?: "ckpt-\d+"'
    r"|(all_model_checkpoint_timestamps|last_preserved_timestamp): [\d.e+-]+|"
)


@dataclasses.dataclass(frozen=True)
class Progressed:
    """How far a training is: its state that is not a variable."""

    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best_epoch: int = -1
    stopped: bool = False

    @property
    def best(self) -> int:
        """The number of the best epoch, as users count: from 1."""
        return self.best_epoch + 1


class _Progress(pydantic.BaseModel):
    """`Progressed` as a checkpoint holds it: data from outside."""

    history: list[dict[str, float]]
    best_epoch: int
    stopped: bool


class _Json(tf.train.experimental.PythonState):
    """`Progressed` inside the checkpoint, so that both are written at once."""

    def __init__(self) -> None:
        self.progress = Progressed()

    def serialize(self) -> str:
        return json.dumps(dataclasses.asdict(self.progress))

    def deserialize(self, string_value: str) -> None:
        record = checked_record(_Progress, string_value)
        if not -1 <= record.best_epoch < len(record.history):
            raise UnreadableError("its best epoch is none of its epochs")
        self.progress = Progressed(record.history, record.best_epoch, record.stopped)


class Checkpoints:
    """Weights, optimizer state, random state and the best weights, after every epoch.

    Args:
        folder: where; `None` keeps the best weights in memory only.
        model: the Keras model.
        optimizer: built for it.
        state: further variables that last from epoch to epoch; those of this process's replicas,
            of one shape.
        workers: of the training; the chief alone writes to the folder, which all of them read.
    """

    def __init__(
        self,
        folder: Path | None,
        model: Any,
        optimizer: Any,
        state: Sequence[Any] = (),
        workers: Workers | None = None,
    ) -> None:
        self._model, self._workers = model, workers or Workers()
        self._weights = raw_variables(model)
        self._best = [tf.Variable(v, trainable=False, dtype=v.dtype) for v in self._weights]
        self._progress = _Json()
        self._manager = None
        self._state = list(state)
        self._everywhere = self._state  # in the checkpoint: the state of all workers' replicas
        if self._state and self._workers.count > 1:
            self._everywhere = [tf.Variable(self._workers.gathered(self._state), trainable=False)]
        if folder is not None:
            self._workers.on_chief(lambda: _check_index(folder / "checkpoint"))
            checkpoint = tf.train.Checkpoint(
                weights=self._weights,
                optimizer=raw_variables(optimizer),
                best=self._best,
                state=self._progress,
                **({"more": self._everywhere} if self._state else {}),
            )
            self._manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=1)

    def restore(self) -> Progressed:
        """Return to the last finished epoch; to the beginning if there is none.

        Raises:
            StoreError: the checkpoint is damaged or of another model.
        """
        manager = self._manager
        if manager is None:
            return Progressed()
        latest = self._workers.on_chief(lambda: manager.latest_checkpoint)
        if latest is None:
            return Progressed()
        self._workers.agreed(lambda: _read(manager, latest))
        if self._everywhere is not self._state:
            (everywhere,) = self._everywhere
            for mine, value in zip(self._state, self._workers.own(everywhere), strict=True):
                mine.assign(value)
        return self._progress.progress

    def advance(
        self, progress: Progressed, logs: dict[str, float], *, stop: bool, counts: bool = True
    ) -> Progressed:
        """Add an epoch; keep its weights as the best if it counts and none is better."""
        history = [*progress.history, logs]
        best = progress.best_epoch
        if best < 0 or (counts and _better(logs, history[best])):
            best = len(history) - 1
            for best_weight, weight in zip(self._best, self._weights, strict=True):
                best_weight.assign(weight)
        return Progressed(history, best, stop)

    def save(self, progress: Progressed) -> None:
        """Write the checkpoint; the previous one is deleted once this one is complete."""
        if self._manager is None:
            return
        self._progress.progress = progress
        if self._everywhere is not self._state:
            self._everywhere[0].assign(self._workers.gathered(self._state))
        if self._workers.chief:
            with disk_errors(self._manager.directory):
                self._manager.save()
        else:  # some variables are summed over the workers when they are saved: all take part
            with scratch_folder() as folder:
                self._manager.checkpoint.write(str(folder / "not-kept"))

    def take_best(self) -> None:
        """Give the model its weights and random state of the best epoch."""
        for weight, best_weight in zip(self._weights, self._best, strict=True):
            weight.assign(best_weight)


def _read(manager: Any, file: str) -> None:
    """Give all variables the values that a checkpoint holds."""
    try:
        manager.checkpoint.restore(file).assert_existing_objects_matched()
    except Exception as error:  # TensorFlow raises a dozen kinds for a damaged file
        raise StoreError(
            f"{manager.directory}: the checkpoint cannot be read "
            f"({one_line(error)}); start over with --force"
        ) from error


def _check_index(path: Path) -> None:
    """Refuse a list of checkpoints that names files elsewhere: TensorFlow deletes what it lists.

    Raises:
        StoreError: it names none, or files elsewhere, or cannot be read.
    """
    if not path.exists():
        return
    try:
        lines = read_bytes(path, _INDEX).decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        cause = one_line(error)
    else:
        if any(map(_LATEST.fullmatch, lines)) and all(map(_LISTED.fullmatch, lines)):
            return
        cause = "it lists no checkpoint of this folder"
    raise StoreError(f"{path}: cannot be read ({cause}); start over with --force")


def _better(logs: dict[str, float], best: dict[str, float]) -> bool:
    """Compare validation accuracy, then loss; without validation the later epoch is better."""
    if "val_accuracy" not in logs:
        return True
    key = ("val_accuracy", "val_loss")
    accuracy, loss = (logs[k] for k in key)
    best_accuracy, best_loss = (best[k] for k in key)
    return (accuracy, -loss) > (best_accuracy, -best_loss)
