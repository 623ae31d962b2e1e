"""The lines that a study's report opens with; figures in them are looked up in the cells.

A figure stands in braces: `{bnn: fgsm multi.accuracy}` is one network under one condition,
`{bnn, full: fgsm multi.accuracy}` the least to the greatest of several networks, `{*: …}` of all.
`{fused: blur joint.accuracy@10 less blur foreground.accuracy@10}` is a difference.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pydantic

from tfrobust.study.schema.declared import Declared
from tfrobust.study.schema.measured import Measured

ALL = "*"  # stands for all networks
_BRACES = re.compile(r"\{([^{}]*)\}")
_INSIDE = re.compile(
    r"(?P<networks>[^:]+):\s*(?P<condition>\S+)\s+(?P<figure>\S+)"
    r"(?:\s+less\s+(?P<other_condition>\S+)\s+(?P<other>\S+))?"
)


@dataclasses.dataclass(frozen=True)
class Placeholder:
    """A figure in a text.

    Attributes:
        networks: whose; `ALL` alone: every network's.
        measured: which.
    """

    networks: tuple[str, ...]
    measured: Measured

    @classmethod
    def parse(cls, inside: str) -> Placeholder:
        """Return what a pair of braces holds.

        Raises:
            ValueError: it has another form.

        Example:
            >>> Placeholder.parse("bnn: fgsm multi.accuracy").networks
            ('bnn',)
        """
        found = _INSIDE.fullmatch(inside.strip())
        if found is None:
            raise ValueError(
                f"expected {{NETWORK: CONDITION VIEW.FIGURE}}, with several networks "
                f"{{NETWORK, NETWORK: …}}; received: {{{inside}}}"
            )
        less = None
        if found["other"]:
            less = Measured(condition=found["other_condition"], figure=found["other"])
        networks = tuple(name.strip() for name in found["networks"].split(","))
        measured = Measured(condition=found["condition"], figure=found["figure"], less=less)
        return cls(networks, measured)


class Summary(Declared):
    """Five lines for a person in a hurry; their figures are placeholders.

    Attributes:
        paper: what the paper says.
        found: what was found here.
        why: why the two differ.
        survives: what survives an attacker who knows the defence.
        trust: how far to trust it; none: written from the scale.
    """

    paper: str
    found: str
    why: str
    survives: str
    trust: str = ""

    @pydantic.field_validator("*")
    @classmethod
    def _has_readable_placeholders(cls, text: str) -> str:
        if _BRACES.sub("", text).count("{") or _BRACES.sub("", text).count("}"):
            raise ValueError("a brace has no partner; figures stand in {NETWORK: CONDITION FIGURE}")
        for _ in placeholders(text):
            pass
        return text

    @property
    def texts(self) -> dict[str, str]:
        """Line → its text, without an empty `trust`."""
        return {name: text for name, text in self.model_dump().items() if text}


def placeholders(text: str) -> Iterator[Placeholder]:
    """Yield every figure that a text asks for.

    Raises:
        ValueError: one has another form than the module describes.
    """
    for inside in _BRACES.findall(text):
        yield Placeholder.parse(inside)


def filled(text: str, figures: Iterator[str]) -> str:
    """Return a text with its placeholders replaced, in their order."""
    return _BRACES.sub(lambda _: next(figures), " ".join(text.split()))
