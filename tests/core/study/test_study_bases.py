"""Studies of networks based on others: what is learned for one, donated, measured and shown."""

import re
from pathlib import Path

import pytest

from helpers.study_runs import StudyFile, cell_of, check_figures
from tfrobust.errors import UsageError
from tfrobust.study.cells import graph as runs
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.cells.networks import views_of
from tfrobust.study.cells.result_file import read_cell
from tfrobust.study.rebuild import run_study
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.remaining import costs
from tfrobust.study.results.report import write_study
from tfrobust.study.schema.measured import Measured

STUDY = """
title = "A study of points"
source = "Nobody"
about = "Circles."
[scales.tiny]
scenario = "circles"
scenarios = { other = "ellipses_apart" }
images = 40
train = { epochs = 1, validation = 0.0 }
train_on = { epochs = 2 }
minutes = 1
[networks.line]
title = "Line"
model = "linear"
[networks.line_bent]
title = "Line behind a calibrater"
base = "line"
defenses = [{ name = "calibrater", options = { base = 2, channels = 2, blocks = 1 } }]
[networks.line_tuned]
title = "Line, tuned"
base = "line"
shift = "rotation"
defenses = [{ name = "fine_tuning" }]
[networks.other]
title = "Other"
model = "fully_connected"
options = { units = 4 }
[views.plain]
title = "bare"
[views.bent]
title = "bent"
learned_from = "{network}_bent"
[views.donated]
title = "through the line's"
learned_from = "line_bent"
[conditions.own]
title = "own"
judged = ["plain", "bent"]
networks = ["line"]
priced = true
exhibits = 5
[conditions.foreign]
title = "foreign"
judged = ["plain", "donated"]
networks = ["other"]
[conditions.elsewhere]
title = "elsewhere"
scenario = "ellipses_overlap"
judged = ["plain"]
networks = ["line_tuned"]
[[tables]]
title = "Price"
columns = [
    { title = "MB", condition = "own", figure = "bent.part_megabytes", unit = "number" },
    { title = "gain", condition = "own", figure = "bent.gain" },
    { title = "int8", condition = "own", figure = "bent.int8_accuracy" },
]
[tables.paper]
line = [0.1, 0.5, nan]
[[galleries]]
title = "Gallery"
condition = "own"
rows = [{ title = "bent", network = "line", view = "bent", factor = true }]
[[scatters]]
title = "Scatter"
condition = "own"
panels = [
    { title = "before", network = "line", view = "plain" },
    { title = "after", network = "line", view = "bent" },
]
"""


