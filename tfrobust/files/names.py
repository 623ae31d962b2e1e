"""Names that become files and folders: one grammar, checked in one place.

A name is a letter, digit or `_`, then letters, digits, `_`, `-` and `.`; at most 100 characters. So
no name leaves its folder, hides in it, or writes to a terminal.
"""

from __future__ import annotations

import re
from typing import Annotated

import pydantic

from tfrobust.errors import UsageError, printable

LONGEST = 100  # characters; file systems allow 255 bytes, and cells join two names and a seed
_NAME = re.compile(r"\w[\w.-]*")
_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")  # other digits, such as ², are no versions
EXPECTED = f"letters, digits, '_', '-' and '.', at most {LONGEST} characters"


def is_name(text: str) -> bool:
    """Tell whether a text can name a file or a folder.

    Example:
        >>> is_name("lenet-2.1"), is_name("../lenet"), is_name(".hidden"), is_name("a" * 101)
        (True, False, False, False)
    """
    return len(text) <= LONGEST and _NAME.fullmatch(text) is not None


def check_name(text: str, what: str = "name") -> str:
    """Return a name that is one.

    Args:
        text: to be checked.
        what: it names, for the message.

    Raises:
        UsageError: it is none.
    """
    if not is_name(text):
        raise UsageError(
            f"{what}: expected a plain folder name of {EXPECTED}; received: {printable(text, 80)!r}"
        )
    return text


def version_number(text: str) -> int | None:
    """Return the version that a folder's name means; `None` if it means none.

    Example:
        >>> version_number("12"), version_number("012"), version_number("²")
        (12, None, None)
    """
    return int(text) if _VERSION.fullmatch(text) else None


def _plain(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"expected a name of {EXPECTED}; received: {printable(text, 80)!r}")
    return text


Name = Annotated[str, pydantic.AfterValidator(_plain)]  # for what is read from files
