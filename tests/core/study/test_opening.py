"""The lines that reports open with, and the page over all studies."""

import pytest

from helpers.small_study import SMALL, finished_by_hand
from tfrobust.errors import UsageError
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.results import overview
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.opening import opening
from tfrobust.study.results.overview import overviewed, write_overview
from tfrobust.study.results.remaining import costs
from tfrobust.study.results.report import write_study

SUMMARY = """
[summary]
paper = "Nobody is right on {small: clean plain.clean}."
found = "{small, large: clean plain.clean} are right, {*: fgsm plain.accuracy} after FGSM."
why = "Averages gain {small: fgsm averaged.accuracy less fgsm plain.accuracy}."
survives = "A mean of {small: fgsm averaged.variance_threshold.clean_mean}."
[scales.tiny]"""
FIGURES = {
    ("small", "clean"): {"plain.clean": 0.5},
    ("large", "clean"): {"plain.clean": 0.75},
    ("small", "fgsm"): {
        "plain.accuracy": 0.25,
        "averaged.accuracy": 0.265,
        "averaged.variance_threshold.clean_mean": 2e-3,
    },
}


def with_summary(folder, text=SUMMARY):
    return SMALL.written(folder, SMALL.text.replace("\n[scales.tiny]", text, 1))


def test_figures_of_the_opening_lines_are_looked_up(tmp_path):
    study = with_summary(tmp_path)
    lines = opening(study, "tiny", finished_by_hand(study, "tiny", tmp_path, FIGURES))
    assert lines[:4] == [
        ("What the paper says", "Nobody is right on 50.0 %."),
        ("What we find", "50.0 to 75.0 % are right, 25.0 % after FGSM."),
        ("Why they differ", "Averages gain 1.5 points."),
        ("What survives an attacker who knows", "A mean of 2.00e-03."),
    ]
    assert lines[4] == (
        "How far to trust it",
        "Scale tiny: one training of each network, 30 test images; 3 of 4 cells. All are from code "
        "that is not known.",
    )


def test_a_figure_that_is_not_computed_is_a_dash_and_a_scale_may_say_its_own(tmp_path):
    study = with_summary(tmp_path)
    lines = opening(study, "tiny", Lookup(cells_of(study, "tiny"), tmp_path))
    assert lines[0][1] == "Nobody is right on –."
    own = SUMMARY.replace("[summary]", "[scales.tiny.summary]", 1).removesuffix("[scales.tiny]")
    text = SMALL.text.replace("[scales.twice]", own + 'trust = "None."\n[scales.twice]', 1)
    study = SMALL.written(tmp_path, text)
    lookup = Lookup(cells_of(study, "tiny"), tmp_path)
    assert opening(study, "tiny", lookup)[-1] == ("How far to trust it", "None.")
    assert [heading for heading, _ in opening(study, "twice", lookup)] == ["How far to trust it"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{small: clean plain.clean}", "{smal: clean plain.clean}", "did you mean 'small'"),
        ("{small: clean plain.clean}", "{small: clear plain.clean}", "did you mean 'clean'"),
        ("{small: clean plain.clean}", "{small: clean plain.cleen}", "did you mean 'plain.clean'"),
        ("{small: clean plain.clean}", "{small plain.clean}", "expected {NETWORK: CONDITION"),
        ("{small: clean plain.clean}", "{small: clean plain.clean", "a brace has no partner"),
        ('survives = "A', 'paper2 = "', "Extra inputs|Field required"),
    ],
)
def test_a_mistake_in_a_summary_costs_one_line(old, new, message, tmp_path):
    with pytest.raises(UsageError, match=message) as refusal:
        with_summary(tmp_path, SUMMARY.replace(old, new, 1))
    assert "\n" not in str(refusal.value)


def test_nothing_is_said_to_be_reduced_only_where_all_was_computed(tmp_path):
    text = SMALL.text.replace("minutes = 1", 'minutes = 1\nreduced = ["Nothing; as it is"]', 1)
    study = SMALL.written(tmp_path, text)
    lookup = finished_by_hand(study, "tiny", tmp_path, FIGURES)
    assert "Nothing" not in opening(study, "tiny", lookup)[-1][1]
    figures = FIGURES | {("large", "fgsm"): {"plain.accuracy": 0.25}}
    lookup = finished_by_hand(study, "tiny", tmp_path, figures)
    assert "Nothing; as it is" in opening(study, "tiny", lookup)[-1][1]


