"""Keras files, read as data before Keras may read them: `.keras` archives and `.h5`.

Looked at are the configuration (`tfrobust.classifiers.keras.allowed` says what it may name), the
sizes, and the links inside the weights, which could lead to other files.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tfrobust.classifiers.keras.allowed import check_compiled, check_configuration
from tfrobust.classifiers.keras.lookup import Generation
from tfrobust.errors import ClassifierError, one_line, printable
from tfrobust.files.archives import check_archive, check_unpacked, open_member
from tfrobust.files.reading import UnreadableError, open_regular, parse_json

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
_CONFIGURATION = 64 * 10**6  # bytes; the largest networks of keras.applications take 1 MB
_DEEPEST = 400  # levels of JSON; the recursion of Keras itself ends at about 900
_OBJECTS = 10**6  # in an HDF5 file


def check_keras_file(path: Path, extra: Collection[str] = ()) -> Generation:
    """Refuse a Keras file that names code, leads to other files or is a bomb; run nothing of it.

    Args:
        path: `.keras` or `.h5`.
        extra: modules whose classes and functions it may name too.

    Returns:
        The Keras generation that wrote it: `keras` or `tf_keras`.

    Raises:
        ClassifierError: what it wants, or that it is damaged.

    Example:
        >>> check_keras_file(Path("model.keras"))
        'keras'
    """
    kind = ".keras" if path.suffix == ".keras" else ".h5"
    check = functools.partial(_check_names, path, tuple(extra))
    try:
        with open_regular(path) as file:
            return (_archive if kind == ".keras" else _hdf5)(file, check)
    except ClassifierError:
        raise
    except Exception as error:  # zipfile, zlib and h5py raise half a dozen kinds
        raise ClassifierError(
            f"{path}: not a readable {kind} file ({one_line(error)}); save the model again"
        ) from error


@dataclasses.dataclass(frozen=True)
class _Content:
    """What a Keras file says of its model: parsed JSON, and its place."""

    version: str  # of the Keras that wrote it
    where: str
    configuration: Any
    compiled: Any  # what the whole model was compiled with


def _check_names(path: Path, extra: tuple[str, ...], content: _Content) -> Generation:
    """Look at what a file names; return the Keras that wrote it."""
    old = content.version.partition(".")[0] in ("1", "2")
    generation: Generation = "tf_keras" if old else "keras"
    try:
        check_configuration(content.configuration, generation, where=content.where, extra=extra)
        check_compiled(content.compiled, generation, where="compile_config", extra=extra)
    except UnreadableError as error:
        raise ClassifierError(f"{path}: Keras refuses it: {error}") from error
    return generation


def _archive(file: IO[bytes], check: Callable[[_Content], Generation]) -> Generation:
    """Check a `.keras` archive: what it names first, its weights only then."""
    with zipfile.ZipFile(file) as archive:
        check_archive(archive, os.fstat(file.fileno()).st_size)
        names = archive.namelist()
        if len(set(names)) < len(names) or len(names) > _OBJECTS:
            raise UnreadableError("several members have one name, or there are too many")
        for name in names:
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if name.startswith(("/", "\\")) or ".." in parts:
                raise UnreadableError(f"a member is called {printable(name, 60)!r}")
        metadata = parse_json(_read(archive, "metadata.json"))
        if not isinstance(metadata, dict) or not isinstance(metadata.get("keras_version"), str):
            raise UnreadableError("its metadata names no keras_version")
        configuration = parse_json(_read(archive, "config.json"), deepest=_DEEPEST)
        compiled = None
        if isinstance(configuration, dict):
            # What the whole model was compiled with: load_model(…, compile=False) of either Keras
            # drops it unseen. What models inside of it were compiled with is not dropped.
            compiled = configuration.pop("compile_config", None)
        generation = check(_Content(metadata["keras_version"], "config", configuration, compiled))
        for name in names:
            _check_member(archive, file, name)
    return generation


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    if name not in archive.namelist():
        raise UnreadableError(f"there is no {name} in it")
    if archive.getinfo(name).file_size > _CONFIGURATION:
        raise UnreadableError(f"{name} is larger than {_CONFIGURATION // 10**6} MB")
    return archive.read(name)


def _check_member(archive: zipfile.ZipFile, file: IO[bytes], name: str) -> None:
    """Check weights inside an archive."""
    import h5py

    if not name.endswith((".h5", ".npz")):
        return
    size = archive.getinfo(name).file_size
    with open_member(archive, file, name) as member:
        if name.endswith(".npz"):
            with zipfile.ZipFile(member) as inner:
                check_archive(inner, size)
        else:
            with h5py.File(member, "r") as content:
                _check_objects(content, size)


def _hdf5(file: IO[bytes], check: Callable[[_Content], Generation]) -> Generation:
    """Check an `.h5` of a whole model; what it was compiled with is its `training_config`."""
    import h5py

    with h5py.File(file, "r") as content:
        if "model_config" not in content.attrs:
            raise UnreadableError("it holds weights alone; save the whole model as .keras")
        configuration = parse_json(_text(content.attrs["model_config"]), deepest=_DEEPEST)
        version = _text(content.attrs.get("keras_version", "1"))
        written = content.attrs.get("training_config")
        compiled = None if written is None else parse_json(_text(written), deepest=_DEEPEST)
        generation = check(_Content(version, "model_config", configuration, compiled))
        _check_objects(content, os.fstat(file.fileno()).st_size)
    return generation


def _text(value: Any) -> str:
    text = value.decode("utf-8") if isinstance(value, bytes) else value
    if not isinstance(text, str) or len(text) > _CONFIGURATION:
        raise UnreadableError("an attribute that should be text is none, or too long")
    return text


def _check_objects(content: Any, size: int) -> None:
    """Refuse links and data sets that lie elsewhere, and declared sizes that are far too large."""
    import h5py

    groups, met, declared = [content], set(), 0
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise UnreadableError(
                    f"its {printable(name, 60)!r} is a link that may lead to another file"
                )
            inside = group.get(name)
            address = h5py.h5o.get_info(inside.id).addr
            if address in met:
                continue  # a second name of the same object, or of a group that holds it
            met.add(address)
            if len(met) > _OBJECTS:
                raise UnreadableError(f"it holds more than {_OBJECTS:,} objects")
            if isinstance(inside, h5py.Group):
                groups.append(inside)
            elif isinstance(inside, h5py.Dataset):
                if inside.external or inside.is_virtual:
                    raise UnreadableError(f"its {printable(name, 60)!r} lies in another file")
                declared += inside.nbytes
    check_unpacked(declared, size)
