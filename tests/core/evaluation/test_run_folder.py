"""All files of a folder belong to one run, wherever it is killed, and the run can go on."""

import contextlib
import gc
import json
import shutil

import numpy as np
import pytest

from helpers.killing import every_step, full_disk
from helpers.support import InMemory, small_classifier
from tfrobust.errors import StoreError
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.files.arrays import read_array, write_arrays
from tfrobust.files.output_folders import PARTIAL, output_folder
from tfrobust.registry import create
from tfrobust.report import page, write_report, write_run
from tfrobust.results.adversarial import AdversarialFolder
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.run_files import discard_partial, identified, read_results, write_results

FILES = {"results.json", "outcomes.parquet", "examples.npz", "report.html", "adversarial"}


def evaluated(eps):
    attack = create("attacks", "fgsm", eps=eps)
    both = {"a": small_classifier()}
    return evaluate(both, InMemory(images=12), [attack], baselines=(), keep_images=True)


@pytest.fixture(scope="module")
def runs():
    """An old run and a new one."""
    return evaluated(0.1), evaluated(0.4)


def written(folder, run, *, force=False):
    """Write a run as `attack` does, which keeps finished attacks until it is done."""
    with output_folder(folder, force=force):
        write_arrays(folder / PARTIAL / "crafted.npz", {"images": run.images})
        write_run(folder, run, lambda temporary: write_adversarial(temporary, run))


def write_adversarial(folder, run):
    count, *shape = run.images.shape
    adversarial = AdversarialFolder(folder / "adversarial", count, tuple(shape))
    adversarial.write(0, run.adversarial[0][0], run.images)
    adversarial.finish(run.outcomes.column("label"), [(0, count)], run.results.run)


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_run_has_one_identity_in_all_its_files(runs, tmp_path):
    old, new = runs
    written(tmp_path, old)
    run = read_results(tmp_path).run
    assert run == old.results.run != new.results.run
    assert Outcomes.read(tmp_path).run == run
    assert str(read_array(tmp_path / "examples.npz", "run")) == run
    assert json.loads((tmp_path / "adversarial/run.json").read_text()) == {"run": run}
    again = identified(old.results.model_copy(update={"run": "other"}), old.outcomes)
    assert again.run == run
    slower = old.results.model_copy(deep=True)
    slower.evaluations[0].attacks[0].seconds += 1
    assert identified(slower, old.outcomes).run == run
    columns = {name: old.outcomes.column(name) for name in old.outcomes.names}
    examples = old.outcomes.examples
    assert identified(old.results, Outcomes.of(columns, examples)).run == run
    changed = {**columns, "label": columns["label"] + 1}
    assert identified(old.results, Outcomes.of(changed, examples)).run != run


@pytest.mark.parametrize(
    "of_old", [{"results.json"}, {"outcomes.parquet"}, {"examples.npz"}, {"adversarial"}]
)
def test_a_mixture_of_two_runs_is_refused_with_the_way_out(of_old, runs, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    written(old, runs[0])
    written(new, runs[1])
    before = (new / "report.html").read_bytes()
    for name in of_old:
        remove(new / name)
        (old / name).replace(new / name)
    with pytest.raises(StoreError, match=r"of different runs; .* --force") as refusal:
        write_report(new)
    assert "\n" not in str(refusal.value)
    assert (new / "report.html").read_bytes() == before
    written(new, runs[1], force=True)  # as the message says
    write_report(new)


def test_results_that_know_no_run_are_not_mixed_with_outcomes_that_do(runs, tmp_path):
    write_results(tmp_path, runs[0].results, runs[0].outcomes)
    figures = tmp_path / "results.json"
    content = json.loads(figures.read_text())
    del content["run"]
    figures.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"of different runs"):
        write_report(tmp_path)


@pytest.fixture
def no_page(monkeypatch):
    """Pages take long to draw."""
    monkeypatch.setattr(page, "render", lambda *_: "drawn")


STRIDES = pytest.mark.parametrize(
    "stride", [pytest.param(1, marks=pytest.mark.slow), 2], ids=["each step", "each second step"]
)


