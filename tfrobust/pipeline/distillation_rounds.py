"""The rounds of a distillation: what is kept of them, and what the surrogate is trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import StoreError, UsageError, one_line
from tfrobust.files.atomic import atomic_write
from tfrobust.scenario import Scenario
from tfrobust.training.steps import Steps
from tfrobust.training.task import TrainingTask
from tfrobust.training.totals import sums
from tfrobust.types import Images, ImageShape, Labels, Logits


class KeptRounds:
    """Images that were asked about, and the answers, a file each.

    Images are kept before they are asked about: a round that is interrupted asks about the same
    ones again, and the endpoint's kept answers pay for those that had left.

    Args:
        folder: where; `None`: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def images(self, name: str, shape: ImageShape, make: Callable[[], Images]) -> Images:
        """Return the images of a round, made where none are kept.

        Raises:
            StoreError: the file is damaged.
        """
        kept = self._read(f"{name}-images.npy", shape)
        if kept is not None:
            return kept
        return self._written(f"{name}-images.npy", make())

    def answers(
        self, name: str, images: Images, classes: int, ask: Callable[[Images], Logits]
    ) -> Logits:
        """Return the answers to the images of a round, asked for where none are kept.

        Raises:
            StoreError: the file is damaged.
        """
        file = f"{name}-answers.npy"
        kept = self._read(file, (classes,))
        if kept is not None and len(kept) == len(images):
            return kept
        return self._written(file, ask(images))

    def forget_answers(self, name: str) -> None:
        """Remove the answers of a round."""
        if self._folder is not None:
            (self._folder / f"{name}-answers.npy").unlink(missing_ok=True)

    def _read(self, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
        path = self._folder / name if self._folder else None
        if path is None or not path.exists():
            return None
        try:
            rows = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(
                f"{path}: cannot be read ({one_line(error)}); start over with --force"
            ) from error
        if rows.dtype != np.float32 or rows.shape[1:] != tuple(shape):
            raise StoreError(
                f"{path}: expected float32 (n, {', '.join(map(str, shape))}); received: "
                f"{rows.dtype} {rows.shape}; start over with --force"
            )
        return rows

    def _written(self, name: str, rows: np.ndarray) -> np.ndarray:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

            def write(path: Path) -> None:
                with path.open("wb") as file:
                    np.save(file, rows, allow_pickle=False)

            atomic_write(self._folder / name, write)
        return rows


class Answered(Scenario):
    """Images with the labels that a classifier gave them, as a training split.

    Args:
        scenario: whose images they are, or neighbours of them.
        images: float32 `(n, height, width, channels)` in [0, 1].
        labels: int64 `(n,)`.
    """

    def __init__(self, scenario: Scenario, images: Images, labels: Labels) -> None:
        self._scenario, self._images, self._labels = scenario, images, labels

    @property
    def image_shape(self) -> ImageShape:
        """See `Scenario`."""
        return self._scenario.image_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """See `Scenario`."""
        return self._scenario.class_names

    @property
    def splits(self) -> tuple[str, ...]:
        """One alone."""
        return ("train",)

    def load(self, split: str) -> tf.data.Dataset:
        """Return the images and their labels; see `Scenario`."""
        if split != "train":
            raise UsageError(f"split: expected train; received: {split!r}")
        return tf.data.Dataset.from_tensor_slices({"image": self._images, "label": self._labels})

    def count(self, split: str) -> int | None:
        """Return how many there are."""
        return len(self._images) if split == "train" else None


def task_of(answers: Logits, *, labels: bool) -> TrainingTask:
    """Return what a surrogate learns of answers: their probabilities, or their labels alone.

    Args:
        answers: float32 `(n, classes)`, logits in the order of the training images.
        labels: whether they tell the label and nothing else.
    """
    if labels:
        return TrainingTask()
    probabilities = tf.nn.softmax(answers)
    return TrainingTask(steps=lambda *given: _ScoreSteps(*given, targets=probabilities))


class _ScoreSteps(Steps):
    """Steps that lower the cross-entropy −Σ p log q to the probabilities of another classifier.

    Args:
        *given: see `Steps`.
        targets: float32 `(images, classes)`, found by the number of an image.
    """

    def __init__(self, *given: Any, targets: Any) -> None:
        self._targets = targets
        super().__init__(*given)

    def _train_replica(self, images: Any, labels: Any, index: Any, real: Any, seed: Any) -> Any:
        wanted = tf.gather(self._targets, index)
        with tf.GradientTape() as tape:
            logits = self._classifier.logits_in_training(images)
            losses = tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
            loss = self._share(losses, real)
        self._apply(tape.gradient(loss, self._weights()))
        return sums(losses, logits, labels, real)
