"""Study files: mistakes are refused in one line."""

import pytest

from helpers.small_study import SMALL
from tfrobust.errors import UsageError
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.schema.files import find_study, studies


@pytest.mark.parametrize(
    ("old", "new", "message"),
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
        ("minutes = 1", "minutes = 1\nseeds_of = { smal = [0] }", r"did you mean 'small'"),
        (
            "minutes = 1",
            "minutes = 1\nseeds_of = { small = [7] }",
            r"seeds_of\.small: expected some of the scale's seeds, 0; received: 7",
        ),
    ],
)
def test_a_mistake_in_a_study_file_costs_one_line(old, new, message, tmp_path):
    with pytest.raises(UsageError, match=message) as refusal:
        SMALL.written(tmp_path, SMALL.text.replace(old, new, 1))
    assert "\n" not in str(refusal.value)


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
