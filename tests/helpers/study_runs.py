"""Running small studies, and finding their cells."""

import pytest

from tfrobust.study.cells import run as engine
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.cells.run import run_study
from tfrobust.study.schema.files import read_study


def written_study(folder, name, text):
    path = folder / f"{name}.toml"
    path.write_text(text)
    return read_study(path)


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
