"""Classifiers that workers open again by name, not by a file: networks with their layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tfrobust.classifier import AppliedDefense, Classifier
from tfrobust.classifiers.identity import agree, answers_of
from tfrobust.errors import ClassifierError
from tfrobust.execution.content import content_digest
from tfrobust.types import Logits

_TOLERANCE = 1e-3  # relative difference of logits that another machine's rounding may make


class Reopening(Protocol):
    """Opens classifiers in any process that sees the same files; can be pickled."""

    def knows(self, name: str) -> bool:
        """Tell whether a classifier, by the name that results show, is opened by this."""

    def files(self, name: str) -> Sequence[Path]:
        """Return files and folders, absolute, without which it cannot be opened."""

    def open(self, name: str) -> Classifier:
        """Open it.

        Raises:
            RobustError: it cannot be opened.
        """


@dataclasses.dataclass(frozen=True)
class ReopenedParcel:
    """A classifier on its way to a worker, which opens it by its name.

    Attributes:
        name: as results show it.
        reopening: opens it.
        files: of it, each with the digest of its content; see `content_digest`.
        defenses: that it carries.
        answers: its logits for fixed noise; see `answers_of`.
    """

    name: str
    reopening: Reopening
    files: tuple[tuple[Path, str], ...]
    defenses: tuple[AppliedDefense, ...]
    answers: Logits

    def opened(self) -> Classifier:
        """Open the classifier; see `Parcel.opened`."""
        for path, digest in self.files:
            if content_digest(path) != digest:
                raise ClassifierError(
                    f"{self.name}: {path} is missing or another file on this worker; put the store "
                    "into a folder that all machines share"
                )
        loaded = self.reopening.open(self.name)
        check_same(self.name, str(self.files[0][0]), loaded, self.defenses, self.answers)
        return loaded


def check_same(
    name: str,
    source: str,
    loaded: Classifier,
    defenses: Sequence[AppliedDefense],
    answers: Logits,
) -> None:
    """Refuse another classifier than the one that was packed.

    Raises:
        ClassifierError: its defences or its answers are others.
    """
    same = [defense.name for defense in loaded.defenses] == [defense.name for defense in defenses]
    told = answers_of(loaded)
    same = same and told.shape == answers.shape
    if not (same and agree(told, answers, _TOLERANCE).all()):
        raise ClassifierError(
            f"{name}: is no longer what {source} holds, so that workers load another classifier; "
            "export it, and load the export"
        )
