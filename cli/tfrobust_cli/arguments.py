"""Checks of the command line: `-p key=value`, and the plugins that a command names."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfrobust.errors import UsageError, did_you_mean, printable
from tfrobust.registry import create, find


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that no command can use: empty values, and names that cannot be decoded.

    Raises:
        UsageError: an argument is empty, such as that of `--out "$UNSET"`, or cannot be decoded.
    """
    before = "argument"
    for argument in arguments:
        name = argument.partition("=")[0]
        if not argument or (argument.startswith("--") and argument == f"{name}="):
            where = name.removesuffix("=") or before
            raise UsageError(
                f"{where}: expected a value; received: an empty one; leave it out, or set the "
                "variable that it comes from"
            )
        if not _is_text(argument):
            encoding = sys.getfilesystemencoding()
            way_out = "rename the file or folder" if encoding == "utf-8" else "set LC_ALL=C.UTF-8"
            raise UsageError(
                f"argument: expected {encoding}; received: {printable(argument)}; {way_out}"
            )
        before = argument if argument.startswith("-") else "argument"


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


class Parameters:
    """The `-p` options of one command, assigned to the plugins that it names.

    Args:
        pairs: `key=value`, `plugin.key=value` or, where plugins of two kinds share a name,
            `kind/plugin.key=value`.
        plugins: `(kind, name)` of every plugin the command uses.

    Raises:
        UsageError: a pair has another form, names an unknown plugin, or has a key that none or
            several of the plugins have.
    """

    def __init__(self, pairs: Iterable[str] | None, plugins: list[tuple[str, str]]) -> None:
        self._plugins = list(dict.fromkeys(plugins))
        self._options: dict[tuple[str, str], dict[str, Any]] = {}
        for pair in pairs or ():
            key, equals, value = pair.partition("=")
            if not equals or not key:
                raise UsageError(f"-p: expected key=value; received: {pair!r}")
            owner, dot, rest = key.partition(".")
            plugin = self._named(owner, rest, pair) if dot else self._having(key)
            self._options.setdefault(plugin, {})[rest if dot else key] = value

    def _named(self, owner: str, key: str, pair: str) -> tuple[str, str]:
        """Return the plugin called `owner`; of several kinds, the one that has the option."""
        kind, _, name = owner.rpartition("/")
        called = [
            plugin for plugin in self._plugins if plugin[1] == name and kind in {"", plugin[0]}
        ]
        if not called:
            known = [self._label(plugin) for plugin in self._plugins]
            raise UsageError(
                f"-p {pair}: this command uses no plugin {owner!r}{did_you_mean(owner, known)}"
            )
        if len(called) == 1:
            return called[0]
        return self._only([plugin for plugin in called if key in _keys(*plugin)] or called, key)

    def _having(self, key: str) -> tuple[str, str]:
        """Return the one plugin that has option `key`; if there is one plugin, return that."""
        if len(self._plugins) == 1:
            return self._plugins[0]
        owners = [plugin for plugin in self._plugins if key in _keys(*plugin)]
        if owners:
            return self._only(owners, key)
        known = {option for plugin in self._plugins for option in _keys(*plugin)}
        names = ", ".join(map(self._label, self._plugins))
        raise UsageError(f"-p {key}: none of {names} has this option{did_you_mean(key, known)}")

    def _only(self, owners: list[tuple[str, str]], key: str) -> tuple[str, str]:
        if len(owners) > 1:
            choices = " or ".join(f"-p {self._label(plugin)}.{key}=…" for plugin in owners)
            raise UsageError(f"-p {key}: which one? write {choices}")
        return owners[0]

    def _label(self, plugin: tuple[str, str]) -> str:
        """Return a plugin's name, with its kind where the name alone is ambiguous."""
        kind, name = plugin
        shared = sum(other == name for _, other in self._plugins) > 1
        return f"{kind}/{name}" if shared else name

    def of(self, name: str, kind: str | None = None) -> dict[str, Any]:
        """Return the options given for plugin `name`, of any kind or of this one."""
        for plugin, options in self._options.items():
            if plugin[1] == name and kind in {None, plugin[0]}:
                return options
        return {}

    def all(self) -> dict[str, dict[str, Any]]:
        """Return the options of scenario and shift by name, as `open_scenario` takes them."""
        kinds = {"scenarios", "shifts"}  # an attack may have a shift's name
        return {name: given for (kind, name), given in self._options.items() if kind in kinds}

    def build(self, kind: str, name: str, *, defaults: Mapping[str, Any] | None = None) -> Any:
        """Build plugin `kind`/`name` with its options; `defaults` are used where none is given."""
        return create(kind, name, **{**(defaults or {}), **self.of(name, kind)})


def _keys(kind: str, name: str) -> set[str]:
    from tfrobust.data.names import options_of

    return {option.name for option in options_of(kind, find(kind, name).load())}


def scenario_plugins(scenario: str) -> list[tuple[str, str]]:
    """Return the plugins that a scenario's name contains."""
    base, _, shift = scenario.partition("+")
    named = [("scenarios", base)]
    return [*named, ("shifts", shift.partition(".")[0])] if shift else named


def check_known(plugins: Iterable[tuple[str, str]]) -> None:
    """Refuse unknown plugins at once, before TensorFlow is imported."""
    for kind, name in plugins:
        find(kind, name)
