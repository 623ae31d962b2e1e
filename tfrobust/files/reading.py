"""Reading files from anywhere: size, depth and kind are checked before anything is used.

Every helper refuses with `UnreadableError` and a cause in one line; the caller, who knows the file
and what to do, adds both.
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import IO, Any, TypeVar

import pydantic

from tfrobust.errors import one_line, printable

_MB = 10**6
LARGEST = 256 * _MB  # a results.json or a study's cell; cards and plans take some kB
DEEPEST = 100  # levels of JSON; an honest network of nested networks takes about thirty

Record = TypeVar("Record", bound=pydantic.BaseModel)


class UnreadableError(ValueError):
    """What a file holds cannot be used; the text is the cause."""


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file: no pipe is waited for, no device read.

    Raises:
        OSError: it is missing or forbidden.
        UnreadableError: it is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableError("expected a file; received: a folder, pipe or device")
    return open(descriptor, "rb")


def read_bytes(path: Path, limit: float = LARGEST) -> bytes:
    """Return the content of a regular file; see `open_regular`.

    Raises:
        OSError: it is missing or forbidden.
        UnreadableError: it is no regular file, or larger than `limit` bytes.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise UnreadableError(f"larger than {limit / _MB:,.0f} MB")
        return file.read()


def parse_json(text: bytes | str, *, deepest: int = DEEPEST) -> Any:
    """Return the value of a JSON text.

    Raises:
        UnreadableError: it is no JSON, or nested deeper than `deepest` levels.
    """
    too_deep = f"nested deeper than {deepest} levels"
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise UnreadableError(too_deep) from error
    except ValueError as error:  # UnicodeDecodeError is one, and so are numbers of 5,000 digits
        raise UnreadableError(one_line(error)) from error
    level = [value]
    for _ in range(deepest):
        if not level:
            return value
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise UnreadableError(too_deep)
    return value


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def read_json(path: Path, limit: float = LARGEST) -> Any:
    """Return the value of a JSON file; see `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path, limit))


def read_toml(path: Path, limit: float = LARGEST) -> dict[str, Any]:
    """Return what a TOML file says; see `read_bytes`.

    Raises:
        OSError: it is missing or forbidden.
        UnreadableError: it is no TOML, not UTF-8, or nested too deeply.
    """
    content = read_bytes(path, limit)
    try:
        return tomllib.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise UnreadableError("it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise UnreadableError(f"it is not UTF-8: {one_line(error)}; save it as UTF-8") from error
    except ValueError as error:  # TOMLDecodeError is one, and so are numbers of 5,000 digits
        raise UnreadableError(one_line(error)) from error


def read_record(kind: type[Record], path: Path) -> Record:
    """Return a file's record, checked field by field.

    Raises:
        OSError: it is missing or forbidden.
        UnreadableError: the first field that is wrong, what was expected and received.
    """
    return checked_record(kind, read_bytes(path))


def checked_record(kind: type[Record], text: bytes | str) -> Record:
    """Return a JSON text's record, checked field by field; see `read_record`."""
    try:
        return kind.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise UnreadableError(first_mistake(error)) from error


def first_mistake(error: pydantic.ValidationError) -> str:
    """Return the first mistake: where it is, what was expected and what was received."""
    first = error.errors(include_url=False)[0]
    where = printable(".".join(map(str, first["loc"])), 120)
    message = first["msg"].removeprefix("Value error, ")
    received = first["input"]
    plain = isinstance(received, str | int | float) and first["type"] != "json_invalid"
    shown = ""
    if plain and "received" not in message:
        shown = f"; received: {printable(repr(received), 60)}"
    return printable(f"{where}: {message}{shown}" if where else message, 300)
