"""Cells of the bundled studies keep their keys, so that finished ones are not computed again."""

import hashlib
from pathlib import Path

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
