"""Read `Example:` in docstrings as the section `Examples:`, so that its code is shown as code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_TITLE = re.compile(r"^([ \t]*)Example:[ \t]*$", re.MULTILINE)


class Examples(griffe.Extension):
    """Rename the section in every docstring that is loaded."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename it in one docstring."""
        if obj.docstring:
            obj.docstring.value = _TITLE.sub(r"\1Examples:", obj.docstring.value)
