"""Studies: cells are computed once, kept, carried on; tables and claims say what they should."""

import dataclasses
import shutil

import pytest

from helpers.study_runs import StudyFile
from tfrobust.errors import StoreError, UsageError
from tfrobust.study.cells import run as engine
from tfrobust.study.cells.cell import Cell, cells_of
from tfrobust.study.cells.result_file import Result, read_cell, write_cell
from tfrobust.study.cells.run import run_study
from tfrobust.study.results.claims import check_claims, verdicts
from tfrobust.study.results.lookup import Finished, in_paper
from tfrobust.study.results.remaining import costs
from tfrobust.study.results.report import write_study
from tfrobust.study.results.tables import study_tables
from tfrobust.study.schema.files import find_study, studies
from tfrobust.study.schema.measured import Measured

STUDY = """
title = "A <small> study"
source = "Nobody"
about = "Two perceptrons."
choices = ["Everything."]
[scales.tiny]
scenario = "digits"
images = 30
train = { epochs = 1, validation = 0.0 }
options = { fgsm = { eps = 0.2 } }
minutes = 1
[scales.twice]
scenario = "digits"
images = 30
seeds = [0, 1]
train = { epochs = 1, validation = 0.0 }
networks = ["small"]
minutes = 1
[networks.small]
title = "4 units"
model = "fully_connected"
options = { units = 4 }
[networks.large]
title = "32 units"
model = "fully_connected"
options = { units = 32 }
[views.plain]
title = "plain"
[views.averaged]
title = "-M"
defenses = [{ name = "mc_dropout", options = { samples = 8, rate = 0.2 } }]
[conditions.clean]
title = "clean"
judged = ["plain"]
[conditions.fgsm]
title = "FGSM"
attack = { name = "fgsm", options = { eps = 0.3 } }
crafted_on = "plain"
judged = ["plain", "averaged"]
detected = "averaged"
detectors = [{ name = "variance_threshold" }, { name = "variance_logistic" }]
histogram = { detector = "variance_threshold", low = 0.0, high = 0.05, count = 10 }
[[tables]]
title = "Table 1"
[[tables.columns]]
title = "Clean"
condition = "clean"
figure = "plain.clean"
[[tables.columns]]
title = "FGSM"
condition = "fgsm"
figure = "averaged.accuracy"
[[tables.columns]]
title = "μ"
condition = "fgsm"
figure = "averaged.variance_threshold.clean_mean"
unit = "number"
[tables.paper]
small = [0.5, 0.25, 2e-3]
[[claims]]
text = "Larger is better."
[[claims.checks]]
kind = "rising"
networks = ["small", "large"]
value = { condition = "clean", figure = "plain.clean" }
[[claims]]
text = "Averages gain."
[[claims.checks]]
kind = "above"
networks = ["small"]
bound = -1.0
[claims.checks.value]
condition = "fgsm"
figure = "averaged.accuracy"
less = { condition = "fgsm", figure = "plain.accuracy" }
[[masked]]
title = "At 0.2"
naive = { condition = "clean", figure = "plain.clean" }
adaptive = [{ condition = "fgsm", figure = "plain.accuracy" }]
looks_robust = 0.5
falls = 0.1
[[histograms]]
title = "Figure 1"
condition = "fgsm"
networks = ["small", "large"]
xlabel = "uncertainty"
"""


@pytest.fixture
def study(tmp_path):
    return written(tmp_path, STUDY)


