"""Cells of the bundled studies keep their keys, so that finished ones are not computed again."""

import hashlib
from pathlib import Path

from helpers.small_study import SMALL
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.schema.files import find_study, studies

PINNED = Path(__file__).with_name("cell_keys.txt")


def summary(study, scale):
    """Return a scale's number of cells and a hash of their sorted keys, on one line."""
    keys = sorted(cell.key for cell in cells_of(study, scale))
    digest = hashlib.sha256(" ".join(keys).encode()).hexdigest()[:16]
    return f"{study.name} {scale}: {len(keys)} cells, {digest}"


def test_every_cell_of_the_bundled_studies_has_the_key_it_had():
    bundled = [find_study(name)[0] for name in sorted(studies())]
    lines = [summary(study, scale) for study in bundled for scale in study.scales]
    assert lines == PINNED.read_text().splitlines(), (
        f"cells would be computed again; where a study was meant to change, edit {PINNED.name}"
    )


def test_networks_and_conditions_may_have_some_of_the_seeds(tmp_path):
    text = SMALL.text.replace("images = 30", "images = 30\nseeds = [0, 1, 2]\nSEEDS_OF", 1)

    def cells(seeds_of):
        study = SMALL.written(tmp_path, text.replace("SEEDS_OF", seeds_of))
        return {cell.name: cell.key for cell in cells_of(study, "tiny")}

    every = cells("")
    fewer = cells("seeds_of = { large = [0, 2], fgsm = [0, 1] }")
    assert every.items() >= fewer.items()  # a cell does not depend on which others there are
    assert every.keys() - fewer.keys() == {
        "small-fgsm-s2", "large-clean-s1", "large-fgsm-s1", "large-fgsm-s2",
    }  # fmt: skip
