"""Lay out the pages of the site: docs/ and what it links to in the repository → build/docs.

On the repository's web view, pages in docs/ link to files outside of it (`../studies/…`) and show
Mermaid code as diagrams. A site supports neither without help: a link that leaves its folder is
broken, and Mermaid is loaded from a server. So the site is built from a copy in which

- a linked Markdown file is a page, together with its pictures and the files that it links to,
- a linked source file or folder is a page that shows the source,
- a diagram is an SVG image inside the page.

A link to a file that does not exist ends the build.

    python docs/site/stage.py        # writes build/docs; `make docs` then builds build/site
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAGE = ROOT / "build" / "docs"
REPOSITORY = "repository"  # the folder of the site for files from outside docs/

LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
FENCE = re.compile(r"^(```+)(\w*)[^\n]*\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".toml": "toml", ".md": "markdown"}


class BrokenLinkError(Exception):
    """A page links to a file that is not in the repository."""


class Site:
    """The staged pages, each written once."""

    def __init__(self, root: Path, stage: Path, diagram: Callable[[str], str]) -> None:
        """Stage into an empty folder.

        Args:
            root: the repository.
            stage: the folder to fill; what it held is removed.
            diagram: Mermaid code → HTML.
        """
        self.root, self.stage, self.diagram = root, stage, diagram
        self.staged: set[Path] = set()
        shutil.rmtree(stage, ignore_errors=True)

    def add(self, source: Path) -> Path:
        """Stage a file or folder; return the staged file, relative to the site."""
        target = self.place(source)
        if target in self.staged:
            return target
        self.staged.add(target)
        path = self.stage / target
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            path.write_text(self._listing(source), encoding="utf-8")
        elif source.suffix == ".md":
            path.write_text(self._page(source, target), encoding="utf-8")
        elif target.suffix == ".md":
            path.write_text(_source_page(source, self.root), encoding="utf-8")
        else:
            shutil.copyfile(source, path)
        return target

    def place(self, source: Path) -> Path:
        """Return where a file of the repository lies in the site."""
        path = source.relative_to(self.root)
        if path.parts[0] == "docs":
            return Path(*path.parts[1:])
        if source.is_dir():
            return REPOSITORY / path / "files.md"
        if source.suffix in LANGUAGES and source.suffix != ".md":
            return REPOSITORY / path.with_name(path.name.replace(".", "_") + ".md")
        return REPOSITORY / path

    def _page(self, source: Path, target: Path) -> str:
        text = source.read_text(encoding="utf-8")
        pieces, end = [], 0
        for fence in FENCE.finditer(text):
            pieces.append(self._linked(text[end : fence.start()], source, target))
            is_diagram = fence[2] == "mermaid"
            pieces.append(self.diagram(fence[3]) if is_diagram else fence[0])
            end = fence.end()
        pieces.append(self._linked(text[end:], source, target))
        return "".join(pieces)

    def _linked(self, text: str, source: Path, target: Path) -> str:
        def staged(match: re.Match[str]) -> str:
            address = match[2]
            if "://" in address or address.startswith("mailto:"):
                return match[0]
            linked = (source.parent / address).resolve()
            if not linked.is_relative_to(self.root) or not linked.exists():
                raise BrokenLinkError(
                    f"{source.relative_to(self.root)} links to {address}: no such file"
                )
            path = os.path.relpath(self.add(linked), target.parent)
            return f"{match[1]}{path}{match[3] or ''}{match[4]}"

        return LINK.sub(staged, text)

    def _listing(self, folder: Path) -> str:
        title = folder.relative_to(self.root)
        lines = [f"# {title}", ""]
        for path in _sources(folder):
            page = os.path.relpath(self.add(path), self.place(folder).parent)
            lines.append(f"- [{path.relative_to(folder)}]({page}){_summary(path)}")
        return "\n".join([*lines, ""])


def _sources(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__pycache__")) for part in path.parts)
        if path.suffix in LANGUAGES and not hidden and path.name != "__init__.py":
            yield path


def _summary(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return ": " + first.strip('"') if first.startswith('"""') else ""


def _source_page(source: Path, root: Path) -> str:
    text = source.read_text(encoding="utf-8").rstrip("\n")
    language = LANGUAGES[source.suffix]
    title = source.relative_to(root)
    return f"---\nsearch:\n  exclude: true\n---\n# {title}\n\n````{language}\n{text}\n````\n"


def _drawn(code: str) -> str:
    from diagrams import drawn  # the only thing here that needs more than Python

    return drawn(code)


def stage(
    root: Path = ROOT, target: Path = STAGE, diagram: Callable[[str], str] | None = None
) -> Site:
    """Stage every page of docs/, and what they link to.

    Args:
        root: the repository.
        target: the folder to fill.
        diagram: Mermaid code → HTML; by default drawn by `diagrams.drawn`.

    Raises:
        BrokenLinkError: a page links to a file that is not there.
    """
    site = Site(root, target, diagram or _drawn)
    docs = root / "docs"
    for page in sorted([*docs.glob("*.md"), *docs.glob("reference/*.md")]):
        site.add(page)
    shutil.copyfile(docs / "site" / "extra.css", target / "extra.css")
    return site


if __name__ == "__main__":
    try:
        stage()
    except BrokenLinkError as error:
        sys.exit(str(error))
