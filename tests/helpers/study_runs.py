"""Running small studies, and finding their cells."""

from typing import NamedTuple

import pytest

from tfrobust.study.cells import trainings
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.cells.result_file import read_cell
from tfrobust.study.rebuild import run_study
from tfrobust.study.schema.figures import figures_of
from tfrobust.study.schema.files import read_study


class StudyFile(NamedTuple):
    """A small study: its name, and the text of its file."""

    name: str
    text: str

    def written(self, folder, text=None):
        """Write it into a folder, or another text under its name, and read it."""
        path = folder / f"{self.name}.toml"
        path.write_text(self.text if text is None else text)
        return read_study(path)

    def run(self, tmp_path_factory):
        """Run it once in a folder of its own; return the folder and the trainings in order."""
        folder = tmp_path_factory.mktemp(self.name)
        return folder, run_noted(self.written(folder), folder)


def run_noted(study, folder):
    """Run a study at its scale `tiny`; return each trained network's name and its data."""
    trained = []
    train = trainings.run_training

    def noted(plan, name, *args, **options):
        trained.append((name.partition("-")[0], plan.scenario))
        return train(plan, name, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainings, "run_training", noted)
        run_study(study, "tiny", folder / "out", folder / "results")
    return trained


def check_figures(study, results, also_found=()):
    """Check that what the cells measure is what their conditions declare, and all of it.

    Args:
        study: that was run at its scale `tiny`.
        results: the folder of results.
        also_found: what defences measure and no network declares as `found`.
    """
    for name, condition in study.conditions.items():
        cells = [cell for cell in cells_of(study, "tiny") if cell.condition_name == name]
        measured = {
            figure
            for cell in cells
            for figure in read_cell(cell, results).figures
            if figure.partition(".")[2] not in also_found
        }
        declared = figures_of(study, condition)
        assert measured <= declared
        # Every view and every value of a sweep declares a figure that only some may have: weights
        # where a view has streams, distances where an attack fooled.
        assert _bare_names(measured) == _bare_names(declared), name


def _bare_names(figures):
    """Return the names of figures without the view and the value of a sweep."""
    return {figure.partition(".")[2].partition("@")[0] for figure in figures}


def cell_of(study, network, condition):
    return next(
        cell
        for cell in cells_of(study, "tiny")
        if (cell.network_name, cell.condition_name) == (network, condition)
    )
