"""What a scale lacks on this machine: data, and files of weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tfrobust.errors import DataError, RobustError, UsageError, one_line
from tfrobust.scenario import Scenario
from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.given import declared_weights
from tfrobust.study.cells.trainings import test_scenario, training_scenario


def missing(cells: Sequence[Cell]) -> list[str]:
    """Return a line for everything that these cells lack, and where it can be had.

    Data that can be downloaded is downloaded now.

    Args:
        cells: of one study, that are to be computed.
    """
    return [*_weights(cells), *_data(cells)]


def _weights(cells: Sequence[Cell]) -> list[str]:
    lines = []
    given = cells[0].given.weights if cells else {}
    for network, declared in declared_weights(cells).items():
        file = given.get(network, declared)
        if (
            not Path(declared).suffix or Path(file).is_file()
        ):  # a name, such as imagenet, is no file
            continue
        fetch = cells[0].scale.fetch.get(declared, "a state dict in torchvision's names")
        lines.append(
            f"weights of {network}: {file} is not there; fetch {fetch}, and give "
            f"--weights {network}=FILE"
        )
    return lines


def _data(cells: Sequence[Cell]) -> list[str]:
    lines, seen = dict[str, None](), set[str]()
    for cell in cells:
        tested = json.dumps(
            [cell.tested_on, cell.scenario_options(cell.condition.scenario_options)]
        )
        if tested not in seen:
            seen.add(tested)
            lines |= dict.fromkeys(_unreadable(cell, cell.tested_on, "test"))
        for network in cell.networks_to_train:
            trained = json.dumps([network.training["scenario"], network.scenario_options()])
            if trained not in seen:
                seen.add(trained)
                lines |= dict.fromkeys(_unreadable(network, network.training["scenario"], "train"))
    return list(lines)


def _unreadable(cell: Cell, name: str, split: str) -> list[str]:
    """Return why a split cannot be read, on one line; nothing if it can."""
    base = name.partition("+")[0]
    fetch = cell.scale.fetch.get(base)
    try:
        scenario: Scenario = (test_scenario if split == "test" else training_scenario)(cell)
        scenario.load_rows(split, 0, 1)
    except (DataError, UsageError) as error:
        return [f"data of {base}: {one_line(error)}{f'; fetch {fetch}' if fetch else ''}"]
    except RobustError as error:
        return [f"data of {base}: {one_line(error)}"]
    return []
