"""Named lists of attacks and of shifts, and the noise that evaluations show beside attacks.

A suite is a plugin like any other, of the kind `suites`: a class that names its members and
imports none of them. Three suites have a job of their own: the mean corruption error is measured
under `corruptions`, every evaluation shows the noise of `baselines`, and a result recommends
`gradient_free` where an attack finds no gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tfrobust.errors import UsageError
from tfrobust.options import plugin
from tfrobust.registry import create, entries, find

if TYPE_CHECKING:  # the command line asks for names before TensorFlow is imported
    from tfrobust.attack import Attack
    from tfrobust.scenario import Shift

SEVERITIES = (1, 2, 3, 4, 5)
Members = Mapping[str, Mapping[str, Any]]  # name → options
_DENSE = ("l2", "l1")  # norms that noise may be measured in, beside its own


@plugin
class Suite:
    """A named list of attacks, or of shifts.

    Attributes:
        kind: of its members.
        members: their names, in the order they are run, and the options that differ from the
            defaults. Of a suite of shifts, each is taken at every severity, and has no options.

    Example:
        >>> @plugin
        ... class Quick(Suite):
        ...     members: ClassVar[Members] = {"fgsm": {}, "deepfool": {"norm": "linf"}}
    """

    kind: ClassVar[Literal["attacks", "shifts"]] = "attacks"
    members: ClassVar[Members] = {}


def names_in(suite: str) -> list[str]:
    """Return the names of a suite's attacks; none of them is imported.

    Raises:
        UsageError: there is no such suite, or it is made of shifts.
        PluginError: the suite is broken.

    Example:
        >>> names_in("fast")
        ['fgsm', 'pgd', 'deepfool', 'square']
    """
    return list(options_in(suite))


def options_in(suite: str) -> dict[str, Mapping[str, Any]]:
    """Return the options that a suite gives its attacks, by name; see `names_in`."""
    return dict(_suite(suite, "attacks").members)


def suite(name: str) -> list[Attack]:
    """Build the attacks of a suite.

    Raises:
        UsageError: there is no such suite, or it is made of shifts.

    Example:
        >>> [attack.eps for attack in suite("fast")]
        [0.1, 0.1, None, 0.1]
    """
    return [create("attacks", attack, **options) for attack, options in options_in(name).items()]


def corruptions() -> dict[str, list[Shift]]:
    """Build the shifts of the suite `corruptions`: name → one a severity, the mildest first.

    Raises:
        UsageError: the plugin that brings one is not installed.

    Example:
        >>> [shift.severity for shift in corruptions()["fog"]]
        [1, 2, 3, 4, 5]
    """
    return {
        name: [create("shifts", name, severity=severity) for severity in SEVERITIES]
        for name in _suite("corruptions", "shifts").members
    }


def baselines(attacks: Iterable[Attack]) -> Sequence[Attack]:
    """Build the noise that an evaluation shows beside its attacks: none of it is adversarial.

    Where the attacks have a budget in the norm of a noise, or one that it may be measured in, the
    noise has the largest of them: an attack that does not beat noise of its own size has not been
    tried. Noise that is among the attacks is not shown twice, and beside no attack there is none.

    Example:
        >>> [noise.eps for noise in baselines([create("attacks", "pgd", eps=0.2)])][1]
        0.2
    """
    from tfrobust.options import has_option  # pydantic takes its time, and names do not need it

    attacks = list(attacks)
    budgets: dict[str | None, float] = {}
    for attack in attacks:
        if attack.budget is not None:
            norm = attack.threat.norm
            budgets[norm] = max(attack.budget, budgets.get(norm, 0.0))
    built: list[Attack] = []
    for name, options in (_installed("baselines") if attacks else {}).items():
        noise: Attack = create("attacks", name, **options)
        dense = [norm for norm in budgets if norm in _DENSE]
        if noise.threat.norm in budgets:
            noise = create("attacks", name, **{**options, "eps": budgets[noise.threat.norm]})
        elif has_option(noise, "norm") and dense:
            measured = {"eps": budgets[dense[0]], "norm": dense[0]}
            noise = create("attacks", name, **{**options, **measured})
        built.append(noise)
    return [noise for noise in built if noise not in attacks]


def gradient_free() -> list[str]:
    """Return the names of the attacks to try where one by gradients finds none.

    Example:
        >>> gradient_free()
        ['square', 'hopskipjump']
    """
    return list(_installed("gradient_free"))


def _installed(suite: str) -> Members:
    """Return a suite's members; none where no plugin brings the suite."""
    if not any(entry.name == suite for entry in entries("suites")):
        return {}
    return options_in(suite)


def _suite(name: str, kind: Literal["attacks", "shifts"]) -> type[Suite]:
    loaded: type[Suite] = find("suites", name).load()
    if loaded.kind != kind:
        raise UsageError(f"suite {name!r} is made of {loaded.kind}, not of {kind}")
    return loaded
