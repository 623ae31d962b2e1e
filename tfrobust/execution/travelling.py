"""How classifiers, plugins and scenarios travel to workers.

A classifier travels by the path of its file where every machine sees the same file there, and as
the bytes of the file elsewhere. Plugins and scenarios travel by their registered names and options.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.classifier import AppliedDefense, Classifier
from tfrobust.classifiers.identity import answers_of
from tfrobust.classifiers.loading import AS_IT_IS, LoadOptions
from tfrobust.classifiers.members import split_member
from tfrobust.data.names import framed, scenario_record
from tfrobust.data.shifted import Shifted
from tfrobust.errors import ClassifierError, RobustError, UsageError
from tfrobust.execution.content import content_digest, files_of
from tfrobust.execution.reopening import ReopenedParcel, Reopening, check_same
from tfrobust.files.leftovers import scratch_folder
from tfrobust.registry import KINDS, create, name_of, signature
from tfrobust.scenario import Scenario
from tfrobust.store.models import load
from tfrobust.types import Logits

MOST_BYTES = 4 * 1024**3  # of a file that is sent; a larger one must lie in a shared folder

Sees = Callable[[Path, str], bool]


@dataclasses.dataclass(frozen=True)
class StoredParcel:
    """A classifier that was loaded from a file, as a worker loads it again.

    Attributes:
        name: as results show it.
        source: the path from which it was loaded, with the member if it is one.
        path: the file or SavedModel folder, absolute.
        digest: of the file's content; see `content_digest`.
        content: a zip archive of the file; `None` where workers read it from `path`.
        options: with which it was loaded.
        defenses: that it carries.
        answers: its logits for fixed noise; see `answers_of`.
    """

    name: str
    source: str
    path: Path
    digest: str
    content: bytes | None
    options: LoadOptions
    defenses: tuple[AppliedDefense, ...]
    answers: Logits

    def opened(self) -> Classifier:
        """Load the classifier; see `Parcel.opened`."""
        if content_digest(self.path) == self.digest:
            return self._checked(load(self._called(self.path), options=self.options))
        if self.content is None:
            raise ClassifierError(
                f"{self.name}: {self.path} is missing or another file on this worker; put it into "
                "a folder that all machines share"
            )
        with scratch_folder() as folder:
            path = folder / self.path.name
            path = _unpacked(self.content, path)
            return self._checked(load(self._called(path), options=self.options))

    def _called(self, path: Path) -> str:
        member = split_member(self.source)[1]
        return str(path) if member is None else f"{path}:{member}"

    def _checked(self, loaded: Classifier) -> Classifier:
        check_same(self.name, self.source, loaded, self.defenses, self.answers)
        return loaded.replace(source=self.source)


@dataclasses.dataclass(frozen=True)
class NamedPlugin:
    """A plugin by its registered name and its options."""

    kind: str
    name: str
    params: dict[str, Any]

    def built(self) -> Any:
        """Build the plugin."""
        return create(self.kind, self.name, **self.params)


@dataclasses.dataclass(frozen=True)
class NamedScenario:
    """A scenario by its registered name and options, and those of its shift."""

    name: str
    params: dict[str, Any]
    shift: dict[str, Any] | None = None

    def opened(self) -> Scenario:
        """Open the scenario."""
        base = framed(self.name, self.params)
        if self.shift is None:
            return base
        shift = create("shifts", self.shift["name"], **self.shift["params"])
        return Shifted(base, shift, self.shift["seed"])


class StorePacker:
    """Packs what a job holds.

    Args:
        sees: tells whether every worker has a file of this content under this path.
        reopening: opens the classifiers that it knows; others are loaded from their files.
    """

    def __init__(self, sees: Sees, reopening: Reopening | None = None) -> None:
        self._sees, self._reopening = sees, reopening

    def classifier(self, name: str, classifier: Classifier) -> StoredParcel | ReopenedParcel:
        """Pack a classifier; see `Packer.classifier`."""
        if classifier.meter is not None:
            raise UsageError(
                f"{name}: an endpoint is asked by one process, which keeps its budget; leave out "
                "--workers and --ray, and raise --concurrency instead"
            )
        if self._reopening and self._reopening.knows(name):
            return self._reopened(name, classifier, self._reopening)
        path = Path(split_member(classifier.source)[0])
        if not classifier.source or classifier.inner is not None or not path.exists():
            raise UsageError(
                f"{name}: cannot travel to workers, since it lies in no file; export it "
                f"(`tfrobust.store.export`), and load the export"
            )
        path = path.absolute()
        digest = content_digest(path)
        content = None if self._sees(path, digest) else _packed(name, path)
        return StoredParcel(
            name=name,
            source=classifier.source,
            path=path,
            digest=digest,
            content=content,
            options=classifier.loaded_with or AS_IT_IS,
            defenses=classifier.defenses,
            answers=np.asarray(answers_of(classifier)),
        )

    def _reopened(self, name: str, classifier: Classifier, reopening: Reopening) -> ReopenedParcel:
        files = tuple((path, content_digest(path)) for path in reopening.files(name))
        for path, digest in files:
            if not self._sees(path, digest):
                raise UsageError(
                    f"{name}: is opened with its layers, which does not travel; put {path} into a "
                    "folder that all machines share, under the same path"
                )
        answers = np.asarray(answers_of(classifier))
        return ReopenedParcel(name, reopening, files, classifier.defenses, answers)

    def plugin(self, kind: str, instance: Any) -> NamedPlugin:
        """Describe a plugin; see `Packer.plugin`."""
        record = signature(instance)
        packed = NamedPlugin(kind, record["name"], record["params"])
        _check_same(f"{kind}/{name_of(instance)}", packed.built, record, signature)
        return packed

    def scenario(self, scenario: Scenario) -> NamedScenario:
        """Describe a scenario; see `Packer.scenario`."""
        record = scenario_record(scenario)
        packed = NamedScenario(**record)
        _check_same(f"scenarios/{record['name']}", packed.opened, record, scenario_record)
        return packed


def _check_same(
    what: str,
    build: Callable[[], Any],
    record: dict[str, Any],
    described: Callable[[Any], dict[str, Any]],
) -> None:
    """Refuse what cannot be built again from its record.

    Raises:
        UsageError: it is no registered plugin, or holds more than its options say.
    """
    try:
        same = described(build()) == record
    except RobustError:
        same = False
    if not same:
        raise UsageError(
            f"{what}: cannot travel to workers, which build plugins by their registered names and "
            f"options; register it as an entry point (tfrobust.{{{', '.join(KINDS)}}})"
        )


def _packed(name: str, path: Path) -> bytes:
    """Return a zip archive of a classifier's file or folder.

    Raises:
        UsageError: it is too large to be sent.
    """
    files = files_of(path)
    size = sum(file.stat().st_size for file in files.values())
    if size > MOST_BYTES:
        raise UsageError(
            f"{name}: {path} has {size / 1024**3:.1f} GB, too much to be sent to workers; put it "
            "into a folder that all machines share"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for inside, file in files.items():
            archive.write(file, inside)
    return buffer.getvalue()


def _unpacked(content: bytes, path: Path) -> Path:
    """Unpack what `_packed` returned; return the file or the folder."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        single = path.name in archive.namelist()
        archive.extractall(path.parent if single else path)  # of our own process; no path escapes
    return path
