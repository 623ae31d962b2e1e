"""Plugins by entry point: listed without importing them, loaded on first use.

A plugin that cannot be used is reported with its distribution, its entry point and the cause. It
never takes the tool down, and two plugins of one name are both refused: nothing is renamed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import os
import re
import sys
from collections import Counter
from importlib import metadata
from typing import Any

from tfrobust.errors import PluginError, UnavailableError, UsageError, did_you_mean, one_line


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered plugin, whether or not it works.

    Attributes:
        kind: one of `KINDS`.
        name: what users call it.
        target: `module:Class`.
        distribution: who brought it, with its version.
        problem: why it cannot be used, or `None`.
        installs: the command that installs what it lacks, where its distribution names that in
            one of its extras: then it is unavailable, and not broken.
    """

    kind: str
    name: str
    target: str
    distribution: str
    problem: str | None = None
    installs: str | None = None

    def load(self) -> type:
        """Import the plugin's class.

        Raises:
            PluginError: it does not import, or its name is taken twice.
            UnavailableError: it needs a package that an extra of its distribution would install.
        """
        if self.problem:
            raise PluginError(self._blame(self.problem))
        try:
            loaded = metadata.EntryPoint(self.name, self.target, f"tfrobust.{self.kind}").load()
        except ModuleNotFoundError as error:
            if command := _installs(self.distribution, error.name):
                raise UnavailableError(self._lacks(error.name), command) from error
            raise PluginError(self._blame(f"{type(error).__name__}: {one_line(error)}")) from error
        except (Exception, SystemExit) as error:  # a third-party module may do anything
            cause = f"{type(error).__name__}: {one_line(error)}"
            raise PluginError(self._blame(cause)) from error
        if fault := _contract_fault(self.kind, loaded):
            raise PluginError(self._blame(fault))
        return loaded

    def _lacks(self, module: str | None) -> str:
        return f"plugin {self.kind}/{self.name} is unavailable: it needs {module}"

    def _blame(self, cause: str) -> str:
        return (
            f"plugin {self.kind}/{self.name} is broken "
            f"({self.distribution}, entry point {self.target}): {cause}"
        )


_CONTRACTS = {
    "models": "tfrobust.model:ModelBuilder",
    "scenarios": "tfrobust.scenario:Scenario",
    "shifts": "tfrobust.scenario:Shift",
    "attacks": "tfrobust.attack:Attack",
    "defenses": "tfrobust.defense:Defense",
    "detectors": "tfrobust.detector:Detector",
    "certifiers": "tfrobust.certifier:Certifier",
    "suites": "tfrobust.suites:Suite",
    "trackers": "tfrobust.tracker:Tracker",
}
KINDS = tuple(_CONTRACTS)
_MANY = 12  # more names than a message should list


