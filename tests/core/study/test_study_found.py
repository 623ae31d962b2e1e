"""Studies of networks that are compared with their base, and of their defences' figures."""

import numpy as np
import pytest

from helpers.study_runs import StudyFile, cell_of, check_figures
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.cells.result_file import read_cell
from tfrobust.study.results.claims import check_claims
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.report import write_study
from tfrobust.study.schema.files import find_study

STUDY = """
title = "A study of retraining"
source = "Nobody"
about = "Digits."
[scales.tiny]
scenario = "digits"
images = 60
train = { epochs = 1 }
train_of = { seen = { epochs = 2 } }
minutes = 1
[scales.tiny.defense_options]
seen = { retraining = { adversarial_images = 50 } }
[networks.line]
title = "Line"
model = "linear"
train = { epochs = 3 }
[networks.seen]
title = "Line that has seen FGSM"
base = "line"
found = ["label_accuracy", "adversarial_images"]
defenses = [{ name = "retraining", options = { attack = "fgsm", labels = "network" } }]
[views.before]
title = "before"
instead = "{base}"
[views.plain]
title = "after"
[conditions.again]
title = "FGSM"
attack = { name = "fgsm", options = { eps = 0.3 } }
crafted_on = "before"
judged = ["before", "plain"]
networks = ["seen"]
exhibits = 3
[[tables]]
title = "Table"
columns = [
    { title = "labels", condition = "again", figure = "plain.label_accuracy" },
    { title = "fooled", condition = "again", figure = "before.fooling_ratio" },
    { title = "fooled again", condition = "again", figure = "plain.fooling_ratio" },
]
[tables.paper]
seen = [0.9, 0.8, 0.2]
[[claims]]
text = "It is fooled less."
[[claims.checks]]
kind = "below"
networks = ["seen"]
bound = 0.3
unit = "number"
[claims.checks.value]
condition = "again"
figure = "plain.fooling_ratio"
over = { condition = "again", figure = "before.fooling_ratio" }
[[galleries]]
title = "Gallery"
condition = "again"
rows = [{ title = "FGSM", network = "seen", view = "before" }]
"""


FILE = StudyFile("retrained", STUDY)
written = FILE.written


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study, run once: its folder, and the networks in the order they were trained."""
    folder, trained = FILE.run(tmp_path_factory)
    return folder, [name for name, _ in trained]


@pytest.fixture
def kept(done):
    return read_cell(cell_of(written(done[0]), "seen", "again"), done[0] / "results")


def test_a_base_that_is_judged_is_trained_first(done):
    assert done[1] == ["line", "seen"]


def test_the_figures_of_a_defence_are_among_the_figures_of_the_cell(kept):
    assert kept.figures["plain.adversarial_images"] == 50
    assert 0 <= kept.figures["plain.label_accuracy"] < 1  # FGSM fools the network that labels
    assert "before.label_accuracy" not in kept.figures


def test_images_crafted_on_the_base_fool_it_and_are_kept(kept):
    assert kept.figures["before.fooling_ratio"] > 0.5
    original, attacked = (np.array(kept.exhibits[name]) for name in ("original", "before"))
    assert original.shape == (3, 8, 8, 1)
    assert abs(attacked - original).max() == pytest.approx(300, abs=1)
    # Both networks received the same images.
    np.testing.assert_array_equal(attacked, kept.exhibits["plain"])


def test_options_of_one_network_at_a_scale_leave_the_others_alone(done):
    cell = cell_of(written(done[0]), "seen", "again")
    assert cell.training["train"]["epochs"] == 2
    assert cell.base.training["train"]["epochs"] == 3
    assert cell.training["defenses"][0]["options"] == {
        "attack": "fgsm",
        "labels": "network",
        "adversarial_images": 50,
    }


def test_options_of_a_scale_reach_the_attack_inside_a_defence(tmp_path):
    text = STUDY.replace("images = 60", 'images = 60\noptions = { fgsm = { norm = "l2" } }')
    cell = cell_of(written(tmp_path, text), "seen", "again")
    assert cell.training["defenses"][0]["options"]["options"] == {"norm": "l2"}
    assert cell.plugin(cell.condition.attack).options == {"eps": 0.3, "norm": "l2"}


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_seen_attacks_of_the_study_retraining_are_those_that_its_networks_collected(scale):
    study, _ = find_study("retraining")
    compared = set()
    for cell in cells_of(study, scale):
        for defense in cell.defenses:
            shown, collected = cell.condition.attack, defense.options.get("attack")
            if cell.condition_name.endswith("seen") and collected == shown.name:
                options = defense.options.get("options", {})
                assert create("attacks", collected, **options) == create(
                    "attacks", shown.name, **cell.plugin(shown).options
                )
                compared.add(cell.network_name)
    assert len(compared) == {"smoke": 1, "laptop": 15, "paper": 29}[scale]


def test_every_declared_figure_is_measured_and_every_measured_one_is_declared(done):
    also_found = {
        "accuracy_on_them", "broken_images", "fooling_images", "label_accuracy_without_originals",
        "unchanged_images",
    }  # fmt: skip
    check_figures(written(done[0]), done[0] / "results", also_found)


def test_a_claim_may_be_of_a_ratio(done, kept):
    study = written(done[0])
    (claim,) = check_claims(study, Lookup(cells_of(study, "tiny"), done[0] / "results"))
    ratio = kept.figures["plain.fooling_ratio"] / kept.figures["before.fooling_ratio"]
    assert claim.holds == (ratio <= 0.3)
    assert claim.in_paper  # 0.2 ÷ 0.8
    assert "FGSM after: fooling ratio, ÷ FGSM before: fooling ratio; ≤ 0.3" in claim.checks[0].what


def test_attacked_images_are_drawn(done, tmp_path):
    study = written(done[0])
    finished = Lookup(cells_of(study, "tiny"), done[0] / "results")
    write_study(study, "tiny", finished, tmp_path)
    assert (tmp_path / "report.html").read_text().count("<svg") == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('\nnetworks = ["seen"]\nexhibits', "\nexhibits", "based on nothing"),
        ("train_of = { seen", "train_of = { sean", "did you mean 'seen'"),
        ("\nseen = { retr", "\nsean = { retr", "did you mean 'seen'"),
        ("\nseen = { retraining", "\nseen = { retrainin", "did you mean 'retraining'"),
        ("plain.label_accuracy", "plain.label_acuracy", "did you mean 'plain.label_accuracy'"),
        (
            "over = {",
            'less = { condition = "again", figure = "plain.clean" }\nover = {',
            "not both",
        ),
    ],
)
def test_mistakes_are_refused_when_the_file_is_read(old, new, message, tmp_path):
    assert old in STUDY
    with pytest.raises(UsageError, match=message):
        written(tmp_path, STUDY.replace(old, new))
