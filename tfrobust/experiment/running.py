"""Doing the steps of an experiment: in order, each once, with a lock of what was done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrobust.errors import UsageError
from tfrobust.experiment.lock import (
    Lock,
    LockedStep,
    as_json,
    check_locked,
    read_lock,
    revision,
    versions_of,
    write_lock,
)
from tfrobust.experiment.reading import Experiment
from tfrobust.experiment.schema import Step

if TYPE_CHECKING:
    from tfrobust.scenario import Scenario

_WRITES = {
    "evaluate": "results.json",
    "diagnose": "diagnosis.json",
    "certify": "certificates.json",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runner:
    """Does the steps of an experiment.

    A step is done already if the lock says so of the same settings, what it wrote is there, and no
    step that it builds on is done again. Checks are always made: they cost nothing.

    Attributes:
        experiment: what is asked for.
        execute: does one step; its second argument says whether it may overwrite results.
        options: returns plugin → options of a step, with defaults; refuses wrong ones.
        scenario: opens what a step looks at; `None` where it names nothing.
        log: takes a line a step.
        force: do everything again, over the results that are there.
    """

    experiment: Experiment
    execute: Callable[[Step, bool], None]
    options: Callable[[Step], dict[str, dict[str, Any]]]
    scenario: Callable[[Step], Scenario | None]
    log: Callable[[str], None]
    force: bool = False

    def planned(self) -> Iterator[tuple[Step, bool]]:
        """Yield the steps, and of each whether it is done already."""
        lock = read_lock(self.experiment.path)
        redone: set[str] = set()
        for step in self.experiment.steps:
            done = not self.force and lock is not None and self._is_done(step, lock, redone)
            if not done:
                redone |= _names_of(step)
            yield step, done

    def check_lock(self) -> Lock:
        """Return the lock, if the experiment is still what it says.

        Raises:
            UsageError: there is none, or the file or a version differs from it.
        """
        path = self.experiment.path
        lock = read_lock(path)
        if lock is None:
            raise UsageError(f"{path}: has no lock file yet; run it once without --locked")
        check_locked(path, lock, self.experiment.steps)
        return lock

    def run(self, *, locked: bool = False) -> None:
        """Do what is not done yet, and write the lock after every step.

        Args:
            locked: refuse to do anything else than the lock says.

        Raises:
            UsageError: there is no lock, or the file, a version or the data differs from it.
            RobustError: a step failed; those before it are not done again.
        """
        path, steps = self.experiment.path, self.experiment.steps
        before = self.check_lock() if locked else read_lock(path)
        planned = list(self.planned())
        revisions: dict[str, str] = {}
        entries = [
            self._entry(step, before, done=done, locked=locked, revisions=revisions)
            for step, done in planned
        ]
        if locked and before is not None:
            _check_data(self.experiment, before, entries)
        lock = Lock(versions=versions_of(steps), steps=entries)
        write_lock(path, lock)
        for place, (step, done) in enumerate(planned):
            number = f"step {place + 1} of {len(steps)}: {step.title}"
            if done:
                self.log(f"{number}: already done")
                continue
            self.log(number)
            self.execute(step, self.force or entries[place].overwrites)
            entries[place].done = True
            write_lock(path, lock)

    def _entry(
        self,
        step: Step,
        before: Lock | None,
        *,
        done: bool,
        locked: bool,
        revisions: dict[str, str],
    ) -> LockedStep:
        """Return what the lock says of a step.

        Args:
            step: what is asked for.
            before: the lock as it is.
            done: whether the step is done already; its images are then looked at only to compare.
            locked: whether they are to be compared.
            revisions: of the scenarios that were looked at, which takes as long as reading them.
        """
        scenario = self.scenario(step)
        then = before.entry_of(step) if before and done and not locked else None
        if then is not None:
            data = then.data
        else:
            data = _revision(scenario, revisions) if scenario else None
        return LockedStep(
            kind=step.kind,
            settings=as_json(step.settings),
            plugins=self.options(step),
            data=data,
            done=done,
            overwrites=_owned(step, before),
        )

    def _is_done(self, step: Step, lock: Lock, redone: set[str]) -> bool:
        output = output_of(step)
        there = output is not None and output.exists()
        known = lock.entry_of(step) is not None
        return known and there and not redone & set(_texts(as_json(step.settings)))


def _revision(scenario: Scenario, known: dict[str, str]) -> str:
    """Return the revision of a scenario's data; of one that was looked at already, that one."""
    from tfrobust.data.names import scenario_record

    data = {name: value for name, value in scenario_record(scenario).items() if name != "shift"}
    key = repr(data)
    if key not in known:
        known[key] = revision(scenario)
    return known[key]


def _owned(step: Step, lock: Lock | None) -> bool:
    """Return whether results that lie in the step's place came from this experiment."""
    place = step.settings.get("out")
    return place is not None and any(
        (one.done or one.overwrites) and (one.kind, one.settings.get("out")) == (step.kind, place)
        for one in (lock.steps if lock else [])
    )


def output_of(step: Step) -> Path | None:
    """Return what is there once a step is done; `None` for a check."""
    settings: Mapping[str, Any] = step.settings
    if step.kind == "train":
        from tfrobust.store.layout import home_of

        return home_of(settings.get("name") or settings["model"])
    if step.kind == "export":
        return Path(settings["folder"])
    return Path(settings["out"]) / _WRITES[step.kind] if step.kind in _WRITES else None


def _names_of(step: Step) -> set[str]:
    """Return the names by which later steps refer to what a step makes."""
    settings = step.settings
    if step.kind == "train":
        return {settings.get("name") or settings["model"]}
    return {str(settings[key]) for key in ("out", "folder") if settings.get(key)}


def _texts(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the settings say of others: not where the step itself writes, nor its name."""
    for key, value in settings.items():
        if key not in ("out", "folder", "name"):
            values = value if isinstance(value, list) else [value]
            yield from (one for one in values if isinstance(one, str))


def _check_data(experiment: Experiment, lock: Lock, entries: list[LockedStep]) -> None:
    for step, now, then in zip(experiment.steps, entries, lock.steps, strict=True):
        if now.data != then.data:
            raise UsageError(
                f"{experiment.path}: {step.place}: the images of {step.settings['scenario']} are "
                "not those of the lock; restore the data, or run without --locked"
            )
        if now.plugins != then.plugins:
            raise UsageError(
                f"{experiment.path}: {step.place}: options of plugins are not those of the lock; "
                "install the version that it names, or run without --locked"
            )
