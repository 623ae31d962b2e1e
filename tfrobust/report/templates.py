"""The templates of all HTML pages, read in one way: what comes from outside is escaped."""

from __future__ import annotations

import jinja2


def html_templates(*packages: str) -> jinja2.Environment:
    """Return the templates of some packages, and those of `report` that they include.

    Args:
        packages: looked in before `tfrobust.report`.

    Example:
        >>> html_templates().get_template("page.html.j2").name
        'page.html.j2'
    """
    places = [jinja2.PackageLoader(package, ".") for package in (*packages, "tfrobust.report")]
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(places),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
