"""Classifiers inside a classifier, each of which can be judged and attacked by itself.

`NAME:MEMBER` means a member of the classifier `NAME`: `fused:foreground`, a stream of a fusion.
"""

from __future__ import annotations

import re
from pathlib import Path

from tfrobust.classifier import Classifier
from tfrobust.errors import UsageError, did_you_mean


def split_member(called: str) -> tuple[str, str | None]:
    """Return the classifier and the member that a name means; no member where it names none.

    Example:
        >>> split_member("fused:foreground"), split_member("saved_models/fused/1")
        (('fused', 'foreground'), ('saved_models/fused/1', None))
    """
    found = re.fullmatch(r"(.+):([A-Za-z_]\w*)", called)
    if found is None or Path(called).exists():
        return called, None
    return found[1], found[2]


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
