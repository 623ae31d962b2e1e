"""Studies of networks that decide by several streams: members, other networks, pictures."""

from pathlib import Path

import numpy as np
import pytest

from helpers.study_runs import StudyFile, cell_of, check_figures
from tfrobust.errors import UsageError
from tfrobust.pipeline.reload import stored_network
from tfrobust.study.cells import graph as runs
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.cells.result_file import read_cell
from tfrobust.study.rebuild import run_study
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.report import write_study

STUDY = """
title = "A study of streams"
source = "Nobody"
about = "Digits."
[scales.tiny]
scenario = "digits_in_places"
images = 40
train = { epochs = 1, validation = 0.0 }
minutes = 1
[networks.objects]
title = "Objects"
model = "fully_connected"
options = { units = 12 }
scenario_options = { digits_in_places = { shows = "digits" } }
[networks.scenes]
title = "Scenes"
model = "fully_connected"
options = { units = 11 }
scenario_options = { digits_in_places = { shows = "places" } }
[networks.fused]
title = "Fused"
base = "objects"
streams = ["foreground", "background"]
found = ["share_foreground", "share_background", "agrees_foreground", "agrees_background"]
defenses = [{ name = "contextual_fusion", networks = { background = "scenes" } }]
[networks.again]
title = "Again"
base = "fused"
member = "foreground"
defenses = [{ name = "adversarial_retraining", options = { eps = 0.1 } }]
[views.joint]
title = "joint"
[views.foreground]
title = "foreground"
member = "foreground"
[views.again]
title = "retrained"
instead = "again"
[conditions.blur]
title = "blur"
attack = { name = "box_blur" }
sweep = { option = "sigma", values = [0, 2] }
crafted_on = "foreground"
judged = ["joint", "foreground", "again"]
networks = ["fused"]
[conditions.seen]
title = "seen"
attack = { name = "box_blur" }
judged = ["joint"]
networks = ["fused"]
projected = 12
[[curves]]
title = "Curves"
xlabel = "σ"
xscale = "symlog"
lines = [
    { title = "joint", network = "fused", figure = "joint.accuracy" },
    { title = "retrained", network = "fused", figure = "again.accuracy" },
]
panels = [{ title = "all", condition = "blur" }]
[[bars]]
title = "Bars"
condition = "blur"
figures = { foreground = "joint.weight_foreground", background = "joint.weight_background" }
networks = ["fused"]
ylabel = "weight"
[[projections]]
title = "Projection"
condition = "seen"
network = "fused"
"""


FILE = StudyFile("streams", STUDY)
written = FILE.written


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study, run once: its folder, and each network with its data, in order of training."""
    folder, trained = FILE.run(tmp_path_factory)
    return folder, [(name, scenario.class_names[0]) for name, scenario in trained]


def test_networks_that_others_need_are_trained_before_them_on_their_own_data(done):
    names = [name for name, _ in done[1]]
    assert names == ["objects", "scenes", "fused", "again"]
    assert dict(done[1])["scenes"] == "place of 0"
    assert dict(done[1])["fused"] == "0"


def test_members_and_other_networks_are_judged(done):
    study, folder = written(done[0]), done[0]
    cell = cell_of(study, "fused", "blur")
    figures = read_cell(cell, folder / "results").figures
    joint = stored_network(cell.model_name, folder / "out/models")
    assert joint.num_classes == 10
    assert figures["joint.weight_foreground"] == pytest.approx(joint.mean_weights()["foreground"])
    for view in ("joint", "foreground", "again"):
        assert figures[f"{view}.accuracy@0"] == figures[f"{view}.clean"]
    retrained = stored_network(cell.of("again").model_name, folder / "out/models")
    images = np.random.default_rng(0).uniform(size=(4, 24, 24, 1)).astype(np.float32)
    assert np.abs(retrained(images) - joint.members["foreground"](images)).max() > 1e-4


def test_every_declared_figure_is_measured_and_every_measured_one_is_declared(done):
    check_figures(written(done[0]), done[0] / "results")


def test_another_background_makes_another_cell_and_another_folder_does_not(done, monkeypatch):
    study, folder = written(done[0]), done[0]
    other = written(folder, STUDY.replace("units = 11", "units = 13"))
    assert cell_of(study, "fused", "blur").key != cell_of(other, "fused", "blur").key
    monkeypatch.chdir(folder)
    monkeypatch.setattr(runs, "compute", lambda cell, *_, **__: read_cell(cell, folder / "results"))
    run_study(study, "tiny", Path("out"), folder / "elsewhere")
    versions = [path.name for path in folder.glob("out/models/*/*") if path.name.isdigit()]
    assert versions == ["1"] * 4


def test_features_are_kept_in_two_dimensions_and_drawn(done):
    study = written(done[0])
    kept = read_cell(cell_of(study, "fused", "seen"), done[0] / "results").exhibits
    assert set(kept) == {
        "label", "classes", "foreground.clean", "foreground.attacked", "background.clean",
        "background.attacked",
    }  # fmt: skip
    assert len(kept["label"]) == 12
    assert np.shape(kept["foreground.attacked"]) == (12, 2)
    write_study(study, "tiny", Lookup(cells_of(study, "tiny"), done[0] / "results"), done[0] / "r")
    text = (done[0] / "r/report.md").read_text()
    for number, title in ((1, "Projection"), (2, "Curves"), (3, "Bars")):
        assert title in text
        assert "<svg" in (done[0] / f"r/figure-{number}.svg").read_text()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('{ background = "scenes" }', '{ background = "scnes" }', "did you mean 'scenes'"),
        ('instead = "again"', 'instead = "agian"', "did you mean 'again'"),
        ('base = "fused"\nmember', 'model = "lenet"\nmember', "member: expected a base too"),
        ("projected = 12", "", "keeps no projections"),
        ("joint.weight_foreground", "joint.weight_foregruond", "did you mean"),
        ('network = "fused", figure = "joint.accuracy"',
         'network = "fusd", figure = "joint.accuracy"', "did you mean 'fused'"),
        ('xscale = "symlog"', 'figure = "joint.accuracy"\nnetworks = ["fused"]', "not both"),
    ],
)  # fmt: skip
def test_a_study_that_names_missing_things_is_refused(tmp_path, old, new, words):
    assert old in STUDY
    with pytest.raises(UsageError, match=words):
        written(tmp_path, STUDY.replace(old, new, 1))
