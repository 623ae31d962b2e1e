"""The lock file beside an experiment: what was done, with all options, by which versions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from tfrobust.errors import StoreError, UsageError, system_cause
from tfrobust.experiment.reading import plugins_of
from tfrobust.experiment.schema import Step
from tfrobust.files.atomic import atomic_write
from tfrobust.files.reading import UnreadableError, read_record
from tfrobust.registry import find

if TYPE_CHECKING:
    from tfrobust.scenario import Scenario

_PACKAGES = ("tfrobust", "tensorflow", "keras", "tf_keras", "numpy")
_MOST = 2**30  # bytes of a split's images that the revision of its data is computed from
_ROWS = 256  # at a time


class LockedStep(pydantic.BaseModel):
    """A step as it was done.

    Attributes:
        kind: of the step.
        settings: all of them, with defaults.
        plugins: plugin → its options, with defaults.
        data: revision of its images when it was done, see `revision`; `None` where it opens none.
        done: whether it ended well.
        overwrites: whether results that lie in its place are this experiment's own.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    kind: str
    settings: dict[str, Any]
    plugins: dict[str, dict[str, Any]] = {}
    data: str | None = None
    done: bool = False
    overwrites: bool = False


class Lock(pydantic.BaseModel):
    """A lock file.

    Attributes:
        format: of the file.
        version: of the format.
        versions: package → version, of tfrobust, what it stands on, and the plugins.
        steps: in the order in which they are done.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    format: Literal["tfrobust/experiment-lock"] = "tfrobust/experiment-lock"
    version: Literal[1] = 1
    versions: dict[str, str]
    steps: list[LockedStep]

    def entry_of(self, step: Step) -> LockedStep | None:
        """Return what it says of a step that is done with these settings; `None`: nothing."""
        settings = as_json(step.settings)
        known = (one for one in self.steps if one.done and one.kind == step.kind)
        return next((one for one in known if one.settings == settings), None)


def lock_path(experiment: Path) -> Path:
    """Return the lock's path: `experiment.lock.json` beside `experiment.toml`."""
    return experiment.with_name(f"{experiment.stem}.lock.json")


def read_lock(experiment: Path) -> Lock | None:
    """Return the lock of an experiment file; `None` where there is none.

    Raises:
        StoreError: it cannot be read.
    """
    path = lock_path(experiment)
    try:
        return read_record(Lock, path)
    except FileNotFoundError:
        return None
    except (OSError, UnreadableError) as error:
        cause = system_cause(error) if isinstance(error, OSError) else error
        raise StoreError(f"{path}: {cause}; delete it, and run without --locked") from error


def write_lock(experiment: Path, lock: Lock) -> None:
    """Write the lock of an experiment file, whole or not at all."""
    text = f"{lock.model_dump_json(indent=2)}\n"
    atomic_write(lock_path(experiment), lambda beside: beside.write_text(text, encoding="utf-8"))


def versions_of(steps: Iterable[Step]) -> dict[str, str]:
    """Return the versions of tfrobust, what it stands on, and the packages of the plugins."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    for step in steps:
        for kind, name in plugins_of(step):
            package, _, version = find(kind, name).distribution.partition(" ")
            versions.setdefault(package, version)
    return versions


def revision(scenario: Scenario, most: int = _MOST) -> str:
    """Return a digest of the images and labels of each split, which changes with the data.

    Of a split whose images take more memory than `most`, as float32, the first ones and the number
    of all: a million photographs would take hours to decode. Images are looked at without a shift,
    which is an option and no data.

    Args:
        scenario: the data.
        most: bytes of a split's images.
    """
    from tfrobust.data.shifted import Shifted

    data = scenario.base if isinstance(scenario, Shifted) else scenario
    size = 4 * math.prod(data.image_shape)
    digest = hashlib.sha256(repr((data.image_shape, data.class_names)).encode())
    for split in data.splits:
        images = data.load(split)
        digest.update(f"{split} {int(images.cardinality())}".encode())
        rows = images.take(max(1, most // size))
        # Boxes differ in number from image to image, and make no batch.
        pairs = rows.map(lambda row: (row["image"], row["label"]))
        for batch, labels in pairs.batch(_ROWS).as_numpy_iterator():
            digest.update(batch.tobytes())
            digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def check_locked(path: Path, lock: Lock, steps: Iterable[Step]) -> None:
    """Refuse an experiment that is not what was locked, or that other versions would run.

    Args:
        path: of the experiment file.
        lock: its lock.
        steps: what the file asks for now.

    Raises:
        UsageError: names the first difference.
    """
    steps = tuple(steps)
    remedy = "run without --locked, or restore it"
    if len(steps) != len(lock.steps):
        raise UsageError(
            f"{path}: {len(steps)} steps in the file, {len(lock.steps)} in the lock; {remedy}"
        )
    for step, locked in zip(steps, lock.steps, strict=True):
        if step.kind != locked.kind:
            raise UsageError(
                f"{path}: {step.place}: {step.kind} in the file, {locked.kind} in the lock; "
                f"{remedy}"
            )
        if difference := _difference(as_json(step.settings), locked.settings):
            raise UsageError(f"{path}: {step.place}.{difference}; {remedy}")
    if difference := _difference(versions_of(steps), lock.versions, here="installed"):
        raise UsageError(f"{path}: version of {difference}; install it, or run without --locked")


def _difference(now: Mapping[str, Any], then: Mapping[str, Any], here: str = "file") -> str:
    """Return where two mappings differ, and how; empty where they do not."""
    for key in sorted({*now, *then}):
        if now.get(key) != then.get(key):
            where = "installed" if here == "installed" else "in the file"
            return f"{key}: {now.get(key)!r} {where}, {then.get(key)!r} in the lock"
    return ""


def as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a lock file holds them: tuples are lists."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()
    }
