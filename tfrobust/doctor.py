"""What works on this machine: versions, packages, devices, plugins, studies, data and the store."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import tensorflow as tf

from tfrobust.environment.packages import broken_packages, needed_packages
from tfrobust.environment.versions import environment
from tfrobust.registry import Entry, checked, entries
from tfrobust.store.layout import store_root, stored
from tfrobust.study.schema.files import broken_studies, studies

SECURITY = (
    "files are checked before anything of them runs, but TensorFlow is no sandbox: open "
    "third-party models only in a container (docs/security.md)"
)
_REMEDIES = (
    "a package is missing or unfit: install tfrobust in a new virtual environment",
    "a plugin is broken: reinstall the package in brackets, or uninstall it",
    "a study is broken: correct its file, or uninstall the package that brings it",
    "tf.keras is Keras 3: set TF_USE_LEGACY_KERAS=1 before Python starts",
    "no GPU is seen: on a machine that has one, pip install 'tensorflow[and-cuda]'",
    "no data is prepared: tfrobust data prepare mnist; the scenario digits needs none",
    "no classifier is stored: tfrobust train lenet --scenario digits",
)


@dataclasses.dataclass(frozen=True)
class Packages:
    """The packages that tfrobust and TensorFlow Datasets need.

    Attributes:
        needed: how many.
        broken: a line for each that is missing, unfit or does not import.
    """

    needed: int
    broken: list[str]


@dataclasses.dataclass(frozen=True)
class Plugins:
    """How many plugins can be imported.

    Attributes:
        working: how many can.
        broken: a line for each that cannot.
        unavailable: a line for each that needs an extra, with what installs it.
    """

    working: int
    broken: list[str]
    unavailable: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Studies:
    """The studies that are installed.

    Attributes:
        installed: their names.
        broken: a line for each that cannot be used.
    """

    installed: list[str]
    broken: list[str]


@dataclasses.dataclass(frozen=True)
class Data:
    """The datasets that are prepared.

    Attributes:
        folder: where TensorFlow Datasets keeps them.
        prepared: their names.
    """

    folder: str
    prepared: list[str]


@dataclasses.dataclass(frozen=True)
class Store:
    """The model store.

    Attributes:
        folder: where it lies.
        classifiers: the names in it.
    """

    folder: str
    classifiers: list[str]


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What works here.

    Attributes:
        versions: of Python, TensorFlow and other packages, by name.
        packages: which of those that are needed work.
        devices: that TensorFlow sees.
        keras_2: whether `tf.keras` is Keras 2, which some plugins are built on.
        plugins: which can be imported.
        studies: which are installed.
        data: which datasets are prepared.
        security: what is not promised.
        store: which classifiers are stored.
    """

    versions: dict[str, str]
    packages: Packages
    devices: list[str]
    keras_2: bool
    plugins: Plugins
    studies: Studies
    data: Data
    security: str
    store: Store

    @property
    def broken(self) -> bool:
        """Whether a package, a plugin or a study is broken."""
        return bool(self.packages.broken or self.plugins.broken or self.studies.broken)

    @property
    def remedies(self) -> list[str]:
        """What to do about what is broken or missing, a line each; the gravest first."""
        gpu = any("GPU" in device for device in self.devices)
        return [line for holds, line in zip(self._lacking(gpu), _REMEDIES, strict=True) if holds]

    def _lacking(self, gpu: bool) -> list[bool]:
        """Return whether each of the remedies is called for."""
        lists = (self.data.prepared, self.store.classifiers)
        broken = (self.packages.broken, self.plugins.broken, self.studies.broken)
        return [*map(bool, broken), not self.keras_2, not gpu, *(not names for names in lists)]


def diagnose() -> Diagnosis:
    """Import every plugin and look at versions, devices, data and the store.

    Example:
        >>> diagnose().plugins.broken
        []
    """
    plugins = [checked(entry) for entry in entries()]
    lacking = [entry for entry in plugins if entry.installs]
    broken = [entry for entry in plugins if entry.problem and not entry.installs]
    return Diagnosis(
        versions=environment(),
        packages=Packages(len({package.name for package in needed_packages()}), broken_packages()),
        devices=[device.name for device in tf.config.list_logical_devices()],
        keras_2=not tf.keras.__name__.startswith("keras."),
        plugins=Plugins(
            len(plugins) - len(broken) - len(lacking),
            [_described(entry) for entry in broken],
            [f"{entry.kind}/{entry.name}: {entry.installs}" for entry in lacking],
        ),
        studies=Studies(list(studies()), broken_studies()),
        data=_prepared_data(),
        security=SECURITY,
        store=Store(str(store_root()), stored()),
    )


def _described(entry: Entry) -> str:
    return f"{entry.kind}/{entry.name} ({entry.distribution}, {entry.target}): {entry.problem}"


def _prepared_data() -> Data:
    folder = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    prepared = sorted(path.parent.parent.name for path in folder.glob("*/*/dataset_info.json"))
    return Data(str(folder), prepared)
