"""What the pages of studies share: their templates, and how a page is written."""

from __future__ import annotations

from pathlib import Path

import jinja2

_STUDY = Path(__file__).parents[1]
IN_PAPER = {
    True: "the paper's own figures bear it out, by the same checks",
    False: "the paper's own figures do not bear it out, by the same checks",
    None: "",
}


def written(text: str, path: Path) -> None:
    """Write a text to a file."""
    path.write_text(text, encoding="utf-8")


def page_templates(*, escaped: bool) -> jinja2.Environment:
    """Return the templates of studies' pages: as HTML (`escaped`) or as Markdown."""
    return jinja2.Environment(
        # By folder: to ask the package `report` would import it, and TensorFlow.
        loader=jinja2.FileSystemLoader([_STUDY, _STUDY.parent / "report"]),
        autoescape=escaped,  # noqa: S701 (Markdown is not HTML)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