@STRIDES
@pytest.mark.usefixtures("no_page")
def test_a_run_that_is_killed_at_any_step_continues_and_leaves_nothing_behind(
    stride, runs, tmp_path
):
    """The same call is made again, without `force`."""
    folder, seen = tmp_path / "run", set()

    def after():
        done = folder.exists() and PARTIAL not in names(folder) and names(folder) >= FILES
        seen.add(done)
        with pytest.raises(StoreError, match="is not empty") if done else contextlib.nullcontext():
            written(folder, runs[0])
        assert names(folder) == FILES
        assert write_report(folder)
        for name in FILES:
            remove(folder / name)

    steps = every_step(lambda: written(folder, runs[0]), lambda: None, after, stride)
    assert seen == {True, False}
    assert steps > 20


@STRIDES
@pytest.mark.usefixtures("no_page")
def test_a_run_that_replaces_another_is_never_mixed_with_it(stride, runs, tmp_path):
    """`force` replaces an old run and a file of the user's, and is killed at each step."""
    folder, seen = tmp_path / "run", set()
    old, new = (run.results.run for run in runs)

    def before():
        if not folder.exists():
            folder.mkdir()
            (folder / "theirs").write_text("precious")
        written(folder, runs[0], force=True)

    def after():
        try:
            write_report(folder)
            seen.add(read_results(folder).run)
        except StoreError as error:
            seen.add("different" if "different" in str(error) else None)
        written(folder, runs[1], force=True)
        assert read_results(folder).run == new
        assert names(folder) == FILES | {"theirs"}

    every_step(lambda: written(folder, runs[1], force=True), before, after, stride)
    assert seen == {old, new, None}


def test_another_run_is_not_taken_for_an_interrupted_one(runs, tmp_path):
    written(tmp_path, runs[0])
    (tmp_path / PARTIAL).mkdir()  # begun with --force, and killed before it wrote anything
    with pytest.raises(StoreError, match=r"is not empty"), output_folder(tmp_path):
        pass
    assert names(tmp_path) == FILES | {PARTIAL}


def test_the_other_files_of_a_replaced_run_are_removed_too(runs, tmp_path):
    written(tmp_path, runs[0])
    with output_folder(tmp_path, force=True):
        write_run(tmp_path, runs[1])
    assert names(tmp_path) == FILES - {"adversarial"}


@pytest.mark.parametrize("size", [0, 100, 3_000, 300_000])
def test_a_full_disk_costs_one_line_and_no_traceback_later(size, tmp_path):
    noise = np.random.default_rng(0).uniform(size=(2, 100_000))
    full = r"cannot write .*x\.npz: File too large"
    with full_disk(size), pytest.raises(StoreError, match=full) as refusal:
        write_arrays(tmp_path / "x.npz", {"a": noise[0], "b": noise[1]})
    refusal.value.__traceback__ = None
    refusal.value.__cause__ = None
    del refusal
    gc.collect()  # an archive that was left open would warn here
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("size", [0, 100, 1_000])
def test_a_full_disk_leaves_the_earlier_run_unchanged(size, runs, tmp_path):
    written(tmp_path, runs[0])
    before = content(tmp_path)
    full = rf"cannot write {tmp_path}/[\w/]+\.\w+: File too large"
    with full_disk(size), pytest.raises(StoreError, match=full):
        write_run(tmp_path, runs[1], lambda temporary: write_adversarial(temporary, runs[1]))
    assert content(tmp_path) == before


def test_finished_attacks_stay_if_the_disk_is_full_at_the_end(runs, tmp_path):
    write_arrays(tmp_path / PARTIAL / "crafted.npz", {"images": runs[0].images})
    with full_disk(100), pytest.raises(StoreError, match=r"File too large"):
        write_run(tmp_path, runs[0])
    assert [path.name for path in tmp_path.rglob("*")] == [PARTIAL, "crafted.npz"]
    discard_partial(tmp_path)
    assert not any(tmp_path.iterdir())
