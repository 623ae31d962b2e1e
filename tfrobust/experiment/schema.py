"""What an experiment file may say: sections named after commands, keys after their options.

The caller declares the kinds of steps, so that a file, a command and its help cannot disagree.
"""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from tfrobust.study.schema.declared import Declared

SHARED = ("scenario", "seed")  # keys at the top of a file: for every step that has them
ORDER = ("train", "evaluate", "diagnose", "certify", "check", "export")
_TABLES = ("param", "eps", "sweep")  # texts of the form key=value: also a table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """A key of a section.

    Attributes:
        name: the key.
        kind: the type of its value, or of each of its values.
        many: whether it takes several values.
        required: whether a section must have it.
        default: its value where a section lacks it.
        about: one line of help.
        least: smallest number, if any.
        most: largest number, if any.
    """

    name: str
    kind: Any
    many: bool = False
    required: bool = False
    default: Any = None
    about: str = ""
    least: float | None = None
    most: float | None = None


@dataclasses.dataclass(frozen=True)
class StepKind:
    """A kind of step: a command's name and its settings."""

    name: str
    settings: tuple[Setting, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of an experiment.

    Attributes:
        kind: of `ORDER`.
        place: where it stands in the file: `evaluate[0]`.
        given: settings that the file gives, as plain values.
        settings: all settings, those of `given` and the defaults of the others.
    """

    kind: str
    place: str
    given: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What it does, in a few words."""
        named = [self.settings.get(key) for key in ("model", "classifier", "run", "name")]
        words = [" ".join(value) if isinstance(value, list) else value for value in named if value]
        return " ".join([self.kind, *map(str, dict.fromkeys(words))])


def experiment_model(kinds: Sequence[StepKind]) -> type[pydantic.BaseModel]:
    """Return the pydantic model of a file with such sections; it makes the JSON Schema too.

    Args:
        kinds: the sections that there are.

    Example:
        >>> kind = StepKind("train", (Setting(name="model", kind=str, required=True),))
        >>> experiment_model([kind]).model_validate({"train": {"model": "lenet"}}).train[0].model
        'lenet'
    """
    fields: dict[str, Any] = {
        "title": (str, pydantic.Field("", description="What the experiment asks.")),
        "scenario": (
            str | None,
            pydantic.Field(None, description="Dataset of every step that names no other."),
        ),
        "seed": (
            Annotated[int, pydantic.Field(strict=True, ge=0, lt=2**31)] | None,
            pydantic.Field(None, description="Seed of every step that names no other."),
        ),
    }
    for kind in kinds:
        section = _section_model(kind)
        several = Annotated[
            list[section],  # type: ignore[valid-type]
            pydantic.BeforeValidator(
                _as_list,
                json_schema_input_type=section | list[section],  # type: ignore[valid-type]
            ),
        ]
        about = f"Steps of `tfrobust {kind.name}`, in order."
        fields[kind.name] = (several, pydantic.Field(default_factory=list, description=about))
    return pydantic.create_model("Experiment", __base__=Declared, **fields)


def _section_model(kind: StepKind) -> type[pydantic.BaseModel]:
    fields: dict[str, Any] = {
        setting.name: (
            _type_of(setting),
            pydantic.Field(... if setting.required else setting.default, description=setting.about),
        )
        for setting in kind.settings
    }
    config = pydantic.ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    base = type("Section", (Declared,), {"model_config": config})
    return pydantic.create_model(kind.name.capitalize(), __base__=base, **fields)


def _type_of(setting: Setting) -> Any:
    """Return the type of a setting's value as a file gives it."""
    one = _plain(setting)
    if typing.get_origin(one) is tuple or not setting.many:
        read = one
    elif setting.name in _TABLES and setting.kind is str:
        read = Annotated[
            list[str],
            pydantic.BeforeValidator(
                _as_pairs,
                json_schema_input_type=dict[str, Any] | list[str | float] | str | float,
            ),
        ]
    else:
        read = Annotated[
            list[one],  # type: ignore[valid-type]
            pydantic.BeforeValidator(
                _as_list,
                json_schema_input_type=list[one] | one,  # type: ignore[valid-type]
            ),
        ]
    return read if setting.required or setting.default is not None else read | None


def _plain(setting: Setting) -> Any:
    """Return the type of one value: paths and names are texts, enumerations their values."""
    kind = setting.kind
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return Literal[tuple(member.value for member in kind)]
    if kind is Path:
        return str
    if typing.get_origin(kind) is tuple:
        inside = (str if one is Path else one for one in typing.get_args(kind))
        return tuple[tuple(inside)]  # type: ignore[misc]
    if kind in (int, float):
        return Annotated[kind, pydantic.Field(strict=True, ge=setting.least, le=setting.most)]
    return Annotated[bool, pydantic.Field(strict=True)] if kind is bool else kind


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list) else [given]


def _as_pairs(given: Any) -> Any:
    """Return `key=value` for each value of a table, a table inside by `outer.key`."""
    if isinstance(given, dict):
        return [f"{key}={value}" for key, value in _flat(given)]
    return [_text(value) for value in _as_list(given)]


def _flat(table: Mapping[str, Any], outer: str = "") -> list[tuple[str, str]]:
    pairs = []
    for key, value in table.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{outer}{key}.")
        else:
            pairs.append((f"{outer}{key}", _text(value)))
    return pairs


def _text(value: Any) -> str:
    """Return a value as `-p key=value` has it."""
    if isinstance(value, list):
        return ",".join(map(_text, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | str):
        return str(value)
    raise ValueError("expected a text, a number, true or false, or a list of them")
