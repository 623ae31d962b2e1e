"""Errors that a user can correct, each with a message of one line.

Every error raised on purpose is a `RobustError`. The command line prints its text and exits with
`exit_code`; any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class RobustError(Exception):
    """A mistake that a user can correct; `str(error)` is one line that says how."""

    exit_code = 1


class UsageError(RobustError):
    """The call itself is wrong: an unknown name, an option out of range."""

    exit_code = 2


class PluginError(RobustError):
    """A plugin cannot be used: it does not import, or breaks its contract."""


class UnavailableError(PluginError):
    """A plugin needs a package that is not installed, and that an extra would install.

    Attributes:
        command: what installs it.
    """

    def __init__(self, lacking: str, command: str) -> None:
        super().__init__(f"{lacking}; {command}")
        self.command = command


class ClassifierError(RobustError):
    """A model cannot serve as a classifier, or does not fit the scenario."""


class DataError(RobustError):
    """Images or labels are missing, unreadable or out of range."""


class StoreError(RobustError):
    """A file or folder cannot be read or written."""


class WorkerError(RobustError):
    """Workers cannot be reached, do not fit, or die again and again."""


class ContradictionError(RobustError):
    """What is proven and what was found exclude each other: one of the two is wrong."""


class EndpointError(ClassifierError):
    """An endpoint does not answer, answers what it should not, or may not be asked."""


class BudgetSpentError(RobustError):
    """A question could not be asked, because the budget of queries is spent."""


class MaskedError(RobustError):
    """A figure of robust accuracy is masked, and the caller asked to be strict."""

    exit_code = 3


class IncompleteError(RobustError):
    """What was written lacks something that could not be computed; the same command goes on."""

    exit_code = 4


class GateError(RobustError):
    """A run does not hold what was asked of it."""

    exit_code = 5


def one_line(cause: BaseException | str, limit: int = 300) -> str:
    """Return the first informative line of `cause`, at most `limit` characters.

    Third-party exceptions may be pages long; our error messages quote one line of them.
    """
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return printable(lines[0] if lines else type(cause).__name__, limit)


def system_cause(error: BaseException) -> str:
    """Return in one line why a file could not be used: the system's words where there are any."""
    words = error.strerror if isinstance(error, OSError) else None
    return words or one_line(error)


# Control characters, halves of characters, and what turns the direction of writing.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, limit: int = 2000) -> str:
    r"""Return a text as a terminal shows it: on one line, at most `limit` characters.

    Names of files and classes come from outside: a line feed, an escape sequence or a byte that is
    no UTF-8 in them must neither break a line, nor steer a terminal, nor fail to be written. Such
    characters are spelled out.

    Example:
        >>> print(printable("cat\n\x1b[31m"))
        cat\n\x1b[31m
    """
    shown = CONTROLS.sub(lambda match: _spelled(match[0]), text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _spelled(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'pgd'?"` for the nearest of `known`, or the empty string.

    A word that begins another is nearer than one that is spelt like it.
    """
    known = list(known)
    longer = [name for name in known if word and name.startswith(f"{word}_")]
    nearest = longer[:1] or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