def _installs(distribution: str, module: str | None) -> str | None:
    """Return what installs a module that an extra of a distribution names, or `None`.

    Args:
        distribution: with its version: `tfrobust 0.1.0`.
        module: that was not found; its package, or the extra, must have the same name.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    owner, wanted = distribution.partition(" ")[0], canonicalize_name((module or "").split(".")[0])
    with contextlib.suppress(metadata.PackageNotFoundError):
        for requirement in map(Requirement, metadata.requires(owner) or ()):
            extra = re.search(r"extra == ['\"]([\w.-]+)['\"]", str(requirement.marker))
            if extra and wanted in map(canonicalize_name, (requirement.name, extra[1])):
                return f"pip install '{owner}[{extra[1]}]'"
    return None


def _contract_fault(kind: str, loaded: Any) -> str | None:
    """Return why a loaded object cannot be a plugin of this kind, or `None`."""
    if not isinstance(loaded, type):
        return "the entry point names no class"
    module, _, name = _CONTRACTS[kind].partition(":")
    if not issubclass(loaded, getattr(importlib.import_module(module), name)):
        return f"its class is no {module}.{name}"
    if missing := getattr(loaded, "__abstractmethods__", None):
        return f"its class does not define {', '.join(sorted(missing))}"
    if not dataclasses.is_dataclass(loaded):
        return "its class is not decorated with @tfrobust.plugin"
    return None


def entries(kind: str | None = None) -> list[Entry]:
    """List the plugins of one kind, or of all, without importing any of them.

    Raises:
        UsageError: there is no such kind.

    Example:
        >>> [entry.name for entry in entries("defenses")]
        ['pgd_training']
    """
    if kind is None:
        return [entry for known in KINDS for entry in entries(known)]
    if kind not in KINDS:
        raise UsageError(
            f"no plugin kind {kind!r}{did_you_mean(kind, KINDS)} (there are: {', '.join(KINDS)})"
        )
    return list(_listed(kind, _installed()))


def _installed() -> tuple[tuple[str, int], ...]:
    """Return the folders that distributions are looked for in, with when each changed last."""
    folders = []
    for folder in sys.path:
        with contextlib.suppress(OSError):
            folders.append((folder, os.stat(folder or ".").st_mtime_ns))
    return tuple(folders)


@functools.lru_cache(maxsize=64)  # reading what all distributions declare takes 10 ms
def _listed(kind: str, _: tuple[tuple[str, int], ...]) -> tuple[Entry, ...]:
    """Return the plugins of a kind, as the folders of `_installed` declare them."""
    listed = tuple(metadata.entry_points(group=f"tfrobust.{kind}"))
    distributions = {id(point.dist): point.dist for point in listed}
    # A distribution's name and version are read from a file, the same one for many plugins.
    owners = {number: _distribution(dist) for number, dist in distributions.items()}
    points = {(point.name, point.value, owners[id(point.dist)]) for point in listed}
    count = Counter(name for name, _, _ in points)
    return tuple(
        Entry(kind, name, target, owner, _duplicate(name, points) if count[name] > 1 else None)
        for name, target, owner in sorted(points)
    )


def _distribution(of: metadata.Distribution | None) -> str:
    return f"{of.name} {of.version}" if of else "unknown"


def _duplicate(name: str, points: set[tuple[str, str, str]]) -> str:
    owners = sorted(owner for other, _, owner in points if other == name)
    return f"the name is registered {len(owners)} times, by {' and '.join(owners)}; uninstall one"


def checked(entry: Entry) -> Entry:
    """Return the entry with its problem, if importing it shows one."""
    try:
        entry.load()
    except UnavailableError as error:
        return dataclasses.replace(entry, problem=str(error), installs=error.command)
    except PluginError as error:
        cause = str(error).partition("): ")[2] or str(error)
        return dataclasses.replace(entry, problem=entry.problem or cause)
    return entry


def find(kind: str, name: str) -> Entry:
    """Return the entry of one plugin.

    Raises:
        UsageError: no such kind or name; the nearest name is given.
    """
    known = entries(kind)
    for entry in known:
        if entry.name == name:
            return entry
    names = [entry.name for entry in known]
    there = f"there are: {', '.join(names) or 'none'}"
    if len(names) > _MANY:
        there = f"`tfrobust plugins {kind}` lists all {len(names)}"
    raise UsageError(f"no plugin {kind}/{name}{did_you_mean(name, names)} ({there})")


def create(kind: str, name: str, **values: Any) -> Any:
    """Load plugin `kind`/`name` and build it with these options.

    Raises:
        UsageError: unknown name or option, or a value out of range.
        PluginError: the plugin is broken.

    Example:
        >>> create("attacks", "pgd", eps=0.1).steps
        40
    """
    from tfrobust.options import build  # pydantic takes its time, and listing does not need it

    entry = find(kind, name)
    return build(entry.load(), name, values)


def declaring(kind: str, flag: str) -> list[str]:
    """Return the names of the plugins of one kind whose class sets a flag; imports all of them.

    What is broken is left out.

    Example:
        >>> declaring("scenarios", "has_boxes")
        ['coco', 'digits_in_places', 'tiny_imagenet', 'voc']
    """
    names = []
    for entry in entries(kind):
        with contextlib.suppress(PluginError):
            if getattr(entry.load(), flag):
                names.append(entry.name)
    return names


@functools.cache
def _names(kind: str) -> dict[str, str]:
    return {entry.target: entry.name for entry in entries(kind) if not entry.problem}


def name_of(instance: Any) -> str:
    """Return the registered name of a built plugin, or one made from its class name."""
    cls = type(getattr(instance, "__wrapped__", instance))  # as functools has it
    target = f"{cls.__module__}:{cls.__qualname__}"
    for kind in KINDS:
        if target in _names(kind):
            return _names(kind)[target]
    parts = "".join(f" {c.lower()}" if c.isupper() else c for c in cls.__name__).split()
    return "_".join(parts)


def signature(instance: Any) -> dict[str, Any]:
    """Return `{"name": …, "params": {…}}` of a built plugin: how results and cards record it."""
    from tfrobust.options import record

    return {"name": name_of(instance), "params": record(instance)}