def test_reports_open_with_the_lines_and_hide_formulas_behind_a_disclosure(tmp_path):
    study = with_summary(tmp_path)
    lookup = finished_by_hand(study, "tiny", tmp_path, FIGURES)
    write_study(study, "tiny", lookup, tmp_path)
    text, page = ((tmp_path / f"report.{kind}").read_text() for kind in ("md", "html"))
    assert "- **What we find:** 50.0 to 75.0 % are right" in text
    for content in (text, page):
        before, _, hidden = content.partition("<details><summary>How it is checked</summary>")
        assert "clean; rising from first to last" in hidden.partition("</details>")[0]
        assert "rising" not in before
        assert "clean, plain, clean accuracy: 4 units 50.0 %, 32 units 75.0 %" in before
    assert text.index("In short") < text.index("## Claims")


def test_one_page_shows_every_study_claim_by_claim_with_links(tmp_path, monkeypatch):
    study, broken = with_summary(tmp_path), []
    lookup = finished_by_hand(study, "tiny", tmp_path / "results", FIGURES)
    write_study(study, "tiny", lookup, tmp_path / "results/small-study/tiny")
    (tmp_path / "odd.toml").write_text("title =")
    files = {"small-study": tmp_path / "small-study.toml", "odd": tmp_path / "odd.toml"}
    monkeypatch.setattr(overview, "studies", lambda: files)
    monkeypatch.setattr(overview, "find_study", lambda name: find(files[name]))
    shown = overviewed(broken=broken.append)
    assert [(one.study.name, one.scale, one.counts) for one in shown] == [
        ("small-study", "tiny", "1 holds, 1 cannot be judged")
    ]
    assert "odd.toml" in str(broken[0])
    page = write_overview(shown, tmp_path / "out")
    assert page == tmp_path / "out/studies.html"
    for kind in ("md", "html"):
        content = (tmp_path / f"out/studies.{kind}").read_text()
        assert f"../results/small-study/tiny/report.{kind}" in content
        assert "Larger is better." in content
        assert "a single seed" in content
    assert "A &lt;small&gt; study" in page.read_text()


def test_cells_of_an_earlier_declaration_are_counted_and_judge_nothing(tmp_path, monkeypatch):
    study, results = with_summary(tmp_path), tmp_path / "results"
    lookup = finished_by_hand(study, "tiny", results, FIGURES)
    write_study(study, "tiny", lookup, results / "small-study/tiny")
    text = SMALL.text.replace("images = 30", "images = 40", 1)
    study, file = SMALL.written(tmp_path, text), tmp_path / "small-study.toml"
    tiny, twice = costs(study, results)
    assert (tiny.finished, tiny.earlier, twice.earlier) == (0, 3, 0)
    monkeypatch.setattr(overview, "studies", lambda: {"small-study": file})
    monkeypatch.setattr(overview, "find_study", lambda name: find(file))
    [shown] = overviewed()
    assert (shown.scale, shown.claims, shown.earlier) == ("tiny", [], 3)
    write_overview([shown], tmp_path / "out")
    for kind in ("md", "html"):
        content = (tmp_path / f"out/studies.{kind}").read_text()
        assert "0 of 4 cells; 3 cells of an earlier declaration" in content
        assert f"results/small-study/tiny/report.{kind}" in content
        assert "Larger is better." not in content


def test_the_opening_says_where_networks_are_trained_from_different_numbers_of_seeds(tmp_path):
    text = SMALL.text.replace("images = 30", "images = 30\nseeds = [0, 1, 2]\nSEEDS_OF", 1)
    for seeds_of, told in (("", "three"), ("seeds_of = { large = [0] }", "one to three")):
        study = SMALL.written(tmp_path, text.replace("SEEDS_OF", seeds_of))
        lookup = Lookup(cells_of(study, "tiny"), tmp_path)
        assert f"Scale tiny: {told} trainings of each" in opening(study, "tiny", lookup)[-1][1]


def find(path):
    from tfrobust.study.schema.files import read_study

    return read_study(path), path
