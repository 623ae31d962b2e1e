"""Classifiers inside a classifier, each of which can be judged and attacked by itself.

`NAME:MEMBER` means a member of the classifier `NAME`: `fused:foreground`, a stream of a fusion.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tfrobust.classifier import Classifier
from tfrobust.classifiers.remote.address import is_address
from tfrobust.errors import UsageError, did_you_mean
from tfrobust.files.names import version_number


def split_member(called: str) -> tuple[str, str | None]:
    """Return the classifier and the member that a name means; no member where it names none.

    Example:
        >>> split_member("fused:foreground"), split_member("saved_models/fused/1")
        (('fused', 'foreground'), ('saved_models/fused/1', None))
    """
    if is_address(called):
        return called, None
    parts = re.fullmatch(r"(.+):([A-Za-z_]\w*)", called)
    if parts is None or Path(called).exists():
        return called, None
    return parts[1], parts[2]


def member_of(classifier: Classifier, member: str, called: str) -> Classifier:
    """Return a member of a classifier.

    Args:
        classifier: which has members.
        member: the name of one.
        called: the classifier's own name, for messages.

    Raises:
        UsageError: it has none of this name.
    """
    members = classifier.members
    if member in members:
        return members[member]
    if not members:
        raise UsageError(f"{called}: has no members, and so no {member!r}; name it alone")
    raise UsageError(
        f"{called}: has no member {member!r}{did_you_mean(member, members)} "
        f"(there are: {', '.join(members)})"
    )


def shown_names(classifiers: Sequence[str]) -> list[str]:
    """Return the names that results show for classifiers, in their order, no two alike.

    A name is what its path ends in, with as many folders before it as tell it from the others.

    Raises:
        UsageError: the same one is given twice.

    Example:
        >>> shown_names(["a/best.keras", "b/best.keras", "saved_models/d1/2"])
        ['a/best.keras', 'b/best.keras', 'd1/2']
    """
    split = [split_member(classifier) for classifier in classifiers]
    paths = [Path(called).parts for called, _ in split]
    lengths = [1 if version_number(parts[-1]) is None else 2 for parts in paths]

    def names() -> list[str]:
        ends = ["/".join(p[-n:]) for p, n in zip(paths, lengths, strict=True)]
        return [
            e + (f":{member}" if member else "") for e, (_, member) in zip(ends, split, strict=True)
        ]

    while alike := [k for k, name in enumerate(names()) if names().count(name) > 1]:
        longer = [k for k in alike if lengths[k] < len(paths[k])]
        if not longer:
            twice = classifiers[alike[-1]]
            raise UsageError(
                f"classifier {twice!r}: another one is called {names()[alike[-1]]!r} already; "
                "give each one once"
            )
        for k in longer:
            lengths[k] += 1
    return names()
