"""The classes of Tiny ImageNet that a user names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfrobust.errors import UsageError, did_you_mean, one_line


def listed_classes(option: str, classes: str | Sequence[str], least: int = 1) -> list[str]:
    """Return the classes one by one, from a list, a file or a text with commas."""
    if not isinstance(classes, str):
        listed = list(classes)
    else:
        listed = _lines(classes) or classes.split(",")
    names = [name.strip() for name in listed if name.strip()]
    if len(set(names)) < least or len(set(names)) < len(names):
        count = "two" if least > 1 else "one"
        raise UsageError(
            f"tiny_imagenet: {option}: expected {count} or more, each once; received: {classes!r}"
        )
    return names


def _lines(file: str) -> list[str]:
    """Return the lines of a file; none where a text is a list of classes or one class."""
    try:
        if "," in file or not Path(file).is_file():
            return []
        return Path(file).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:  # a name that no file can have, a file that is no text
        raise UsageError(
            f"tiny_imagenet: {file!r}: neither classes nor a file of them ({one_line(error)})"
        ) from error


def wnid_of(called: str, words: dict[str, list[str]]) -> str:
    """Return the WordNet id of a class."""
    if called in words:
        return called
    having = [w for w, names in words.items() if called.lower() in map(str.lower, names)]
    if len(having) == 1:
        return having[0]
    if having:
        raise UsageError(
            f"tiny_imagenet: classes: {called!r} is the name of {', '.join(having)}; take an id"
        )
    every = [*words, *(name for names in words.values() for name in names)]
    raise UsageError(f"tiny_imagenet: no class {called!r}{did_you_mean(called, every)}")
