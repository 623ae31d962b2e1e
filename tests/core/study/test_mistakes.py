"""A mistake in a study costs one line and no training."""

import pytest

from helpers.small_study import STUDY, written
from tfrobust.errors import UsageError
from tfrobust.study.cells import run as engine
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.cells.run import run_study
from tfrobust.study.schema.files import find_study, studies


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
