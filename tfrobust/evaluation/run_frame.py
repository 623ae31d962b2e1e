"""What all evaluations that write a run folder have in common."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypedDict

import keras

from tfrobust.engine.learning import remembering
from tfrobust.evaluation.adaptive.passes import adaptive_notes
from tfrobust.evaluation.resuming import Partial
from tfrobust.evaluation.settings import EvaluationSettings, Progress
from tfrobust.evaluation.warnings.notices import notices
from tfrobust.execution.executor import Executor
from tfrobust.files.output_folders import PARTIAL, output_folder

Note = Callable[[str], object]  # receives a line that the user should read


def _no_note(line: str) -> None:
    """Let a line go unread."""


class RunOptions(TypedDict, total=False):
    """The options of `Run`, as keyword arguments."""

    force: bool
    progress: Progress | None
    note: Note
    executor: Executor | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """How a run folder comes about, whatever is evaluated.

    Attributes:
        force: write also where the folder holds other things.
        progress: receives how far the work is.
        note: receives lines that the user should read, such as what was converted when a
            classifier was loaded.
        executor: computes the blocks of images; `None`: this process.
    """

    force: bool = False
    progress: Progress | None = None
    note: Note = _no_note
    executor: Executor | None = None

    @contextlib.contextmanager
    def claimed(self, out: Path, seed: int) -> Iterator[Partial]:
        """Claim a run folder, and yield what an interrupted run has finished in it.

        Attacks find there what they learned before the interruption.
        """
        partial = Partial(out)
        with output_folder(out, force=self.force), remembering(out / PARTIAL):
            keras.utils.set_random_seed(seed)
            try:
                yield partial
            finally:
                partial.discard_columns()

    def tell(self, lines: Iterable[str]) -> None:
        """Note lines."""
        for line in lines:
            self.note(line)


def before(settings: EvaluationSettings) -> Iterator[str]:
    """Yield what to know before an evaluation starts; see `notices`."""
    everyone = {**settings.classifiers, **settings.attacked}
    yield from notices(settings.scenario, everyone, settings.attacks, settings.attacked)
    yield from adaptive_notes(settings)
