"""Classifiers ranked: what is shown of each, and what may not stand side by side."""

import json

import numpy as np
import pytest

from helpers.rounding import Shadowing
from helpers.support import InMemory
from tfrobust.classifier import AppliedDefense
from tfrobust.errors import StoreError, UsageError
from tfrobust.evaluation.runs import run as evaluate_to
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.leaderboard import Leaderboard, leaderboard, run
from tfrobust.leaderboard.model_info import budget, model_info
from tfrobust.leaderboard.page import headline, lit_headline
from tfrobust.pipeline.build import defended
from tfrobust.registry import create
from tfrobust.results.diagnosis import Diagnosis
from tfrobust.results.findings import Finding
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.proportions import Proportion
from tfrobust.testing import small_classifier
from tfrobust.training.trainer import Trainer

SHAPE = (4, 4, 1)
SCENARIO = InMemory(images=40)


def fgsm(*budgets):
    return [create("attacks", "fgsm", eps=eps) for eps in budgets]


def evaluated(folder, attacks, *, images=None, **classifiers):
    settings = EvaluationSettings(
        classifiers=classifiers,
        scenario=SCENARIO,
        attacks=attacks,
        baselines=(),
        adaptive=(),
        limit=images,
    )
    evaluate_to(settings, folder)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs: a plain classifier, and one whose gradient points away."""
    folder = tmp_path_factory.mktemp("runs")
    plain = small_classifier(SHAPE, 3)
    shadowed = defended(plain, [Shadowing()], SCENARIO, Trainer())
    attacks = [*fgsm(0.1, 0.3), create("attacks", "square", eps=0.3, queries=20)]
    evaluated(folder / "plain", attacks, plain=plain)
    evaluated(folder / "shadowed", attacks, shadowed=shadowed)
    return folder


def test_a_board_counts_what_every_attack_together_leaves(runs):
    small, large = leaderboard([runs]).boards
    assert (small.eps, large.eps) == (0.1, 0.3)
    entries = {entry.classifier: entry for entry in large.entries}
    assert set(entries["plain"].worst) == {"white box", "black box"}
    assert set(entries["shadowed"].worst) == {"white box", "black box", "adaptive"}
    for name, entry in entries.items():
        outcomes = Outcomes.read(runs / name)
        alive = outcomes.column("e0_clean") == outcomes.column("label")
        for column in ("e0_a1", "e0_a2", *(["e0_x1"] if name == "shadowed" else [])):
            alive &= outcomes.column(f"{column}_prediction") == outcomes.column("label")
        assert entry.robust.accuracy == pytest.approx(alive.mean())
        assert entry.robust.accuracy <= min(kind.accuracy for kind in entry.worst.values())
    shadowed = entries["shadowed"]
    assert shadowed.worst["adaptive"].accuracy < shadowed.worst["white box"].accuracy


def test_the_most_robust_stands_first_and_equals_share_a_place(runs):
    for board in leaderboard([runs / "plain", runs / "shadowed"]).boards:
        accuracies = [entry.robust.accuracy for entry in board.entries]
        assert accuracies == sorted(accuracies, reverse=True)
        assert board.rank(board.entries[0]) == 1


def diagnosis(verdict, **changes):
    """Return a diagnosis of `plain` at 0.1 with one finding."""
    finding = Finding(check="gradients", source="", verdict=verdict, cause="no gradient", says="")
    nothing = {"accuracy": 0.0, "interval": (0.0, 0.1)}
    some = {"accuracy": 0.1, "interval": (0.0, 0.2)}
    return Diagnosis(
        classifier="plain", scenario="in_memory", split="test", images=40, seed=0, norm="linf",
        eps=0.1, attack="pgd", params={}, thorough=False, clean=some, attacked=some,
        lowest=nothing, findings=[finding], gradients_per_image=1, queries_per_image=1, seconds=1,
    ).model_copy(update=changes)  # fmt: skip


def certification(accuracy, **changes):
    """Return a certification of `plain` at 0.1."""
    nothing = {"mean": None, "median": None}
    certificate = {
        "name": "crown", "params": {}, "norm": "linf", "certified": accuracy, "abstained": 0.0,
        "within": [{"eps": 0.1, "accuracy": accuracy, "interval": (0.0, 1.0)}], "radius": nothing,
        "average_radius": 0.1, "contradictions": 0, "seconds": 1.0,
    } | changes  # fmt: skip
    scenario = {"name": "in_memory", "shift": None, "split": "test", "images": 40, "seed": 0}
    return {
        "format": "tfrobust/certification", "version": 1, "environment": {},
        "certifications": [{
            "classifier": {"name": "plain", "path": "", "num_classes": 3, "image_shape": SHAPE,
                           "defenses": []},
            "scenario": scenario, "clean": {"accuracy": 0.5, "interval": (0.4, 0.6)},
            "certificates": [certificate],
        }],
    }  # fmt: skip


def certified_entries(runs, folder, record):
    (folder / "certificates.json").write_text(json.dumps(record))
    return {entry.classifier: entry for entry in leaderboard([runs, folder]).boards[0].entries}


def test_a_certification_of_the_same_images_is_shown_beside(runs, tmp_path):
    entries = certified_entries(runs, tmp_path, certification(0.025))
    assert entries["plain"].certified.accuracy == 0.025
    assert entries["shadowed"].certified is None
    other = certification(0.025, norm="l2")
    assert certified_entries(runs, tmp_path, other)["plain"].certified is None
    of_noise = certification(0.025, variant="+ noise σ=0.25")
    assert certified_entries(runs, tmp_path, of_noise)["plain"].certified is None
    other = certification(0.025)
    other["certifications"][0]["scenario"]["images"] = 41
    assert certified_entries(runs, tmp_path, other)["plain"].certified is None


def test_a_certificate_above_what_attacks_leave_is_refused(runs, tmp_path):
    with pytest.raises(UsageError, match=r"crown proves 100\.0% of plain, and the attacks of"):
        certified_entries(runs, tmp_path, certification(1.0))
    by_chance = certification(1.0, confidence=0.999)
    assert certified_entries(runs, tmp_path, by_chance)["plain"].certified.accuracy == 1.0


@pytest.mark.parametrize("verdict", ["fine", "masked"])
def test_a_diagnosis_of_the_same_ball_is_shown_and_what_is_masked_stands_last(
    runs, tmp_path, verdict
):
    (tmp_path / "diagnosis.json").write_text(diagnosis(verdict).to_json())
    small, large = leaderboard([runs, tmp_path]).boards
    entries = {entry.classifier: entry for entry in small.entries}
    assert {entry.diagnosed for entry in (*large.entries, entries["shadowed"])} == {None}
    assert entries["plain"].diagnosed.verdict == verdict
    assert entries["plain"].model_info["unreliable"] == (verdict == "masked")
    if verdict == "masked":
        assert small.entries[-1].classifier == "plain"
    lit = lit_headline(leaderboard([runs, tmp_path]))
    assert (
        lit.light == {"fine": "none", "masked": "bad"}[verdict]
    )  # one place of four was diagnosed
    assert lit.trust.startswith("Of 4 places on the boards 1 were diagnosed")


def test_the_headline_tells_of_every_board(runs):
    boards = leaderboard([runs])
    says = headline(boards)
    for board in boards.boards:
        assert f"{board.entries[0].classifier} " in says
        assert f"at L∞ ≤ {board.eps:g} of " in says
    many = boards.model_copy(update={"boards": boards.boards * 4})
    assert headline(many).endswith("; 4 more boards below")


@pytest.mark.parametrize(
    "changes",
    [
        {"chosen": True},
        {"shift": "fog"},
        {"defenses": [AppliedDefense("feature_squeezing", {})]},
        {"eps": 0.2},
    ],
    ids=str,
)
def test_a_diagnosis_of_something_else_is_not_shown(runs, tmp_path, changes):
    (tmp_path / "diagnosis.json").write_text(diagnosis("masked", **changes).to_json())
    [board, _] = leaderboard([runs / "plain", tmp_path]).boards
    assert board.entries[0].diagnosed is None


def test_what_was_spared_the_attacks_that_know_it_is_not_ranked_with_others(runs, tmp_path):
    shadowed = defended(small_classifier(SHAPE, 3), [Shadowing()], SCENARIO, Trainer())
    attacks = [*fgsm(0.1, 0.3), create("attacks", "square", eps=0.3, queries=20)]
    settings = EvaluationSettings(
        classifiers={"spared": shadowed}, scenario=SCENARIO, attacks=attacks, baselines=()
    )
    evaluate_to(settings, tmp_path / "spared")
    with pytest.raises(UsageError, match=r"spared of .* was not attacked by those who know"):
        leaderboard([runs, tmp_path / "spared"])
    leaderboard([runs / "plain", tmp_path / "spared"])  # whose defences declare nothing


def test_noise_is_no_black_box_attack(tmp_path):
    noise = create("attacks", "gaussian_noise", eps=0.1)
    folder = evaluated(tmp_path / "run", [*fgsm(0.1), noise], one=small_classifier(SHAPE, 3))
    [entry] = leaderboard([folder]).boards[0].entries
    assert "noise" in entry.worst or len(leaderboard([folder]).boards) > 1
    assert all("black box" not in e.worst for b in leaderboard([folder]).boards for e in b.entries)


def test_budgets_that_differ_by_rounding_are_one(tmp_path):
    one = evaluated(tmp_path / "one", fgsm(8 / 255), one=small_classifier(SHAPE, 3))
    other = evaluated(tmp_path / "other", fgsm(0.031372549), other=small_classifier(SHAPE, 3))
    [board] = leaderboard([one, other]).boards
    assert len(board.entries) == 2
    assert {board.rank(entry) for entry in board.entries} == {1}  # the same classifier twice


def test_robustbench_fields_are_percent_in_text(runs):
    [entry] = leaderboard([runs / "plain"]).boards[0].entries
    assert entry.model_info["clean_acc"] == f"{100 * entry.clean.accuracy:.2f}"
    assert entry.model_info["autoattack_acc"] is None
    info = model_info(entry, "digits", 0.3, Proportion(accuracy=0.125, interval=(0.0, 1.0)))
    assert info["autoattack_acc"] == "12.50"
    assert (budget(8 / 255), budget(0.3), budget(1.5)) == ("8/255", "0.3", "1.5")


@pytest.mark.parametrize(
    ("attacks", "images", "differs"),
    [
        ([*fgsm(0.1, 0.3), create("attacks", "square", eps=0.3, queries=20)], 20, "images 40 and"),
        pytest.param(
            fgsm(0.1, 0.3),
            None,
            "only one of them was under square L∞ ≤ 0.3",
            marks=pytest.mark.slow,
        ),
        (
            [*fgsm(0.1, 0.3), create("attacks", "square", eps=0.3, queries=21)],
            None,
            "square L∞ ≤ 0.3 had other options",
        ),
    ],
)
def test_what_was_not_evaluated_alike_is_not_ranked(runs, tmp_path, attacks, images, differs):
    other = evaluated(tmp_path / "other", attacks, images=images, other=small_classifier(SHAPE, 3))
    with pytest.raises(UsageError, match="were not evaluated alike") as refused:
        leaderboard([runs / "plain", other])
    assert differs in str(refused.value)


def test_a_classifier_stands_once_on_a_board(runs):
    with pytest.raises(UsageError, match=r"plain stands in .* leave one of them out"):
        leaderboard([runs / "plain", runs])


def test_a_folder_without_results_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: holds no results"):
        leaderboard([tmp_path / "empty"])
    with pytest.raises(UsageError, match="missing: holds no results"):
        leaderboard([tmp_path / "missing"])


def test_a_damaged_run_is_refused(runs, tmp_path):
    folder = evaluated(tmp_path / "run", fgsm(0.1), one=small_classifier(SHAPE, 3))
    text = (folder / "results.json").read_text()
    (folder / "results.json").write_text(text.replace('"accuracy": 0', '"accuracy": 7', 1))
    with pytest.raises(StoreError, match=r"results\.json"):
        leaderboard([folder])


def test_the_page_escapes_names_and_runs_one_script_of_its_own(runs, tmp_path):
    evil = "<img src=x onerror=alert(1)>"
    folder = evaluated(tmp_path / "run", fgsm(0.1), **{evil: small_classifier(SHAPE, 3)})
    boards = run([folder], tmp_path / "board")
    page = (tmp_path / "board/leaderboard.html").read_text(encoding="utf-8")
    assert evil not in page
    assert page.count("<script") == 1
    assert "script-src 'sha256-" in page
    assert "://" not in page.replace("http://www.w3.org", "")
    written = json.loads((tmp_path / "board/leaderboard.json").read_text())
    assert Leaderboard.model_validate(written) == boards


def test_results_of_an_older_version_tell_no_size(runs, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    for name in ("outcomes.parquet", "examples.npz"):
        (folder / name).write_bytes((runs / "plain" / name).read_bytes())
    record = json.loads((runs / "plain/results.json").read_text())
    for evaluation in record["evaluations"]:
        del evaluation["classifier"]["megabytes"], evaluation["classifier"]["passes"]
    (folder / "results.json").write_text(json.dumps(record))
    [entry] = leaderboard([folder]).boards[0].entries
    assert (entry.megabytes, entry.passes) == (None, 1)
    assert np.isfinite(entry.robust.accuracy)
