"""What was typed after `tfrobust evaluate`, checked, and as settings of the library."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import typing
from typing import TYPE_CHECKING, Any

from tfrobust import suites
from tfrobust.errors import UsageError
from tfrobust_cli.arguments import Parameters, scenario_plugins
from tfrobust_cli.option_groups import option_group
from tfrobust_cli.options import (
    Attacks,
    Baselines,
    BatchSize,
    Budgets,
    Classifiers,
    Counts,
    CraftedOn,
    Detectors,
    Force,
    Json,
    Limit,
    NormaliseBy,
    Out,
    Params,
    Reattack,
    Scenario,
    Seed,
    Split,
    SuiteName,
    Sweeps,
    Target,
    TargetRule,
)

if TYPE_CHECKING:
    from tfrobust.attack import Attack

CORRUPTIONS = "corruptions"  # the suite that attacks nothing


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """The options of the command, in the order that its help shows."""

    classifier: Classifiers
    out: Out
    scenario: Scenario = "digits"
    attack: Attacks = None
    suite: SuiteName = None
    param: Params = None
    eps: Budgets = None
    sweep: Sweeps = None
    count: Counts = None
    detector: Detectors = None
    baselines: Baselines = True
    crafted_on: CraftedOn = None
    reattack: Reattack = False
    normalise_by: NormaliseBy = None
    split: Split = "test"
    limit: Limit = None
    target: Target = TargetRule.LEAST_LIKELY
    seed: Seed = 0
    batch_size: BatchSize = 128
    force: Force = False
    as_json: Json = False

    @property
    def under_corruptions(self) -> bool:
        """Whether classifiers are measured under corruptions, and not attacked."""
        return self.suite == CORRUPTIONS

    @property
    def attacks(self) -> list[str]:
        """The names of the attacks: those that were typed, then those of the suite."""
        in_suite = (
            [] if self.suite is None or self.under_corruptions else suites.names_in(self.suite)
        )
        return list(dict.fromkeys([*(self.attack or []), *in_suite]))

    @property
    def plugins(self) -> list[tuple[str, str]]:
        """Kind and name of every plugin that the command uses."""
        named = [("attacks", name) for name in self.attacks]
        named += [("detectors", name) for name in self.detector or []]
        return [*named, *scenario_plugins(self.scenario)]

    def check(self) -> None:
        """Refuse options that have no use for one another.

        Raises:
            UsageError: names them.
        """
        if self.count:
            counts = ",".join(self.count)
            raise UsageError(f"--count: any option can be swept now; write --sweep count={counts}")
        if self.under_corruptions:
            self._check_attacks_nothing()
            return
        if self.normalise_by:
            raise UsageError("--normalise-by: only --suite corruptions has errors to divide")
        if self.reattack and not self.crafted_on:
            raise UsageError("--reattack: expected --crafted-on, the classifier attacked before")
        if self.crafted_on and not self.attacks:
            raise UsageError("--crafted-on: expected attacks; give --attack or --suite too")
        if self.detector and not self.attacks:
            raise UsageError(
                "evaluate: a detector learns from an attack; give --attack or --suite too"
            )

    def _check_attacks_nothing(self) -> None:
        attacking = ("attack", "eps", "sweep", "detector", "crafted_on", "reattack")
        given = [f"--{name.replace('_', '-')}" for name in attacking if getattr(self, name)]
        if given:
            raise UsageError(
                "--suite corruptions: runs no attacks; leave out "
                f"{', '.join(given)}, or evaluate attacks in a run of their own"
            )
        if "+" in self.scenario:
            raise UsageError(
                "--suite corruptions: expected a scenario without a shift; "
                f"received: {self.scenario}"
            )

    def built_attacks(self, params: Parameters) -> list[Attack]:
        """Return the attacks, each at every budget and at every value of a sweep.

        Raises:
            UsageError: an option that none of them has, or a value out of range.
        """
        from tfrobust.evaluation.sweeps import at_values

        defaults = suites.options_in(self.suite) if self.suite else {}
        built = [
            params.build("attacks", name, defaults=defaults.get(name)) for name in self.attacks
        ]
        for (name, option), values in self._sweeps().items():
            built = at_values(built, option, values, only=name)
        return built

    def _sweeps(self) -> dict[tuple[str | None, str], list[Any]]:
        """Return the values of each swept option of an attack, or of all attacks (`None`).

        Raises:
            UsageError: an option is swept for all attacks and for one of them.
        """
        sweeps: dict[tuple[str | None, str], list[Any]] = {}
        if self.eps:
            sweeps[None, "eps"] = list(self.eps)
        for text in self.sweep or []:
            name, option, values = swept(text)
            sweeps.setdefault((name, option), []).extend(values)
        for name, option in sweeps:
            if name and (None, option) in sweeps:
                raise UsageError(
                    f"--sweep {name}.{option}: {option} is given for every attack too; give "
                    f"{option} for each attack by its name, or once for all"
                )
        return sweeps


def _declared() -> dict[str, tuple[Any, Any]]:
    types = typing.get_type_hints(EvaluateOptions, include_extras=True)
    return {
        field.name: (
            types[field.name],
            inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
        )
        for field in dataclasses.fields(EvaluateOptions)
    }


evaluates = option_group("options", _declared(), EvaluateOptions)


def swept(text: str) -> tuple[str | None, str, list[int | float | str]]:
    """Return the attack, the option and the values of `--sweep`.

    Args:
        text: `option=values` for every attack that has the option, or `attack.option=values`.

    Raises:
        UsageError: it is not of that form.

    Example:
        >>> swept("white_to_black.count=0,40")
        ('white_to_black', 'count', [0, 40])
    """
    key, equals, values = text.partition("=")
    attack, dot, option = key.rpartition(".")
    if not (equals and option) or (dot and not attack):
        raise UsageError(f"--sweep: expected option=values, such as count=0,40; received: {text!r}")
    return attack or None, option, [_value(value) for value in values.split(",")]


def _value(text: str) -> int | float | str:
    """Return a number where it is one; the attack checks what it is given."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
