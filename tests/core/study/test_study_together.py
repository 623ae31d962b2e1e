"""Conditions of several attacks together, of attacks that know, of certificates and diagnoses."""

import numpy as np
import pytest

from helpers.study_runs import StudyFile, cell_of, check_figures
from tfrobust.errors import UsageError
from tfrobust.study.cells import diagnosed, revision
from tfrobust.study.cells.outcomes import unpacked
from tfrobust.study.cells.result_file import read_cell
from tfrobust.study.cells.revision import current_revision

TOGETHER = StudyFile(
    "together",
    """
title = "A study of several attacks"
source = "Nobody"
about = "Digits."
[scales.tiny]
scenario = "digits"
images = 40
train = { epochs = 3, validation = 0.0 }
minutes = 1
[networks.rounded]
title = "Rounded"
model = "fully_connected"
options = { units = 16 }
defenses = [{ name = "bit_depth" }]
[networks.plain]
title = "Plain"
model = "fully_connected"
options = { units = 16 }
[views.plain]
title = "plain"
[conditions.known]
title = "everything"
attacks = [
    { name = "fgsm", options = { eps = 0.1 } },
    { name = "square", options = { eps = 0.1, queries = 10 } },
]
adaptive = true
judged = ["plain"]
networks = ["rounded"]
[conditions.bounded]
title = "bounds"
attack = { name = "fgsm", options = { eps = 0.02 } }
certifiers = [{ name = "ibp" }, { name = "crown" }]
judged = ["plain"]
networks = ["plain"]
[conditions.diagnosed]
title = "diagnosis"
diagnosed = { eps = 0.1 }
judged = ["plain"]
networks = ["plain"]
[[claims]]
text = "More than chance."
[[claims.checks]]
kind = "above"
networks = ["rounded"]
value = { condition = "known", figure = "plain.worst_accuracy" }
bound = 0.1
""",
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The study, run once; diagnoses make no check but the attack."""
    with pytest.MonkeyPatch.context() as patch:
        diagnose = diagnosed.diagnose
        patch.setattr(diagnosed, "diagnose", lambda *a, **o: diagnose(*a, checks=[], **o))
        folder, _ = TOGETHER.run(tmp_path_factory)
    return TOGETHER.written(folder), folder / "results"


def figures(ran, network, condition):
    study, results = ran
    return read_cell(cell_of(study, network, condition), results)


def test_every_condition_measures_what_it_declares(ran):
    check_figures(*ran)


def test_an_image_counts_if_it_is_right_under_everything(ran):
    found = figures(ran, "rounded", "known")
    kinds = [f"plain.{kind}_accuracy" for kind in ("white_box", "black_box", "adaptive")]
    worst = found.figures["plain.worst_accuracy"]
    assert worst <= min(found.figures[kind] for kind in kinds)
    assert found.figures["plain.white_box_accuracy"] == found.figures["plain.fgsm.accuracy"]
    assert found.figures["plain.black_box_accuracy"] == found.figures["plain.square.accuracy"]
    kept = unpacked(found, "plain.worst_accuracy")  # a claim asks for it
    assert np.isclose(kept.mean(), worst)


def test_the_truth_lies_between_certificate_and_attack(ran):
    found = figures(ran, "plain", "bounded").figures
    assert 0 < found["plain.certified_accuracy"] <= found["plain.accuracy"]


def test_a_diagnosis_tells_its_lowest_accuracy(ran):
    found = figures(ran, "plain", "diagnosed").figures
    assert 0 <= found["plain.lowest_accuracy"] <= found["plain.clean"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('crafted_on = "plain"\nattacks', "attacks: are measured together, and without crafted_on"),
        ('attack = { name = "fgsm" }\nattacks', "measured together, and without attack"),
    ],
)
def test_attacks_together_stand_alone(tmp_path, text, message):
    wrong = TOGETHER.text.replace("attacks = [", f"{text} = [", 1)
    with pytest.raises(UsageError, match=message):
        TOGETHER.written(tmp_path, wrong)


def test_adaptive_attacks_and_certifiers_need_budgets(tmp_path):
    wrong = TOGETHER.text.replace('attack = { name = "fgsm", options = { eps = 0.02 } }\n', "")
    with pytest.raises(UsageError, match="certifiers have the budgets of attacks; name some"):
        TOGETHER.written(tmp_path, wrong)


def test_a_revision_counts_the_rooms_behind_what_a_condition_asks(ran, monkeypatch):
    study, _ = ran
    cells = {name: cell_of(study, "plain", name) for name in ("bounded", "diagnosed")}
    before = {name: current_revision(cell) for name, cell in cells.items()}
    digest = revision._digest
    changed = "linear.py"  # of the room of bounds
    monkeypatch.setattr(
        revision, "_digest", lambda path: "other" if path.name == changed else digest(path)
    )
    revision._revision.cache_clear()
    after = {name: current_revision(cell) for name, cell in cells.items()}
    revision._revision.cache_clear()
    assert after["bounded"] != before["bounded"]
    assert after["diagnosed"] == before["diagnosed"]