written = StudyFile("small-study", STUDY).written


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The small study, run once: its results, and where its networks lie."""
    folder = tmp_path_factory.mktemp("study")
    run_study(written(folder, STUDY), "tiny", folder / "out", folder / "results")
    return folder


def filled(study, scale, folder, figures):
    """Write results by hand: `(network, condition) → figures`, the same for every seed."""
    for cell in cells_of(study, scale):
        if (given := figures.get((cell.network_name, cell.condition_name))) is not None:
            values = given[cell.seed] if isinstance(given, list) else given
            write_cell(result(cell, values), cell.file(folder))
    return Finished(cells_of(study, scale), folder)


def result(cell: Cell, figures, **more):
    return Result(
        study=cell.study.name,
        scale=cell.scale_name,
        network=cell.network_name,
        condition=cell.condition_name,
        seed=cell.seed,
        key=cell.key,
        figures=figures,
        seconds=1.0,
        command="by hand",
        versions={"tfrobust": "0"},
        **more,
    )


def counted(monkeypatch, stop_after=10**6):
    """Count the cells that are computed; stop as a kill would after so many."""
    done = []
    compute = engine.compute

    def computed(cell, *args):
        if len(done) >= stop_after:
            raise KeyboardInterrupt
        found = compute(cell, *args)
        done.append((cell.network_name, cell.condition_name))
        return found

    monkeypatch.setattr(engine, "compute", computed)
    return done


def test_every_cell_has_its_figures_and_what_made_it(finished, study):
    for cell in cells_of(study, "tiny"):
        found = read_cell(cell, finished / "results")
        assert found.command == (
            "tfrobust study run small-study --scale tiny --out runs/small-study"
        )
        assert "tensorflow" in found.versions
    figures = read_cell(cells_of(study, "tiny")[1], finished / "results").figures
    assert 0 <= figures["plain.accuracy"] <= figures["plain.clean"] <= 1
    assert {"averaged.variance_logistic.auroc", "averaged.queries"} <= set(figures)
    assert "plain.variance_logistic.auroc" not in figures


def test_a_histogram_counts_every_image(finished, study):
    found = read_cell(cells_of(study, "tiny")[1], finished / "results")
    assert {name: sum(counts) for name, counts in found.histograms.items()} == {
        "clean": 30,
        "adversarial": 30,
    }


def test_a_scales_options_stand_above_the_studys(study):
    cell = cells_of(study, "tiny")[1]
    assert cell.plugin(cell.condition.attack).options == {"eps": 0.2}
    assert cells_of(study, "twice")[1].plugin(cell.condition.attack).options == {"eps": 0.3}


def test_finished_cells_are_never_computed_twice(finished, study, tmp_path, monkeypatch):
    done = counted(monkeypatch)
    run_study(study, "tiny", tmp_path / "out", finished / "results")
    assert not done
    assert not (tmp_path / "out").exists()


def test_a_run_killed_after_some_cells_goes_on(study, tmp_path, monkeypatch):
    done = counted(monkeypatch, stop_after=3)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, "tiny", tmp_path / "out", tmp_path / "results")
    monkeypatch.undo()
    rest = counted(monkeypatch)
    found = run_study(study, "tiny", tmp_path / "out", tmp_path / "results")
    assert len(done) == 3
    assert rest == [("large", "fgsm")]
    assert len(found) == 4


def test_results_carried_to_another_machine_go_on_there(finished, study, tmp_path, monkeypatch):
    shutil.copytree(finished / "results", tmp_path / "results")
    last = cells_of(study, "tiny")[-1]
    before = read_cell(last, tmp_path / "results")
    last.file(tmp_path / "results").unlink()
    done = counted(monkeypatch)
    run_study(study, "tiny", tmp_path / "elsewhere", tmp_path / "results")
    assert done == [("large", "fgsm")]  # its network was trained again: the other's was not
    assert [p.name for p in (tmp_path / "elsewhere" / "models").iterdir()] == [last.model_name]
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
def test_an_edit_makes_again_what_it_touches(old, new, again, finished, tmp_path):
    edited = written(tmp_path, STUDY.replace(old, new, 1))
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


def test_a_network_whose_training_was_cut_off_before_an_edit_is_trained_anew(
    study, tmp_path, monkeypatch
):
    from tfrobust.training.trainer import Trainer

    epochs = Trainer._epoch

    def cut(self, epoch, *args):
        if epoch == 1:
            raise KeyboardInterrupt
        return epochs(self, epoch, *args)

    longer = written(tmp_path, STUDY.replace("epochs = 1", "epochs = 2"))
    monkeypatch.setattr(Trainer, "_epoch", cut)
    with pytest.raises(KeyboardInterrupt):
        run_study(longer, "tiny", tmp_path / "out", tmp_path / "results")
    monkeypatch.undo()
    assert len(run_study(study, "tiny", tmp_path / "out", tmp_path / "results")) == 4


def test_a_damaged_cell_costs_one_line(study, tmp_path):
    path = cells_of(study, "tiny")[0].file(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(StoreError, match=r"cell cannot be read .*delete it") as refusal:
        run_study(study, "tiny", tmp_path / "out", tmp_path)
    assert "\n" not in str(refusal.value)


def test_tables_show_paper_ours_and_the_difference(study, tmp_path):
    figures = {
        ("small", "clean"): {"plain.clean": 0.75},
        ("small", "fgsm"): {
            "averaged.accuracy": 0.2,
            "averaged.variance_threshold.clean_mean": 1e-3,
        },
    }
    (table,) = study_tables(study, filled(study, "tiny", tmp_path, figures))
    ((network, cells),) = table.rows
    assert network == "4 units"
    assert [dataclasses.astuple(cell) for cell in cells] == [
        ("50.0%", "75.0%", "+25.0"),
        ("25.0%", "20.0%", "-5.0"),
        ("2.00e-03", "1.00e-03", "× 0.5"),
    ]


def test_several_seeds_give_a_mean_and_a_deviation(study, tmp_path):
    figures = {("small", "clean"): [{"plain.clean": 0.7}, {"plain.clean": 0.9}]}
    (table,) = study_tables(study, filled(study, "twice", tmp_path, figures))
    assert table.rows[0][1][0].ours == "80.0% ± 14.1%"


def test_a_difference_is_taken_within_a_seed(study, tmp_path):
    less = {"condition": "fgsm", "figure": "plain.accuracy"}
    gain = Measured(condition="fgsm", figure="averaged.accuracy", less=Measured(**less))
    figures = {
        ("small", "fgsm"): [
            {"averaged.accuracy": 0.9},  # the other figure is missing here
            {"averaged.accuracy": 0.5, "plain.accuracy": 0.4},
        ]
    }
    found = filled(study, "twice", tmp_path, figures)
    assert found.values("small", gain) == pytest.approx([0.1])


def test_a_network_is_looked_up_once_a_run(study, tmp_path, monkeypatch):
    asked = []
    train = engine.run_training

    def counted_training(plan, name, *args, **options):
        asked.append(name.partition("-")[0])
        return train(plan, name, *args, **options)

    monkeypatch.setattr(engine, "run_training", counted_training)
    run_study(study, "tiny", tmp_path / "out", tmp_path / "results")
    assert asked == ["small", "large"]


def test_claims_hold_fail_or_are_not_yet_known(study, tmp_path):
    nothing = check_claims(study, Finished(cells_of(study, "tiny"), tmp_path / "none"))
    assert [claim.holds for claim in nothing] == [None, None]
    figures = {
        ("small", "clean"): {"plain.clean": 0.5},
        ("large", "clean"): {"plain.clean": 0.8},
    }
    found = check_claims(study, filled(study, "tiny", tmp_path / "a", figures))
    assert [claim.holds for claim in found] == [True, None]
    assert found[0].checks[0].numbers == {"4 units": "50.0%", "32 units": "80.0%"}
    figures[("large", "clean")] = {"plain.clean": 0.4}
    found = check_claims(study, filled(study, "tiny", tmp_path / "b", figures))
    assert found[0].holds is False


CHECKS = {
    "rising": ([0.1, 0.2, 0.3], True),
    "rising, equal ends": ([0.2, 0.2, 0.2], False),
    "rising, a slip within tolerance": ([0.1, 0.095, 0.3], True),
    "rising, a slip beyond it": ([0.1, 0.05, 0.3], False),
    "rising, slips that add up": ([0.1, 0.095, 0.088, 0.3], False),
    "rising, not far enough": ([0.1, 0.12, 0.14], False),
    "rising, too far": ([0.1, 0.3, 0.9], False),
    "falling": ([0.3, 0.2, 0.1], True),
    "falling, turned round": ([0.1, 0.2, 0.3], False),
    "within": ([0.1, -0.15], True),
    "within, one outside": ([0.1, -0.16], False),
    "least": ([0.1, 0.2], True),
    "least, another": ([0.2, 0.1], False),
    "second greatest": ([0.2, 0.1, 0.3], True),
    "second greatest, the first": ([0.3, 0.1, 0.2], False),
    "leap": ([0.2, 0.1, 0.3], False),
    "leap, to the second": ([0.1, 0.3, 0.4], True),
    "leap, never up": ([0.3, 0.2, 0.1], False),
    "below": ([0.1, 0.15], True),
    "below, one above": ([0.1, 0.16], False),
    "above": ([0.15, 0.2], True),
    "greatest": ([0.3, 0.2], True),
    "greatest, another": ([0.2, 0.3], False),
}


@pytest.mark.parametrize(("values", "holds"), CHECKS.values(), ids=CHECKS)
def test_a_check_compares_what_its_kind_says(values, holds, request):
    from tfrobust.study.results.claims import _holds
    from tfrobust.study.schema.outputs import Check

    kind = request.node.callspec.id.partition(",")[0]
    networks = [f"n{k}" for k in range(len(values))]
    check = Check(
        kind=kind.removeprefix("second "),
        value={"condition": "c", "figure": "f"},
        networks=networks,
        tolerance=0.01,
        by=0.05,
        at_most=0.7,
        place=2 if kind.startswith("second") else 1,
        bound=0.15,
        winners=("n1" if kind == "leap" else "n0",),
    )
    assert _holds(check, dict(zip(networks, values, strict=True))) is holds


def test_the_papers_own_figures_are_checked_too():
    study, _ = find_study("quantized-dropout")
    papers = in_paper(study)
    assert papers["full", "clean", "multi.clean"] == 0.994
    claims = check_claims(study, Finished([], None))
    assert [claim.holds for claim in claims] == [None] * 6
    assert [claim.in_paper for claim in claims] == [True] * 6


def test_a_network_that_looks_robust_and_falls_is_named(study, tmp_path):
    figures = {
        ("small", "clean"): {"plain.clean": 0.6},
        ("small", "fgsm"): {"plain.accuracy": 0.05},
        ("large", "clean"): {"plain.clean": 0.6},
        ("large", "fgsm"): {"plain.accuracy": 0.2},
    }
    ((rule, found),) = verdicts(study, filled(study, "tiny", tmp_path, figures))
    assert rule.title == "At 0.2"
    assert {each.naive_range for each in found} == {""}
    assert [(each.network, each.masked) for each in found] == [
        ("4 units", True),
        ("32 units", False),
    ]


def test_no_verdict_is_given_before_every_attack_is_known(study, tmp_path):
    figures = {("small", "clean"): {"plain.clean": 0.6}, ("large", "fgsm"): {"plain.accuracy": 0.2}}
    ((_, found),) = verdicts(study, filled(study, "tiny", tmp_path, figures))
    assert found == []


def test_the_report_has_tables_claims_verdicts_and_pictures(finished, study, tmp_path):
    cells = Finished(cells_of(study, "tiny"), finished / "results")
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
    assert "<script" not in html
    assert "http" not in html.replace("http://www.w3.org", "")


def test_costs_tell_what_is_left(finished, study, tmp_path):
    before, _ = costs(study, tmp_path / "none")
    after, _ = costs(study, finished / "results")
    assert (before.cells, before.finished, before.trainings, before.left) == (4, 0, 2, 1.0)
    assert (after.finished, after.trainings, after.left) == (4, 0, 0.0)
    assert after.spent > 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "Table 1"', 'titel = "Table 1"', r"tables\.0\.title: Field required"),
        ("minutes = 1", "minutes = 1\nhours = 2", r"scales\.tiny\.hours: Extra inputs"),
        ('crafted_on = "plain"', 'crafted_on = "plane"', r"'plane' is not .*did you mean 'plain'"),
        ('condition = "clean"', 'condition = "cleen"', r"'cleen' is not declared"),
        ("small = [0.5, 0.25, 2e-3]", "small = [0.5]", r"paper\.small: expected 3 figures"),
        ("[scales.tiny]", "[scales.tiny", r"cannot be read"),
        (
            'figure = "averaged.accuracy"',
            'figure = "averaged.acuracy"',
            r"did you mean 'averaged.acc",
        ),
        ('figure = "plain.clean"', 'figure = "plane.clean"', r"did you mean 'plain.clean'"),
        ('detector = "variance_threshold", low', 'detector = "mixture", low', r"'mixture' is not"),
        ("options = { fgsm = {", "options = { fgsmm = {", r"'fgsmm' is not .*did you mean 'fgsm'"),
        ("bound = -1.0\n", "", r"kind 'above' needs a bound"),
    ],
)
def test_a_mistake_in_a_study_file_costs_one_line(old, new, said, tmp_path):
    with pytest.raises(UsageError, match=said) as refusal:
        written(tmp_path, STUDY.replace(old, new, 1))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
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
def test_a_mistake_in_a_plugin_costs_no_training(old, new, said, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "run_training", lambda *_: pytest.fail("trained"))
    wrong = STUDY.replace("options = { fgsm = { eps = 0.2 } }", "").replace(old, new, 1)
    with pytest.raises(UsageError, match=said):
        run_study(written(tmp_path, wrong), "tiny", tmp_path / "out", tmp_path / "results")


SWEPT = STUDY.replace(
    '[conditions.clean]\ntitle = "clean"\njudged = ["plain"]',
    """[conditions.clean]
