"""Cells record what made them: outcomes, code, machine; and stale ones are computed again."""

import json
from pathlib import Path

import numpy as np
import pytest

import tfrobust
from helpers.small_study import SMALL, finished_by_hand
from helpers.study_runs import cell_of
from tfrobust.environment.checkout import checkout
from tfrobust.environment.machine import machine_kind
from tfrobust.errors import UsageError
from tfrobust.study.cells import revision, stamps
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.cells.outcomes import packed, unpacked
from tfrobust.study.cells.result_file import read_cell, write_cell
from tfrobust.study.cells.revision import current_revision, training_revision
from tfrobust.study.rebuild import run_study
from tfrobust.study.results.freshness import codes_of
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.measures import estimated
from tfrobust.study.results.remaining import costs, stale_cells
from tfrobust.study.schema.measured import Measured


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder in which one network of the small study was run."""
    folder = tmp_path_factory.mktemp("small")
    study = SMALL.written(folder)
    only = ["small-clean-s0", "small-fgsm-s0"]
    run_study(study, "tiny", folder / "out", folder / "results", only=only)
    return folder


def test_a_cell_records_its_code_machine_and_the_outcomes_that_claims_compare(ran, study):
    cell = cell_of(study, "small", "fgsm")
    result = read_cell(cell, ran / "results")
    assert result.revision == current_revision(cell)
    assert (result.images, result.threads >= 1) == (30, True)
    assert result.machine == machine_kind()
    assert (result.commit, result.dirty) == tuple(checkout().values())
    assert set(result.outcomes) == {"averaged.accuracy", "plain.accuracy"}
    for figure in result.outcomes:
        assert unpacked(result, figure).mean() == pytest.approx(result.figures[figure])
    gain = Measured(
        condition="fgsm",
        figure="averaged.accuracy",
        less=Measured(condition="fgsm", figure="plain.accuracy"),
    )
    estimate = estimated(Lookup(cells_of(study, "tiny"), ran / "results"), "small", gain, 0)
    assert all(part.outcomes is not None for part in estimate.parts)


def test_packed_outcomes_come_back_and_damaged_ones_count_as_none(ran, study):
    cell = cell_of(study, "small", "fgsm")
    result = read_cell(cell, ran / "results")
    flags = np.random.default_rng(0).random(30) < 0.5
    changed = result.model_copy(update={"outcomes": {"a": packed(flags), "b": "AAAA", "c": ""}})
    assert (unpacked(changed, "a") == flags).all()
    assert [unpacked(changed, name) for name in ("b", "c", "d")] == [None] * 3
    assert unpacked(changed.model_copy(update={"images": 2**50}), "a") is None


def test_cells_of_earlier_versions_are_read_and_their_code_is_unknown(study, tmp_path):
    figures = {("small", "clean"): {"plain.clean": 0.5}}
    lookup = finished_by_hand(study, "tiny", tmp_path, figures)
    content = json.loads(cell_of(study, "small", "clean").file(tmp_path).read_text())
    assert not {"revision", "commit", "machine"} & set(content)
    assert codes_of(lookup).unknown == ("small-clean-s0",)
    cost, _ = costs(study, tmp_path)
    assert (cost.finished, cost.stale, cost.unknown) == (1, 0, 1)


def test_a_cell_of_other_code_is_named_stale_and_is_used(ran, study, tmp_path):
    cell = cell_of(study, "small", "clean")
    result = read_cell(cell, ran / "results")
    write_cell(result.model_copy(update={"revision": "0" * 16}), cell.file(tmp_path))
    assert stale_cells(study, tmp_path) == {"tiny": ["small-clean-s0"]}
    assert Lookup([cell], tmp_path).values(
        "small", Measured(condition="clean", figure="plain.clean")
    )


def test_a_revision_follows_the_code_of_its_plugins_and_no_layout(study, tmp_path, monkeypatch):
    cell = cell_of(study, "small", "fgsm")
    names = {path.name for path in revision._files_of("attacks", "autoattack")}
    assert {"autoattack.py", "auto_pgd.py", "square.py"} <= names
    source = tmp_path / "plugin.py"
    digests = []
    for text in (
        "x = 1\n",
        '"""What it is."""\n\nx = 1  # why\n',
        "def f():\n    return 1\n",
        'def f():\n    """Say."""\n    return (1)\n',
        "x = 2\n",
    ):
        source.write_text(text)
        revision._parsed.cache_clear()
        revision._digest.cache_clear()
        digests.append(revision._digest(source))
    assert digests[0] == digests[1] != digests[4]
    assert digests[2] == digests[3]
    before, clean = current_revision(cell), current_revision(cell_of(study, "small", "clean"))
    fgsm = revision._files_of("attacks", "fgsm")
    digest = revision._digest
    monkeypatch.setattr(revision, "_digest", lambda path: "other" if path in fgsm else digest(path))
    revision._revision.cache_clear()
    assert current_revision(cell) != before
    assert current_revision(cell_of(study, "small", "clean")) == clean
    revision._revision.cache_clear()


def test_every_room_of_evaluation_that_cells_compute_with_counts():
    """A new room is added to the revision, or here."""
    without = {
        "adaptive",
        "corruptions",
        "planning",
        "warnings",
    }  # the first counts where it is used
    root = Path(tfrobust.__file__).parent / "evaluation"
    rooms = {path.parent.name for path in root.glob("*/__init__.py")}
    counted = {path.parent.name for path in revision._core_files() if path.parent.parent == root}
    assert counted == rooms - without


def test_only_the_cells_that_are_named_are_computed(ran, study, tmp_path):
    assert {path.name for path in (ran / "results").rglob("*.json")} == {
        "small-clean-s0.json",
        "small-fgsm-s0.json",
    }
    name = cell_of(study, "small", "clean").model_name
    stored = sorted(path.name for path in (ran / "out/models").iterdir())
    assert stored == [name, f"{name}.training"]
    out, results = ran / "out", tmp_path / "results"
    with pytest.raises(UsageError, match=r"no cell 'small-clan-s0'.*did you mean 'small-clean-s0'"):
        run_study(study, "tiny", out, results, only=["small-clan-s0"])


@pytest.mark.slow
def test_stale_cells_are_computed_again_with_networks_of_the_present_code(tmp_path, monkeypatch):
    study = SMALL.written(tmp_path)
    out, results, name = tmp_path / "out", tmp_path / "results", "small-clean-s0"
    cell = cell_of(study, "small", "clean")
    with monkeypatch.context() as patch:
        patch.setattr(stamps, "training_revision", lambda cell: "older")
        run_study(study, "tiny", out, results, only=[name])
    assert read_cell(cell, results).revision != current_revision(cell)
    version = out / "models" / cell.model_name / "1"
    before = version.stat().st_ino
    lines = []
    run_study(study, "tiny", out, results, only=[name], log=lines.append)
    assert not lines
    run_study(study, "tiny", out, results, only=[name], stale=True, log=lines.append)
    assert read_cell(cell, results).revision == current_revision(cell)
    assert version.stat().st_ino != before
    assert any("trained by other code" in line for line in lines)


def test_a_training_is_stamped_when_it_begins_and_not_when_other_code_resumes_it(study, tmp_path):
    cell = cell_of(study, "small", "clean")
    stamps.stamp_training(cell, tmp_path)
    assert stamps.revision_here(cell, tmp_path) == current_revision(cell)
    (tmp_path / "models" / cell.model_name).mkdir(parents=True)
    stamp = tmp_path / "revisions" / f"{cell.model_name}.txt"
    stamp.write_text("older\n")
    stamps.stamp_training(cell, tmp_path)
    assert stamp.read_text() == "older\n"
    assert stamps.revision_here(cell, tmp_path) != current_revision(cell)
    assert stamps.discard_outdated([cell], tmp_path) == [cell.model_name]
    assert not (tmp_path / "models" / cell.model_name).exists()
    assert training_revision(cell) != "older"
