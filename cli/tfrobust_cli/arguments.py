"""Options that several commands share, and `-p key=value`."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from tfrobust.errors import UsageError, did_you_mean
from tfrobust.registry import create, entries, find


def names_of(kind: str) -> Callable[[str], list[str]]:
    """Return a function that completes the names of one kind of plugin in the shell."""

    def complete(incomplete: str) -> list[str]:
        return [e.name for e in entries(kind) if e.name.startswith(incomplete)]

    return complete


def classifiers(incomplete: str) -> list[str]:
    """Complete the names in the store."""
    root = Path(os.environ.get("TFROBUST_MODELS", "saved_models"))
    return [path.name for path in root.glob(f"{incomplete}*") if path.is_dir()]


class TargetRule(enum.Enum):
    """How the classes for targeted attacks are chosen."""

    LEAST_LIKELY = "least_likely"
    NEXT = "next"
    RANDOM = "random"


class Suite(enum.Enum):
    """The lists of attacks that have a name; see `tfrobust.suites`."""

    FAST = "fast"
    STANDARD = "standard"


_CLASSIFIER = "A name in saved_models/, a SavedModel folder, or a .keras file."
Classifier = Annotated[str, typer.Argument(help=_CLASSIFIER, autocompletion=classifiers)]
Classifiers = Annotated[list[str], typer.Argument(help=_CLASSIFIER, autocompletion=classifiers)]
Scenario = Annotated[
    str,
    typer.Option(
        help="Dataset, with a shift after a plus: cifar10, cifar10+fog.3.",
        autocompletion=names_of("scenarios"),
    ),
]
Split = Annotated[str, typer.Option(help="Split of the scenario.")]
Limit = Annotated[int | None, typer.Option(help="Only the first so many images.")]
Seed = Annotated[int, typer.Option(help="Decides everything random.", min=0, max=2**31 - 1)]
BatchSize = Annotated[int, typer.Option(help="Images at a time.", min=1)]
Target = Annotated[TargetRule, typer.Option(help="Which classes targeted attacks must reach.")]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
StripSoftmax = Annotated[
    bool,
    typer.Option("--strip-softmax", help="Turn a .keras model's softmax into logits."),
]
Params = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", help="Option of a plugin: eps=0.1, or pgd.eps=0.1 of several."),
]


class Parameters:
    """The `-p` options of one command, dealt out to the plugins it names.

    Args:
        pairs: `key=value` or `plugin.key=value`.
        plugins: `(kind, name)` of every plugin the command uses.

    Raises:
        UsageError: not of that form, an unknown plugin, or a key that none or several of the
            plugins have.
    """

    def __init__(self, pairs: Iterable[str] | None, plugins: list[tuple[str, str]]) -> None:
        self._options: dict[str, dict[str, Any]] = {}
        self._kinds = {name: kind for kind, name in plugins}
        for pair in pairs or ():
            key, equals, value = pair.partition("=")
            if not equals or not key:
                raise UsageError(f"-p: expected key=value; received: {pair!r}")
            owner, dot, rest = key.partition(".")
            if not dot:
                owner, rest = self._owner(key), key
            elif owner not in self._kinds:
                raise UsageError(
                    f"-p {pair}: this command uses no plugin {owner!r}"
                    f"{did_you_mean(owner, self._kinds)}"
                )
            self._options.setdefault(owner, {})[rest] = value

    def _owner(self, key: str) -> str:
        """Return the one plugin that has option `key`; the only plugin, whatever the key."""
        if len(self._kinds) == 1:
            return next(iter(self._kinds))
        have = [name for name, kind in self._kinds.items() if key in _keys(kind, name)]
        if len(have) == 1:
            return have[0]
        if have:
            raise UsageError(
                f"-p {key}: which one? write {' or '.join(f'-p {name}.{key}=…' for name in have)}"
            )
        every = {option for name, kind in self._kinds.items() for option in _keys(kind, name)}
        raise UsageError(
            f"-p {key}: none of {', '.join(self._kinds)} has this option{did_you_mean(key, every)}"
        )

    def of(self, name: str) -> dict[str, Any]:
        """Return the options given for plugin `name`."""
        return self._options.get(name, {})

    def all(self) -> dict[str, dict[str, Any]]:
        """Return the options of every plugin by its name."""
        return self._options

    def build(self, kind: str, name: str, *, defaults: dict[str, Any] | None = None) -> Any:
        """Build plugin `kind`/`name` with its options, and with these where none are given."""
        return create(kind, name, **((defaults or {}) | self.of(name)))


def _keys(kind: str, name: str) -> set[str]:
    from tfrobust.options import describe

    return {option.name for option in describe(find(kind, name).load())}


def scenario_plugins(scenario: str) -> list[tuple[str, str]]:
    """Return the plugins a scenario's name mentions."""
    base, _, shift = scenario.partition("+")
    named = [("scenarios", base)]
    return [*named, ("shifts", shift.partition(".")[0])] if shift else named


def check_known(plugins: Iterable[tuple[str, str]]) -> None:
    """Refuse unknown plugins at once, before TensorFlow is imported."""
    for kind, name in plugins:
        find(kind, name)
