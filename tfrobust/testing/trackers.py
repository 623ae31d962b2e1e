"""The contract of trackers."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfrobust.options import record
from tfrobust.tracker import Job, Settings, TrackedRun, Tracker

_JOB = Job(command="evaluate", name="robust", settings={"scenario": "digits", "seed": 0})


def tracker_checks() -> Sequence[Callable[[Tracker], None]]:
    """Return the checks every tracker must pass; each takes a built tracker.

    Build it so that it records in a temporary folder. The checks cannot know how to read what was
    recorded: add a test that does.
    """
    return (
        has_options_that_can_be_recorded,
        takes_a_whole_run,
        takes_a_run_of_nothing,
        takes_names_and_settings_as_users_have_them,
        keeps_runs_of_one_name_apart_while_both_are_open,
        goes_on_with_a_run_that_it_has_a_key_of,
        changes_nothing_that_it_is_given,
    )


def has_options_that_can_be_recorded(tracker: Tracker) -> None:
    """Have options that an experiment's lock file can hold."""
    json.dumps(record(tracker), allow_nan=False)


def takes_a_whole_run(tracker: Tracker) -> None:
    """Take curves, figures, trials, images of any channels, and a file."""
    run = _started(tracker)
    for series in ("stage-1/train", "stage-1/validation", "stage-2/train"):
        for epoch in range(2):
            run.figures({"loss": 1.0 - epoch / 2, "accuracy": 0.5}, step=epoch, series=series)
    run.figures({"clean_accuracy": 1}, series="robust")
    run.figures({"seconds": 0.25})
    for eps in (0.1, 0.2):
        settings: Settings = {"attack": "pgd", "eps": eps, "targeted": False, "steps": 40}
        run.trial(f"robust/pgd linf {eps}", settings, {"accuracy": 0.5 - eps})
    for channels in (1, 2, 3):
        run.images(f"{channels} channels", np.zeros((2, 6, 5, channels), np.float32))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text("<p>47 %</p>", encoding="utf-8")
        run.artifact(page)
        run.close()


def takes_a_run_of_nothing(tracker: Tracker) -> None:
    """Take a run that fails before it has told anything."""
    _started(tracker).close(failed=True)


def takes_names_and_settings_as_users_have_them(tracker: Tracker) -> None:
    """Take names of any characters, long settings, and trials with other settings or figures."""
    name = "../Müller's net (v2) #1: 50 % | ε=0.1"
    run = _started(tracker, Job(command="train", name=name, settings={name: "a" * 10_000}))
    run.figures({name: 0.5}, step=0, series=name)
    run.trial(name, {"attack": "pgd", "eps": 0.1}, {})
    run.trial(f"{name}/second", {"attack": 3, "kind": True}, {name: 0.5})
    run.images(name, np.ones((1, 6, 5, 3), np.float32))
    run.close()


def keeps_runs_of_one_name_apart_while_both_are_open(tracker: Tracker) -> None:
    """Start a run while another one is open, and take figures of both."""
    first, second = _started(tracker), _started(tracker)
    for run in (first, second, first):
        run.figures({"accuracy": 0.5})
    for run in (first, second):
        run.close()


def goes_on_with_a_run_that_it_has_a_key_of(tracker: Tracker) -> None:
    """Go on with a run that failed; begin one where there is none of that key."""
    run = _started(tracker)
    run.figures({"loss": 1.0}, step=0, series="stage-1/train")
    key = run.key
    run.close(failed=True)
    for resumes in (key, "0123456789abcdef0123456789abcdef"):
        resumed = _started(tracker, dataclasses.replace(_JOB, resumes=resumes))
        assert key is None or resumes != key or resumed.key == key, (
            f"it was told to go on with {key}, and goes on with {resumed.key}"
        )
        resumed.figures({"loss": 0.5}, step=1, series="stage-1/train")
        resumed.close()


def changes_nothing_that_it_is_given(tracker: Tracker) -> None:
    """Leave settings, figures and images as they were."""
    settings, figures = {"attack": "pgd"}, {"accuracy": 0.5}
    images = np.full((1, 6, 5, 3), 0.5, np.float32)
    run = _started(tracker, Job(command="evaluate", name="robust", settings=settings))
    run.trial("robust/pgd", settings, figures)
    run.figures(figures)
    run.images("robust/pgd", images)
    run.close()
    assert settings == {"attack": "pgd"}, f"it changed settings that it was given: {settings}"
    assert figures == {"accuracy": 0.5}, f"it changed figures that it was given: {figures}"
    assert (images == 0.5).all(), "it changed images that it was given"


def _started(tracker: Tracker, job: Job = _JOB) -> TrackedRun:
    run = tracker.start(job)
    assert isinstance(run, TrackedRun), f"expected a TrackedRun; got {type(run).__name__}"
    return run
