"""The option `--tracker` of the commands whose runs can be tracked, and what it asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrobust_cli.arguments import Parameters
from tfrobust_cli.options.declared import names_of

if TYPE_CHECKING:
    from pathlib import Path

    from tfrobust.tracker import Tracker
    from tfrobust.tracking.guarded import Tracking

TrackerNames = Annotated[
    list[str] | None,
    typer.Option(
        "--tracker",
        help="Also record the run with a tracker, such as tensorboard or mlflow; repeat for "
        "several.",
        autocompletion=names_of("trackers"),
    ),
]


def tracker_plugins(names: Iterable[str] | None) -> list[tuple[str, str]]:
    """Return kind and name of the trackers that were typed, each once."""
    return [("trackers", name) for name in dict.fromkeys(names or ())]


def built_trackers(names: Iterable[str] | None, params: Parameters) -> list[Tracker]:
    """Return the trackers with their options.

    Raises:
        UnavailableError: the package of one is not installed.
        UsageError: an option is out of range.
    """
    return [params.build(kind, name) for kind, name in tracker_plugins(names)]


def tracked(
    trackers: Iterable[Tracker],
    command: str,
    name: str,
    settings: Mapping[str, Any],
    log: Callable[[str], None],
    *,
    keys: Path | None = None,
    resume: bool = False,
) -> Tracking:
    """Return what tells trackers of a run; it is opened by `with`.

    Args:
        trackers: built.
        command: that runs.
        name: of what it makes.
        settings: what was typed.
        log: takes a line where a tracker fails.
        keys: the file by which a resumed training finds its runs.
        resume: go on with them.
    """
    from tfrobust.tracker import Job
    from tfrobust.tracking.guarded import Tracking

    job = Job(command=command, name=name, settings=settings)
    return Tracking(list(trackers), job, log, keys=keys, resume=resume)