title = "clean"
judged = ["plain"]
[conditions.noise]
title = "noise"
attack = { name = "white_to_black" }
sweep = { option = "count", values = [0, 5, 20], averaged = [5, 20] }
within = { norm = "l0", distance = 5 }
judged = ["plain"]
images = 20
[[curves]]
title = "Figure 2"
panels = [{ title = "White to black", condition = "noise" }]
figure = "plain.accuracy"
networks = ["small", "large"]
xlabel = "generations"
[[tables]]
title = "Noise"
columns = [
    { title = "5", condition = "noise", figure = "plain.accuracy@5" },
    { title = "20", condition = "noise", figure = "plain.accuracy@20" },
]
paper = { small = [0.6, 0.2] }""",
)


def test_a_sweep_has_a_figure_for_each_value_and_their_mean(tmp_path):
    study = written(tmp_path, SWEPT)
    found = run_study(study, "tiny", tmp_path / "out", tmp_path / "results")
    (result,) = found.of("small", "noise")
    at = {name: result.figures[f"plain.accuracy@{name}"] for name in ("0", "5", "20", "mean")}
    assert at["0"] == result.figures["plain.clean"]
    assert at["20"] <= at["0"]
    assert at["mean"] == pytest.approx((at["5"] + at["20"]) / 2)
    assert round(at["5"] * 20) == pytest.approx(at["5"] * 20)  # of twenty images
    near = {name: result.figures[f"plain.accuracy_within@{name}"] for name in ("5", "20")}
    assert near["5"] == at["5"]  # five generations change five pixels at most
    assert near["20"] >= at["20"]
    write_study(study, "tiny", found, tmp_path / "out")
    assert "![Figure 2](figure-1.svg)" in (tmp_path / "out" / "report.md").read_text()


def test_a_sweep_may_be_given_by_its_ends_and_its_step(tmp_path):
    by_ends = "values = { first = 0, last = 20, step = 5 }, averaged"
    ends = written(tmp_path, SWEPT.replace("values = [0, 5, 20], averaged", by_ends))
    assert ends.conditions["noise"].sweep.values == (0, 5, 10, 15, 20)


def test_a_scale_may_look_at_fewer_images_under_a_condition_and_says_so(tmp_path):
    fewer = written(tmp_path, SWEPT.replace("images = 30", "images = 30\nimages_of = { fgsm = 9 }"))
    cells = cells_of(fewer, "tiny")
    assert {cell.condition_name: cell.images for cell in cells} == {
        "clean": 30, "noise": 20, "fgsm": 9,
    }  # fmt: skip
    write_study(fewer, "tiny", Finished(cells, tmp_path / "results"), tmp_path / "out")
    for kind in ("md", "html"):
        text = (tmp_path / "out" / f"report.{kind}").read_text()
        assert "30 test images of digits (20 under noise; 9 under FGSM)" in text


def test_the_papers_sweeps_have_their_mean_too(tmp_path):
    papers = in_paper(written(tmp_path, SWEPT))
    assert papers["small", "noise", "plain.accuracy@mean"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("values = [0, 5, 20]", "values = []", r"conditions\.noise\.sweep\.values"),
        ("averaged = [5, 20]", "averaged = [6]", r"averaged: '6' is not declared"),
        ("values = [0, 5, 20]", "values = { first = 0, last = 9 }", r"sweep\.values.*step"),
        ("images = 30", "images = 30\nimages_of = { fgsn = 3 }", r"'fgsn' is not declared"),
        (
            "images = 30",
            "images = 30\nscenario_options = { digit = { size = 9 } }",
            r"'digit' is not declared; did you mean 'digits'",
        ),
        ("accuracy@20", "accuracy@30", r"'plain.accuracy@30' is not declared"),
        ('condition = "noise" }]', 'condition = "clean" }]', r"'clean' has no sweep"),
    ],
)
def test_a_mistake_in_a_sweep_costs_one_line(old, new, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        written(tmp_path, SWEPT.replace(old, new, 1))


def test_unknown_studies_and_scales_name_the_nearest(study):
    with pytest.raises(UsageError, match=r"no study 'quantised-dropout'; did you mean 'quantized"):
        find_study("quantised-dropout")
    with pytest.raises(UsageError, match=r"no scale 'papers'; did you mean 'paper'"):
        cells_of(find_study("quantized-dropout")[0], "papers")


def test_every_bundled_study_can_be_read():
    for name in studies():
        study, path = find_study(name)
        assert path.stem == name
        assert {"paper", "laptop", "smoke"} <= set(study.scales)
        assert all(cells_of(study, scale) for scale in study.scales)
