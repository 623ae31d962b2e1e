"""Figures of Matplotlib in the colours of the page that they stand in, dark or light.

Matplotlib writes colours as numbers. Inside of a page they become the page's own variables, which
its style sheet gives by the scheme; a file that stands alone keeps the numbers, on white.
"""

from __future__ import annotations

import re

from tfrobust.report.charts.colours import COLOURS, SHADE, shaded

_PAPER, _INK = "#ffffff", "#000000"
_DECLARED = re.compile(r"(fill|stroke): (#[0-9a-f]{6})(?![0-9a-f])")


def themed(svg: str) -> str:
    """Return a figure of `as_svg` for the inside of a page.

    Its background is the page's, its text and axes have the colour of the text around it, and its
    lines the colours `--c0` to `--c5` of the style sheet.

    Args:
        svg: an element that Matplotlib has written.

    Example:
        >>> themed('<path style="fill: #0072b2; stroke: #000000"/>')
        '<path style="fill: var(--c0); stroke: currentColor"/>'
    """
    inherited = svg.replace("<svg ", '<svg fill="currentColor" ', 1)  # text declares no colour
    return _DECLARED.sub(lambda match: f"{match[1]}: {_OF_PAGE.get(match[2], match[2])}", inherited)


def _of_page() -> dict[str, str]:
    """Return colour → that of the page."""
    colours = {_PAPER: "none", _INK: "currentColor"}
    for number, colour in enumerate(COLOURS):
        colours[colour.lower()] = f"var(--c{number})"
        mixed = f"color-mix(in srgb, var(--c{number}) {100 * SHADE:.0f}%, var(--ink))"
        colours[shaded(colour)] = mixed
    return colours


_OF_PAGE = _of_page()
