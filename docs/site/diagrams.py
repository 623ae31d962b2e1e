"""Draw Mermaid code as an SVG image inside a page, in the colours of the page, light or dark."""

from __future__ import annotations

import re
from itertools import count

import mermaidx

# What Mermaid's neutral colours become: variables of the site's theme.
_COLOURS = {
    "#ECECFF": "var(--md-code-bg-color)",
    "#9370DB": "var(--md-accent-fg-color)",
    "#333333": "var(--md-default-fg-color--light)",
    "#333": "var(--md-default-fg-color)",
    "#ffffde": "transparent",
    "#aaaa33": "var(--md-default-fg-color--lighter)",
}
# Lines of a label are broken where the code says so, and nowhere else.
_SETTINGS = '%%{init: {"flowchart": {"wrappingWidth": 500, "rankSpacing": 35}}}%%\n'
_NUMBER = count(1)


def drawn(code: str) -> str:
    r"""Return the HTML of a diagram.

    Args:
        code: Mermaid code.

    Example:
        >>> drawn("flowchart LR\n  a --> b").startswith('<div class="diagram">')
        True
    """
    svg = mermaidx.render(_SETTINGS + code).svg()
    for colour, variable in _COLOURS.items():
        svg = re.sub(f"{colour}(?![0-9a-fA-F])", variable, svg, flags=re.IGNORECASE)
    svg = svg.replace("my-svg", f"diagram-{next(_NUMBER)}")
    return f'<div class="diagram">{svg}</div>'
