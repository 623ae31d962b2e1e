"""Which options of `evaluate` and `plan evaluate` have a use for one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.errors import UsageError

if TYPE_CHECKING:
    from tfrobust_cli.options.evaluate import EvaluatedOptions

_CLEAN_ONLY = "--clean-only: runs no attack; leave out --attack, --suite and --adaptive"
_NO_ATTACK = (
    "evaluate: expected an attack: give --attack pgd or --suite fast, or --clean-only to measure "
    "clean accuracy alone"
)
_ATTACKING = [
    "attack",
    "eps",
    "sweep",
    "detector",
    "crafted_on",
    "reattack",
    "adaptive",
    "clean_only",
]


def check_fitting(options: EvaluatedOptions) -> None:
    """Refuse options that have no use for one another.

    Raises:
        UsageError: names them.
    """
    if options.count:
        counts = ",".join(options.count)
        raise UsageError(f"--count: any option can be swept now; write --sweep count={counts}")
    if options.warm_start and (options.crafted_on or options.under_corruptions):
        raise UsageError(
            "--warm-start: goes on from the classifier's own broken images; leave out "
            "--crafted-on and --suite corruptions"
        )
    if options.under_corruptions:
        _check_attacks_nothing(options)
        return
    if options.normalise_by:
        raise UsageError("--normalise-by: only --suite corruptions has errors to divide")
    if options.adaptive and options.crafted_on:
        raise UsageError("--adaptive: crafts on the classifier itself; leave out --crafted-on")
    if options.reattack and not options.crafted_on:
        raise UsageError("--reattack: expected --crafted-on, the classifier attacked before")
    if options.crafted_on and not options.attacks:
        raise UsageError("--crafted-on: expected attacks; give --attack or --suite too")
    if options.detector and not options.attacks:
        raise UsageError("evaluate: a detector learns from an attack; give --attack or --suite too")
    if options.clean_only == bool(options.attacks or options.adaptive):
        raise UsageError(_CLEAN_ONLY if options.clean_only else _NO_ATTACK)


def _check_attacks_nothing(options: EvaluatedOptions) -> None:
    given = [f"--{name.replace('_', '-')}" for name in _ATTACKING if getattr(options, name)]
    if given:
        raise UsageError(
            "--suite corruptions: runs no attacks; leave out "
            f"{', '.join(given)}, or evaluate attacks in a run of their own"
        )
    if "+" in options.scenario:
        raise UsageError(
            "--suite corruptions: expected a scenario without a shift; "
            f"received: {options.scenario}"
        )
