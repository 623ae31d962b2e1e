"""From an experiment file to the steps that it asks for, in the order in which they are done."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from tfrobust.errors import UsageError, did_you_mean, printable, system_cause
from tfrobust.experiment.schema import ORDER, SHARED, Step, StepKind, experiment_model
from tfrobust.files.reading import UnreadableError, first_mistake, read_toml
from tfrobust.registry import find

_LARGEST = 10**6  # bytes of a file
_PLUGINS = {
    "attack": "attacks",
    "certifier": "certifiers",
    "defense": "defenses",
    "detector": "detectors",
    "suite": "suites",
    "tracker": "trackers",
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment file, read and checked.

    Attributes:
        path: of the file.
        steps: what it asks for, in order.
    """

    path: Path
    steps: tuple[Step, ...]


def read_experiment(path: Path, kinds: Sequence[StepKind]) -> Experiment:
    """Read an experiment file, and check every key, value and name of a plugin in it.

    Args:
        path: a TOML file.
        kinds: the sections that there are.

    Raises:
        UsageError: file, key, what is wrong with it, and the nearest name that there is.
    """
    try:
        told = read_toml(path, _LARGEST)
    except OSError as error:
        raise UsageError(
            f"{path}: {system_cause(error)}; name an experiment file, or write one with "
            "`tfrobust init`"
        ) from error
    except UnreadableError as error:
        raise UsageError(f"{path}: {error}; an experiment is a TOML file") from error
    try:
        experiment_model(kinds).model_validate(told)
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: {_mistake(error, kinds)}") from error
    except RecursionError as error:  # dotted keys nest without brackets
        raise UsageError(f"{path}: tables are nested too deeply; two levels do") from error
    steps = tuple(_steps(told, kinds))
    if not steps:
        raise UsageError(f"{path}: asks for nothing; add a section, such as [[train]]")
    for step in steps:
        _check_plugins(path, step)
    return Experiment(path, steps)


def _mistake(error: pydantic.ValidationError, kinds: Sequence[StepKind]) -> str:
    """Return the first mistake in one line; an unknown key comes with the nearest one."""
    first = error.errors(include_url=False)[0]
    *before, key = first["loc"]
    where = printable(".".join(map(str, first["loc"])), 120)
    if first["type"] == "extra_forbidden":
        section = next((kind for kind in kinds if before and kind.name == before[0]), None)
        known = [setting.name for setting in section.settings] if section else []
        known = known or ["title", *SHARED, *(kind.name for kind in kinds)]
        nearest = did_you_mean(str(key), known) or f"; there are: {', '.join(known)}"
        return f"{where}: there is no such key{nearest}"
    if first["type"] == "missing":
        return f"{where}: is missing; add it to [[{before[0]}]]"
    return f"{first_mistake(error)}; `tfrobust run --schema` prints what there is"


def _steps(told: Mapping[str, Any], kinds: Sequence[StepKind]) -> Iterator[Step]:
    """Yield the steps, with what the top of the file gives for all of them."""
    read = experiment_model(kinds).model_validate(told)
    by_name = {kind.name: kind for kind in kinds}
    for name in (name for name in ORDER if name in by_name):
        for place, section in enumerate(getattr(read, name)):
            given = section.model_dump(include=section.model_fields_set)
            given = {key: value for key, value in given.items() if value is not None}
            keys = {setting.name for setting in by_name[name].settings}
            for key in SHARED:
                value = getattr(read, key)
                # An export that is given no scenario takes that of the training.
                if value is not None and key in keys and (name, key) != ("export", "scenario"):
                    given.setdefault(key, value)
            yield Step(name, f"{name}[{place}]", given, {**section.model_dump(), **given})


def plugins_of(step: Step) -> list[tuple[str, str]]:
    """Return kind and name of every plugin that a step names; members of suites are not in it."""
    named: list[tuple[str, str]] = []
    for key, kind in _PLUGINS.items():
        value = step.settings.get(key) or []
        named += [(kind, name) for name in (value if isinstance(value, list) else [value])]
    settings = step.settings
    if step.kind == "train":
        named += [("defenses", settings["only"])] if settings.get("only") else []
        if not settings.get("only") or settings.get("weights"):
            named.append(("models", settings["model"]))
    if scenario := settings.get("scenario"):
        base, _, shift = scenario.partition("+")
        named.append(("scenarios", base))
        named += [("shifts", shift.partition(".")[0])] if shift else []
    return list(dict.fromkeys(named))


def _check_plugins(path: Path, step: Step) -> None:
    for kind, name in plugins_of(step):
        try:
            find(kind, name)
        except UsageError as error:
            raise UsageError(f"{path}: {step.place}: {error}") from error
