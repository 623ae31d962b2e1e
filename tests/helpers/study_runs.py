"""Running small studies, and finding their cells."""

from typing import NamedTuple

import pytest

from tfrobust.study.cells import run as engine
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.cells.run import run_study
from tfrobust.study.schema.files import read_study


class StudyFile(NamedTuple):
    """A small study: its name, and what its file says."""

    name: str
    text: str

    def written(self, folder, text=None):
        """Write it into a folder, or another text under its name, and read it."""
        path = folder / f"{self.name}.toml"
        path.write_text(self.text if text is None else text)
        return read_study(path)

    def run(self, tmp_path_factory):
        """Run it once in a folder of its own; return that, and what was trained, in its order."""
        folder = tmp_path_factory.mktemp(self.name)
        return folder, run_noted(self.written(folder), folder)


def run_noted(study, folder):
    """Run a study at its scale `tiny`; return each trained network's name and its data."""
    trained = []
    train = engine.train_and_store

    def noted(model, scenario, name, *args, **options):
        trained.append((name.partition("-")[0], scenario))
        return train(model, scenario, name, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "train_and_store", noted)
        run_study(study, "tiny", folder / "out", folder / "results")
    return trained


def cell_of(study, network, condition):
    return next(
        cell
        for cell in cells_of(study, "tiny")
        if (cell.network_name, cell.condition_name) == (network, condition)
    )
