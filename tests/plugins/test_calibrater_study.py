"""What the calibrater's study declares, beyond what every study file is checked for."""

import pytest

from tfrobust.study.cells.cell import cells_of
from tfrobust.study.results.lookup import in_paper
from tfrobust.study.schema.files import find_study


@pytest.fixture(scope="module")
def study():
    return find_study("calibrater")[0]


def trainings(study, scale):
    """Return network → the training of every network at a scale, those that it needs too."""
    cells = [needed for cell in cells_of(study, scale) for needed in cell.networks_to_train]
    return {cell.network_name: cell for cell in cells}


def is_of_images(cell):
    return cell.scenario == "cifar10" and not cell.network_name.startswith("lenet")


def test_networks_learn_at_the_papers_scale_with_its_options_alone(study):
    """A value that a smaller scale needs stands in that scale: it would reach this one too."""
    paper = study.scales["paper"]
    cells = [cell for cell in trainings(study, "paper").values() if is_of_images(cell)]
    assert len(cells) > 20
    for cell in cells:
        expected = paper.train | (paper.train_on if cell.base else {}) | {"seed": 0}
        assert cell.training["train"] == expected, cell.network_name
        for defense in cell.defenses:
            assert "learning_rate" not in defense.options, cell.network_name


def test_calibraters_that_are_compared_learn_alike(study):
    for scale in ("paper", "laptop"):
        calibraters = [
            cell
            for cell in trainings(study, scale).values()
            if is_of_images(cell) and cell.defenses[-1:] and cell.defenses[-1].name == "calibrater"
        ]
        assert len({str(cell.training["train"]) for cell in calibraters}) == 1
        merges = {cell.network_name: cell.defenses[-1].options["merge"] for cell in calibraters}
        assert {name: merge for name, merge in merges.items() if merge != "factor"} == {
            "mobilenet_add": "add", "resnet18_add": "add", "vgg16_add": "add",
            "vgg16_identity": "multiply",
        }  # fmt: skip


def test_each_of_table_1s_figures_stands_beside_an_eps_of_its_own(study):
    papers = in_paper(study)
    beside = {
        network: [figure for name, _, figure in papers if (name, "@" in figure) == (network, True)]
        for network in ("lenet_mnist", "lenet_cifar10")
    }
    assert [len(figures) for figures in beside.values()] == [1, 1]
    assert beside["lenet_mnist"] != beside["lenet_cifar10"]
