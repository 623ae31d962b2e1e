"""The templates of all HTML pages, read in one way: what comes from outside is escaped."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from pathlib import Path

import jinja2

from tfrobust.report.charts.themed import themed


@dataclasses.dataclass(frozen=True)
class Script:
    """The script of a page, and what its Content-Security-Policy lets run: this text alone.

    Attributes:
        text: of the script.
        digest: `sha256-…`.
    """

    text: str
    digest: str


def script(*files: Path) -> Script:
    """Return files as one script."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(text, f"sha256-{digest}")


PAGE_SCRIPT = Path(__file__).with_name("page.js")  # of every page with tables and charts


def html_templates(*packages: str) -> jinja2.Environment:
    """Return the templates of some packages, and those of `report` that they include.

    Args:
        packages: looked in before `tfrobust.report`.

    Example:
        >>> html_templates().get_template("page.html.j2").name
        'page.html.j2'
    """
    places = [jinja2.PackageLoader(package, ".") for package in (*packages, "tfrobust.report")]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(places),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["themed"] = themed
    environment.globals["script"] = script(PAGE_SCRIPT)  # of a page that gives none of its own
    return environment
