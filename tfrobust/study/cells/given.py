"""What a command adds to a study file: where data and weights lie, and options of scenarios.

Where something lies changes no result, so it is no part of a cell's key; an option is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfrobust.data.names import options_of, parts_of
from tfrobust.errors import UsageError, did_you_mean
from tfrobust.registry import find
from tfrobust.study.cells.cell import Cell, cells_of
from tfrobust.study.cells.places import Given
from tfrobust.study.schema.grid import Options, Scale
from tfrobust.study.schema.study import Study


def scenarios_of(study: Study, scale: str) -> list[tuple[str, str]]:
    """Return the scenarios and shifts that a scale's cells open, each once, with their kind.

    Raises:
        UsageError: there is no such scale.
    """
    plugins = dict[tuple[str, str], None]()
    for name in (name for cell in cells_of(study, scale) for name in _opened_by(cell)):
        plugins |= dict.fromkeys(zip(("scenarios", "shifts"), parts_of(name), strict=False))
    return list(plugins)


def apply_given(
    study: Study,
    scale_name: str,
    options: Mapping[str, Mapping[str, Any]],
    weights: Sequence[str] = (),
) -> tuple[Study, Given]:
    """Return a study with the options that a command gives, and where its data and weights lie.

    Args:
        study: from `find_study`.
        scale_name: one of its scales.
        options: scenario or shift → its options, which may still be texts.
        weights: `NETWORK=FILE`, or a file of the name that the study declares.

    Raises:
        UsageError: a network starts from no file, or there is no such file.
    """
    scale = study.scale(scale_name)
    places: dict[str, Options] = {}
    changed: dict[str, Options] = {}
    for name, given in options.items():
        paths = _path_options(name)
        # Absolute: workers may run in another folder.
        places[name] = {
            key: str(Path(value).absolute()) for key, value in given.items() if key in paths
        }
        changed[name] = {key: _typed(value) for key, value in given.items() if key not in paths}
    files = _weight_files(declared_weights(cells_of(study, scale_name)), weights)
    kept = Given(places={name: given for name, given in places.items() if given}, weights=files)
    return _with_options(study, scale_name, scale, changed), kept


def declared_weights(cells: Iterable[Cell]) -> dict[str, str]:
    """Return network → what its architecture starts from, for those that start from weights."""
    declared = {}
    for cell in cells:
        for network in cell.networks_to_train:
            options = network.training.get("options", {})
            if isinstance(weights := options.get("weights"), str):
                declared[network.network_name] = weights
    return declared


def _opened_by(cell: Cell) -> list[str]:
    return [cell.tested_on, *(str(n.training["scenario"]) for n in cell.networks_to_train)]


def _with_options(study: Study, name: str, scale: Scale, changed: Mapping[str, Options]) -> Study:
    """Return a study whose scale has further options of scenarios."""
    merged = dict(scale.scenario_options)
    for scenario, given in changed.items():
        if given:
            merged[scenario] = {**merged.get(scenario, {}), **given}
    if merged == scale.scenario_options:
        return study
    other = scale.model_copy(update={"scenario_options": merged})
    return study.model_copy(update={"scales": {**study.scales, name: other}})


def _path_options(name: str) -> set[str]:
    """Return the options of a scenario that say where something lies."""
    try:
        cls = find("scenarios", name).load()
    except UsageError:  # a shift: nothing of it lies anywhere
        return set()
    return {option.name for option in options_of("scenarios", cls) if "Path" in option.type}


def _typed(value: Any) -> Any:
    """Return a text as the number, flag or text that a study file would hold."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _weight_files(declared: Mapping[str, str], given: Sequence[str]) -> dict[str, str]:
    files: dict[str, str] = {}
    for text in given:
        network, equals, file = text.rpartition("=")
        names = [network] if equals else _starting_from(declared, Path(file).name)
        for name in names:
            if name not in declared:
                raise UsageError(_no_weights(name, declared))
            if name in files:
                raise UsageError(f"--weights: {name} is given two files, {files[name]} and {file}")
            files[name] = str(Path(file).absolute())
        if not Path(file).is_file():
            raise UsageError(f"--weights {text}: there is no such file")
    return files


def _starting_from(declared: Mapping[str, str], file: str) -> list[str]:
    """Return the networks that start from a file of this name."""
    names = [network for network, weights in declared.items() if Path(weights).name == file]
    if not names:
        known = [Path(weights).name for weights in declared.values()]
        raise UsageError(
            f"--weights: no network starts from a file {file!r}{did_you_mean(file, known)}; "
            f"write NETWORK=FILE ({_able(declared)})"
        )
    return names


def _no_weights(name: str, declared: Mapping[str, str]) -> str:
    hint = did_you_mean(name, declared)
    return f"--weights: {name!r} is no network that starts from weights{hint} ({_able(declared)})"


def _able(declared: Mapping[str, str]) -> str:
    return f"these do: {', '.join(declared) or 'none at this scale'}"
