"""The option `--weights`: an architecture that starts from a file."""

from __future__ import annotations

from tfrobust.errors import UsageError
from tfrobust.registry import Entry, checked, entries, find


def with_weights(param: list[str] | None, model: str, weights: str | None) -> list[str]:
    """Return the `-p` options, with the model's option `weights` where `--weights` is given.

    Raises:
        UsageError: the model has no such option, or is given two.
    """
    pairs = list(param or ())
    if weights is None:
        return pairs
    if not _takes_weights(find("models", model)):
        able = [entry.name for entry in map(checked, entries("models")) if _takes_weights(entry)]
        raise UsageError(
            f"--weights: {model} cannot start from a file; these can: {', '.join(able) or 'none'} "
            f"(`tfrobust plugins show models/{able[0] if able else model}`)"
        )
    for pair in pairs:
        if pair.partition("=")[0] in {"weights", f"{model}.weights"}:
            raise UsageError(f"--weights: given twice, as {weights!r} and as -p {pair}")
    return [*pairs, f"{model}.weights={weights}"]


def _takes_weights(entry: Entry) -> bool:
    """Tell whether a model can start from a file; one that is broken cannot."""
    from tfrobust.option_tables import describe

    if entry.problem:
        return False
    return any(option.name == "weights" for option in describe(entry.load()))