FILE = StudyFile("points", STUDY)
written = FILE.written


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study, run once: its folder, and the networks in the order they were trained."""
    folder, trained = FILE.run(tmp_path_factory)
    return folder, [name for name, _ in trained]


def test_each_network_is_trained_once_after_its_base_and_donors_too(done):
    assert done[1] == ["line", "line_bent", "line_tuned", "other"]


def test_scales_shifts_and_conditions_choose_the_data_to_train_and_test_on(done):
    study = written(done[0])
    tuned = cell_of(study, "line_tuned", "elsewhere")
    assert (tuned.training["scenario"], tuned.tested_on) == (
        "circles+rotation",
        "ellipses_overlap",
    )
    assert tuned.training["train"]["epochs"] == 2
    assert tuned.base.training["train"]["epochs"] == 1
    assert tuned.training["base"] == cell_of(study, "line", "own").training
    assert cell_of(study, "other", "foreign").tested_on == "ellipses_apart"


def test_trained_networks_are_reused_under_any_spelling_of_their_folder(done, monkeypatch):
    folder, _ = done
    study = written(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(runs, "compute", lambda cell, *_, **__: read_cell(cell, folder / "results"))
    run_study(study, "tiny", Path("out"), folder / "elsewhere")
    versions = [path.name for path in folder.glob("out/models/*/*") if path.name.isdigit()]
    assert versions == ["1"] * 4


def test_a_donor_that_images_are_crafted_on_is_trained_too(tmp_path):
    study = written(
        tmp_path,
        STUDY.replace(
            'judged = ["plain"]\nnetworks = ["line_tuned"]',
            'attack = { name = "fgsm" }\ncrafted_on = "donated"\njudged = ["plain"]\n'
            'networks = ["other"]',
        ),
    )
    cell = cell_of(study, "other", "elsewhere")
    names = [network.network_name for network in cell.networks_to_train]
    assert names == ["other", "line", "line_bent"]
    assert "donated" in views_of(cell)


def test_gains_and_errors_are_measured_for_every_view(done):
    figures = read_cell(cell_of(written(done[0]), "line", "own"), done[0] / "results").figures
    assert figures["bent.gain"] == pytest.approx(figures["bent.clean"] - figures["plain.clean"])
    assert figures["plain.error"] == pytest.approx(1 - figures["plain.clean"])
    assert figures["plain.gain"] == 0


def test_a_footprint_covers_the_whole_the_part_and_eight_bits(done):
    figures = read_cell(cell_of(written(done[0]), "line", "own"), done[0] / "results").figures
    assert figures["plain.megabytes"] == pytest.approx(6 * 4e-6)
    assert figures["bent.megabytes"] == pytest.approx(
        figures["plain.megabytes"] + figures["bent.part_megabytes"]
    )
    assert figures["bent.int8_megabytes"] > 0
    assert 0 < figures["plain.milliseconds"] < 1000
    assert figures["bent.int8_milliseconds"] > 0
    assert 0 <= figures["bent.int8_accuracy"] <= 1
    assert "plain.int8_accuracy" not in figures


def test_exhibits_are_the_images_that_the_network_receives(done):
    exhibits = read_cell(cell_of(written(done[0]), "line", "own"), done[0] / "results").exhibits
    assert set(exhibits) == {"original", "label", "plain", "bent", "regions"}
    assert exhibits["plain"] == exhibits["original"]
    assert len(exhibits["bent"]) == len(exhibits["label"]) == 5
    assert len(exhibits["regions"]) == 61 * 61
    assert all(0 <= value <= 1000 for image in exhibits["bent"] for value in image[0][0])


def test_every_declared_figure_is_measured_and_every_measured_one_is_declared(done):
    check_figures(written(done[0]), done[0] / "results")


def test_tables_and_pictures_are_drawn(done):
    study = written(done[0])
    finished = Lookup(cells_of(study, "tiny"), done[0] / "results")
    write_study(study, "tiny", finished, done[0] / "report")
    text = (done[0] / "report/report.md").read_text()
    assert re.search(r"\| Line \| 0.1 / \*\*\d", text)
    for number, title in ((1, "Gallery"), (2, "Scatter")):
        assert title in text
        assert "<svg" in (done[0] / f"report/figure-{number}.svg").read_text()


def test_an_edit_of_a_base_or_of_a_donor_invalidates_the_cells_that_use_it(done, tmp_path):
    def lost(old, new):
        edited = written(tmp_path, STUDY.replace(old, new, 1))
        return {
            cell.condition_name
            for cell in cells_of(edited, "tiny")
            if read_cell(cell, done[0] / "results") is None
        }

    assert lost("channels = 2", "channels = 3") == {"own", "foreign"}
    assert lost('shift = "rotation"', 'shift = "b1"') == {"elsewhere"}
    assert lost("train = { epochs = 1", "train = { epochs = 3") == {"own", "foreign", "elsewhere"}
    assert lost("exhibits = 5", "exhibits = 6") == {"own"}
    assert lost("units = 4", "units = 5") == {"foreign"}


def test_bases_and_donors_count_among_the_networks_to_train(tmp_path):
    (cost,) = costs(written(tmp_path), tmp_path / "results")
    assert (cost.cells, cost.trainings) == (3, 4)


def test_a_missing_cell_leaves_its_picture_out(tmp_path):
    study = written(tmp_path)
    finished = Lookup(cells_of(study, "tiny"), tmp_path / "results")
    write_study(study, "tiny", finished, tmp_path / "report")
    assert not list((tmp_path / "report").glob("*.svg"))
    assert finished.values("line", Measured(condition="own", figure="bent.gain")) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('base = "line"', 'base = "lime"', r"networks.line_bent: 'lime' is not declared; did you"),
        ('base = "line"', 'base = "line_bent"', r"networks.line_bent: is based on itself"),
        (
            'model = "linear"',
            'model = "linear"\nbase = "other"',
            r"a model or a base, and not both",
        ),
        ('defenses = [{ name = "fine_tuning" }]', "", r"expected defenses"),
        ('"line_bent"', '"line_bend"', r"conditions.foreign: 'line_bend' is not declared"),
        ("{network}_bent", "{network}_x", r"conditions.own: 'line_x' is not declared"),
        ("exhibits = 5", "", r"galleries: condition 'own' keeps no exhibits"),
        (
            'view = "bent", factor',
            'view = "donated", factor',
            r"own: 'donated' is not declared",
        ),
        ('figure = "bent.gain"', 'figure = "bent.gains"', r"'bent.gains' is not declared"),
        ("bent.int8_accuracy", "plain.int8_accuracy", r"'plain.int8_accuracy' is not declared"),
        (
            'learned_from = "{network}_bent"',
            'learned_from = "{network}_bent"\ndefenses = [{ name = "mc_dropout" }]',
            r"conditions.own: view 'bent' is priced; it may have no more defenses",
        ),
        ("{ other = ", "{ otter = ", r"scales.tiny.scenarios: 'otter' is not declared"),
    ],
)
def test_mistakes_in_bases_and_pictures_are_refused_when_the_file_is_read(
    old, new, message, tmp_path
):
    with pytest.raises(UsageError, match=message):
        written(tmp_path, STUDY.replace(old, new, 1))


def test_a_donor_that_learned_nothing_to_donate_costs_one_line(tmp_path):
    wrong = STUDY.replace('learned_from = "line_bent"', 'learned_from = "line_tuned"')
    with pytest.raises(
        UsageError, match=r"line_tuned: .*fine_tuning, learns no model that it could donate"
    ):
        run_study(written(tmp_path, wrong), "tiny", tmp_path / "out", tmp_path / "results")
    assert not (tmp_path / "out").exists()
