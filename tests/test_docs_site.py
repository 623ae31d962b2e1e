"""The pages of docs/ and their links."""

import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest
import typer

import tfrobust
from tfrobust.registry import entries

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def stage():
    spec = importlib.util.spec_from_file_location("stage", ROOT / "docs" / "site" / "stage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(root, text):
    (root / "docs" / "site").mkdir(parents=True)
    (root / "docs" / "site" / "extra.css").touch()
    (root / "docs" / "page.md").write_text(text, encoding="utf-8")
    return root


def test_the_overview_shows_every_command():
    from tfrobust_cli.main import app

    shown = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    commands = {command.name for command in typer.main.get_command(app).commands.values()}
    missing = {name for name in commands if f"tfrobust {name}" not in shown}
    assert "plan" in commands
    assert missing <= {"data", "demo", "report", "streams"}, "shown by other pages"


def test_every_link_of_the_docs_leads_somewhere_and_every_page_is_in_the_navigation(
    stage, tmp_path
):
    site = stage.stage(ROOT, tmp_path / "site", diagram=lambda code: "")
    pages = {path.as_posix() for path in site.staged if path.parts[0] != stage.REPOSITORY}
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("nav:")[1]
    assert {name for name in pages if name.endswith(".md")} == set(
        re.findall(r"[\w/]+\.md", navigation)
    )


def test_the_readme_links_to_files_that_exist(stage):
    for address in re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert "://" in address or (ROOT / address).exists(), address


def test_every_function_on_the_ways_through_the_house_exists():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    ways = page.partition("## An image travels")[2].partition("## How to add")[0]
    sources = [
        path.read_text(encoding="utf-8")
        for root in ("tfrobust", "cli", "plugins")
        for path in (ROOT / root).rglob("*.py")
    ]
    defined = set(re.findall(r"(?:def|class) (\w+)", "\n".join(sources)))
    modules = {
        path.stem for root in ("tfrobust", "cli") for path in (ROOT / root).rglob("*") if path.stem
    }
    called = re.findall(r"`([A-Za-z_][\w.]+)(?:\([^`]*\))?`", ways)
    named = {name for dotted in called for name in dotted.split(".")}
    assert named - defined - modules == {"json", "npz", "parquet", "html", "tf", "while_loop"}


def test_the_architecture_names_every_room_and_every_module_beside_them():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = page.partition("## The rooms")[2].partition("\n\n`engine`")[0]
    for path in (ROOT / "tfrobust").iterdir():
        if path.is_dir() and path.name not in {"__pycache__", "former_names"}:
            assert f"`{path.name}/`" in rooms, path.name
        elif path.suffix == ".py" and path.stem != "__init__":
            assert f"`{path.stem}`" in rooms, path.stem


def test_every_name_that_moved_is_where_the_page_on_plugins_says():
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*) \| (.*) \|$", page.partition("## Moved names")[2], re.M)[1:]
    moved = [name for _, now in rows for name in re.findall(r"`(tfrobust\.[\w.]+)`", now)]
    assert moved
    for name in moved:
        pkgutil.resolve_name(name)


def test_code_inside_a_list_is_indented_as_the_site_needs_it():
    for path in sorted(ROOT.glob("docs/*.md")):
        assert not re.search(r"^ {1,3}```", path.read_text(encoding="utf-8"), re.M), path


def test_the_reference_lists_every_name_of_the_package():
    text = (ROOT / "docs" / "reference" / "tfrobust.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\[tfrobust\.(\w+)\]", text)) == sorted(tfrobust.__all__)


def test_a_link_out_of_docs_leads_to_a_page_of_the_site(stage, tmp_path):
    root = page(tmp_path, "[report](../report.md#costs) [source](../code.py) [all](../folder)")
    (root / "report.md").write_text("![picture](a.svg)", encoding="utf-8")
    (root / "a.svg").write_text("<svg/>", encoding="utf-8")
    (root / "code.py").write_text("x = 1\n", encoding="utf-8")
    (root / "folder").mkdir()
    (root / "folder" / "one.py").write_text('"""One thing."""\n', encoding="utf-8")
    stage.stage(root, tmp_path / "site")
    text = (tmp_path / "site" / "page.md").read_text(encoding="utf-8")
    assert text == (
        "[report](repository/report.md#costs) [source](repository/code_py.md) "
        "[all](repository/folder/files.md)"
    )
    repository = tmp_path / "site" / "repository"
    assert (repository / "a.svg").exists()
    assert "````python\nx = 1\n````" in (repository / "code_py.md").read_text(encoding="utf-8")
    listing = (repository / "folder" / "files.md").read_text(encoding="utf-8")
    assert "- [one.py](one_py.md): One thing." in listing


@pytest.mark.parametrize("address", ["gone.md", "../gone.py", "../../outside.md"])
def test_a_link_to_no_file_is_refused(stage, tmp_path, address):
    (tmp_path / "outside.md").touch()
    root = page(tmp_path / "root", f"[text]({address})")
    with pytest.raises(stage.BrokenLinkError, match=r"docs/page\.md links to .*: no such file"):
        stage.stage(root, tmp_path / "site")


def test_diagrams_are_drawn_and_other_code_stays_as_it_is(stage, tmp_path):
    code = "```\n[link](nowhere.md)\n```\n"
    root = page(tmp_path, f"{code}```mermaid\na --> b\n```\n")
    stage.stage(root, tmp_path / "site", diagram=lambda code: f"<svg>{code}</svg>")
    text = (tmp_path / "site" / "page.md").read_text(encoding="utf-8")
    assert text == f"{code}<svg>a --> b\n</svg>\n"


def test_the_first_page_names_every_plugin_but_the_single_shifts():
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    short = {f"cleverhans{name}" for name in re.findall(r"`(_\w+)`", page)}
    named = set(re.findall(r"`(\w+)`", page)) | short
    own = [e for e in entries() if e.distribution == "tfrobust" and e.kind != "shifts"]
    assert {e.name for e in own} - named == set()
