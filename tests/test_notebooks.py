"""The notebooks of docs/ run from their first cell to their last."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from helpers.support import REPO

FOLDER = REPO / "docs" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def run(name, folder):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    folder = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=folder).execute()
    return notebook


def texts(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(o.get("text") or o.data.get("text/plain", "") for o in outputs)


def test_the_first_notebook_shows_accuracies_curves_and_images(tmp_path):
    notebook = run("first-steps", tmp_path)
    assert "Results of plain on 397 images" in texts(notebook)
    shown = [set(o.get("data", {})) for cell in notebook.cells for o in cell.get("outputs", [])]
    assert sum("image/png" in kinds for kinds in shown) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("defend-and-serve", "README.md"),
        ("is-it-masked", "gradients do not tell how answers change"),
        ("write-a-plugin", "kept    takes_all_pixels_for_a_region_too"),
    ],
)
def test_every_other_notebook_comes_to_what_it_says(name, said, tmp_path):
    assert said in texts(run(name, tmp_path))
    assert name in NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_committed_as_it_ran_without_a_machine_in_it(name):
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert "/home/" not in text
    assert str(Path.home()) not in text
