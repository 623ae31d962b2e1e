"""What does not work of the packages that tfrobust and TensorFlow Datasets need."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tfrobust.errors import one_line

# TensorFlow Datasets imports what it needs late, when the first dataset is read.
_OWNERS = ("tfrobust", "tensorflow-datasets")
# It also swallows what goes wrong when it is imported itself; this module of it does not.
_INSIDE = {"tensorflow-datasets": ["tensorflow_datasets.public_api"]}


def needed_packages() -> list[Requirement]:
    """Return the direct dependencies of tfrobust and of TensorFlow Datasets on this machine."""
    return [requirement for owner in _OWNERS for requirement in _requirements(owner)]


def broken_packages() -> list[str]:
    """Import every needed package; return a line for each that is missing, unfit or fails."""
    problems = {
        canonicalize_name(requirement.name): problem
        for requirement in needed_packages()
        if (problem := _problem(requirement))
    }
    return [problems[name] for name in sorted(problems)]


def modules_of(package: str) -> list[str]:
    """Return what a distribution lets one import, its outermost packages and modules.

    Example:
        >>> modules_of("protobuf")
        ['google.protobuf']
    """
    files = metadata.files(package) or []
    folders = {file.parent.parts for file in files if file.name == "__init__.py"}
    outermost = {
        ".".join(folder)
        for folder in folders
        if not any(folder[:depth] in folders for depth in range(1, len(folder)))
    }
    alone = {
        file.name.partition(".")[0]
        for file in files
        if len(file.parts) == 1 and file.suffix in {".py", ".so", ".pyd"}
    }
    return sorted(outermost | alone)


def _requirements(owner: str) -> Iterator[Requirement]:
    try:
        lines = metadata.requires(owner) or []
    except metadata.PackageNotFoundError:
        return  # said where it is a requirement itself
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _problem(requirement: Requirement) -> str | None:
    """Return what is wrong with a package, or `None`."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement}: is not installed"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement}: {version} is installed"
    inside = _INSIDE.get(canonicalize_name(requirement.name), [])
    for module in modules_of(requirement.name) + inside:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # those of third parties help nobody here
                importlib.import_module(module)
        except (Exception, SystemExit) as error:  # a third-party module may do anything
            return f"{requirement.name} {version} does not import: {one_line(error)}"
    return None
