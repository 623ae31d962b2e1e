"""Studies compute every cell once, keep it, and go on after an interruption."""

import shutil

import pytest

from helpers.small_study import SMALL
from helpers.study_runs import check_figures
from tfrobust.errors import StoreError, UsageError
from tfrobust.execution import InProcess
from tfrobust.study.cells import graph as runs
from tfrobust.study.cells import run as study_run
from tfrobust.study.cells import trainings
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.cells.result_file import read_cell
from tfrobust.study.rebuild import run_study
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.remaining import costs
from tfrobust.study.results.report import write_study


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The small study, run once: its folder, and the trainings it asked for."""
    return SMALL.run(tmp_path_factory)


@pytest.fixture(scope="module")
def finished(ran):
    """The results of the small study, and the folder of its networks."""
    return ran[0]


def of_one_network(folder, *edits):
    """The small study with only the network `small` at its scale `tiny`, and an edit."""
    text = SMALL.text.replace("minutes = 1\n", 'minutes = 1\nnetworks = ["small"]\n', 1)
    return SMALL.written(folder, text.replace(*edits) if edits else text)


def counted(monkeypatch, stop_after=10**6):
    """Count the cells that are computed; stop as a kill would after so many."""
    done = []
    compute = runs.compute

    def computed(cell, *args, **more):
        if len(done) >= stop_after:
            raise KeyboardInterrupt
        result = compute(cell, *args, **more)
        done.append((cell.network_name, cell.condition_name))
        return result

    monkeypatch.setattr(runs, "compute", computed)
    return done


def test_every_cell_has_its_figures_its_command_and_its_versions(finished, study):
    for cell in cells_of(study, "tiny"):
        result = read_cell(cell, finished / "results")
        assert result.command == (
            "tfrobust study run small-study --scale tiny --out runs/small-study"
        )
        assert "tensorflow" in result.versions
    figures = read_cell(cells_of(study, "tiny")[1], finished / "results").figures
    assert 0 <= figures["plain.accuracy"] <= figures["plain.clean"] <= 1
    assert {"averaged.variance_logistic.auroc", "averaged.queries"} <= set(figures)
    assert "plain.variance_logistic.auroc" not in figures


def test_every_declared_figure_is_measured_and_every_measured_one_is_declared(finished, study):
    check_figures(study, finished / "results")


def test_a_histogram_counts_every_image(finished, study):
    result = read_cell(cells_of(study, "tiny")[1], finished / "results")
    assert {name: sum(counts) for name, counts in result.histograms.items()} == {
        "clean": 30,
        "adversarial": 30,
    }


def test_a_scales_options_override_the_studys(study):
    cell = cells_of(study, "tiny")[1]
    assert cell.plugin(cell.condition.attack).options == {"eps": 0.2}
    assert cells_of(study, "twice")[1].plugin(cell.condition.attack).options == {"eps": 0.3}


def test_finished_cells_are_never_computed_twice(finished, study, tmp_path, monkeypatch):
    done = counted(monkeypatch)
    run_study(study, "tiny", tmp_path / "out", finished / "results")
    assert not done
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_killed_after_some_cells_continues(tmp_path, monkeypatch):
    study = of_one_network(tmp_path)
    done = counted(monkeypatch, stop_after=1)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, "tiny", tmp_path / "out", tmp_path / "results")
    monkeypatch.undo()
    rest = counted(monkeypatch)
    results = run_study(study, "tiny", tmp_path / "out", tmp_path / "results")
    assert done == [("small", "clean")]
    assert rest == [("small", "fgsm")]
    assert len(results) == 2


@pytest.mark.slow
@pytest.mark.slow
def test_a_run_that_was_killed_in_its_second_network_continues(study, tmp_path, monkeypatch):
    done = counted(monkeypatch, stop_after=3)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, "tiny", tmp_path / "out", tmp_path / "results")
    monkeypatch.undo()
    rest = counted(monkeypatch)
    results = run_study(study, "tiny", tmp_path / "out", tmp_path / "results")
    assert len(done) == 3
    assert rest == [("large", "fgsm")]
    assert len(results) == 4


@pytest.mark.slow
def test_a_run_continues_on_another_machine_with_copied_results(
    finished, study, tmp_path, monkeypatch
):
    shutil.copytree(finished / "results", tmp_path / "results")
    last = cells_of(study, "tiny")[-1]
    before = read_cell(last, tmp_path / "results")
    last.file(tmp_path / "results").unlink()
    done = counted(monkeypatch)
    run_study(study, "tiny", tmp_path / "elsewhere", tmp_path / "results")
    assert done == [("large", "fgsm")]  # its network was trained again: the other's was not
    stored = sorted(p.name for p in (tmp_path / "elsewhere" / "models").iterdir())
    assert stored == [last.model_name, f"{last.model_name}.training"]
    assert read_cell(last, tmp_path / "results").figures == before.figures


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("options = { units = 32 }", "options = { units = 33 }", {"large"}),
        ("options = { fgsm = { eps = 0.2 } }", "options = { fgsm = { eps = 0.1 } }", {"fgsm"}),
        ("samples = 8", "samples = 9", {"fgsm"}),
        ("images = 30", "images = 31", {"small", "large"}),
        ("epochs = 1", "epochs = 2", {"small", "large"}),
        ('title = "FGSM"', 'title = "F"', set()),
        ("minutes = 1", "minutes = 2", set()),
    ],
)
def test_an_edit_invalidates_only_the_cells_that_it_touches(old, new, again, finished, tmp_path):
    edited = SMALL.written(tmp_path, SMALL.text.replace(old, new, 1))
    lost = {
        name
        for cell in cells_of(edited, "tiny")
        if read_cell(cell, finished / "results") is None
        for name in (cell.network_name, cell.condition_name)
    }
    kept = {
        name
        for cell in cells_of(edited, "tiny")
        if read_cell(cell, finished / "results") is not None
        for name in (cell.network_name, cell.condition_name)
    }
    assert again <= lost
    assert lost - kept == again or (again == {"small", "large"} and not kept)


@pytest.mark.slow
def test_a_network_whose_training_was_interrupted_before_an_edit_is_trained_again(
    tmp_path, monkeypatch
):
    from tfrobust.training.trainer import Trainer

    epochs = Trainer._epoch

    def cut(self, epoch, *args):
        if epoch == 1:
            raise KeyboardInterrupt
        return epochs(self, epoch, *args)

    longer = of_one_network(tmp_path, "epochs = 1", "epochs = 2")
    monkeypatch.setattr(Trainer, "_epoch", cut)
    with pytest.raises(KeyboardInterrupt):
        run_study(longer, "tiny", tmp_path / "out", tmp_path / "results")
    monkeypatch.undo()
    shorter = of_one_network(tmp_path)
    assert len(run_study(shorter, "tiny", tmp_path / "out", tmp_path / "results")) == 2


def test_a_damaged_cell_costs_one_line(study, tmp_path):
    path = cells_of(study, "tiny")[0].file(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(StoreError, match=r"cell cannot be read .*delete it") as refusal:
        run_study(study, "tiny", tmp_path / "out", tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_network_is_looked_up_once_per_run(ran):
    _, trainings_asked_for = ran
    assert [name for name, _ in trainings_asked_for] == ["small", "large"]


def test_the_report_has_tables_claims_verdicts_and_pictures(finished, study, tmp_path):
    cells = Lookup(cells_of(study, "tiny"), finished / "results")
    write_study(study, "tiny", cells, tmp_path, tmp_path / "twice")
    text, html = ((tmp_path / f"report.{kind}").read_text() for kind in ("md", "html"))
    assert (tmp_path / "twice" / "report.html").read_text() == html
    assert "| network | Clean | FGSM | μ |" in text
    assert "| 4 units | 50.0% / **" in text
    assert "Larger is better." in text
    assert "A &lt;small&gt; study" in html
    assert html.count("<svg") == 1
    assert (tmp_path / "figure-1.svg").read_text().startswith("<svg")
    assert "![Figure 1](figure-1.svg)" in text
    assert html.count("<script") == 1
    assert "script-src 'sha256-" in html
    assert "://" not in html.replace("http://www.w3.org", "")


def test_costs_show_the_remaining_cells(finished, study, tmp_path):
    before, _ = costs(study, tmp_path / "none")
    after, _ = costs(study, finished / "results")
    assert (before.cells, before.finished, before.trainings, before.left) == (4, 0, 2, 1.0)
    assert (after.finished, after.trainings, after.left) == (4, 0, 0.0)
    assert after.spent > 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('attack = { name = "fgsm"', 'attack = { name = "fgsmm"', r"4 units · FGSM: no plugin att"),
        (
            "options = { units = 4 }",
            "options = { unit = 4 }",
            r"4 units · clean: .*no option 'unit'",
        ),
        ("epochs = 1", "epochs = -1", r"train: epochs"),
    ],
)
def test_a_mistake_in_a_plugin_costs_no_training(old, new, message, tmp_path, monkeypatch):
    monkeypatch.setattr(trainings, "run_training", lambda *_: pytest.fail("trained"))
    wrong = SMALL.text.replace("options = { fgsm = { eps = 0.2 } }", "").replace(old, new, 1)
    with pytest.raises(UsageError, match=message):
        run_study(SMALL.written(tmp_path, wrong), "tiny", tmp_path / "out", tmp_path / "results")


def test_cells_that_measure_times_are_left_to_this_process_after_all_others(tmp_path, monkeypatch):
    priced = '[conditions.clean]\ntitle = "clean"\npriced = true'
    text = SMALL.text.replace('[conditions.clean]\ntitle = "clean"', priced)
    cells = cells_of(SMALL.written(tmp_path, text), "tiny")
    steps: list[tuple[str, str]] = []

    class Noted(InProcess):
        def __init__(self, place):
            self.place = place

        def map(self, job, items):
            for step, _ in super().map(job, items):
                steps.append((self.place, "training" if step.trains else step.cell.condition_name))
                yield step, None

    monkeypatch.setattr(study_run, "InProcess", lambda: Noted("here"))
    monkeypatch.setattr(runs.StudyJob, "start", lambda job: lambda step: None)
    study_run.run_cells(
        cells, tmp_path / "out", tmp_path / "results", "run", executor=Noted("workers")
    )

    assert sorted(steps[:4]) == [("workers", "fgsm")] * 2 + [("workers", "training")] * 2
    assert steps[4:] == [("here", "clean")] * 2
