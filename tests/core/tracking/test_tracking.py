"""Trackers are told what runs do, and never harm one."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tfrobust.options import plugin
from tfrobust.study.rebuild import StudyRun
from tfrobust.study.results.claims import Claimed
from tfrobust.study.results.judging import Verdict
from tfrobust.study.tracked import track_study
from tfrobust.testing import tracker_checks
from tfrobust.tracker import Job, TrackedRun, Tracker
from tfrobust.tracking import EpochFigures, Tracking
from tfrobust.tracking.guarded import plain_settings
from tfrobust.tracking.keys import read_keys

JOB = Job(command="train", name="d1", settings={"defenses": [], "model": {"name": "lenet"}})


@dataclasses.dataclass
class Told(TrackedRun):
    """Remembers what it is told; raises where it is asked to."""

    job: Job
    raises_at: str
    calls: list = dataclasses.field(default_factory=list)

    @property
    def key(self):
        self.tell("key")
        return "number 7"

    def tell(self, *call):
        self.calls.append(call)
        if call[0] == self.raises_at:
            raise SystemExit("no network\nand a long story")

    def figures(self, figures, *, step=None, series=""):
        self.tell("figures", series, step, figures)

    def trial(self, name, settings, figures):
        self.tell("trial", name, settings, figures)

    def artifact(self, path):
        self.tell("artifact", path.name)

    def close(self, *, failed=False):
        self.tell("close", failed)


RUNS = []


@plugin
class Remembers(Tracker):
    """Remembers runs in a list."""

    raises_at: str = ""

    def start(self, job):
        if self.raises_at == "start":
            raise ConnectionError("no server")
        RUNS.append(Told(job, self.raises_at))
        return RUNS[-1]


@pytest.fixture(autouse=True)
def _no_runs():
    RUNS.clear()


@pytest.mark.parametrize("check", tracker_checks(), ids=lambda check: check.__name__)
def test_a_tracker_that_remembers_keeps_the_contract(check):
    check(Remembers())


def test_training_and_validation_are_told_apart():
    with Tracking([Remembers()], JOB) as tracking:
        logs = {"loss": 1.0, "val_loss": 2.0, "learning_rate": float("nan")}
        EpochFigures(tracking)("stage-1", 0, logs)
    (run,) = RUNS
    assert run.job.settings == {"model.name": "lenet"}
    assert run.calls == [
        ("figures", "stage-1/train", 0, {"loss": 1.0}),
        ("figures", "stage-1/validation", 0, {"loss": 2.0}),
        ("close", False),
    ]


@pytest.mark.parametrize("place", ["start", "figures", "trial", "artifact", "close"])
def test_a_tracker_that_raises_is_left_out_and_the_others_are_told_on(place, tmp_path):
    page, said = tmp_path / "report.html", []
    page.write_text("", encoding="utf-8")
    with Tracking([Remembers(raises_at=place), Remembers()], JOB, said.append) as tracking:
        tracking.figures({"accuracy": 0.5})
        tracking.trial("d1/pgd", {"eps": 0.1}, {"accuracy": 0.25})
        tracking.artifact(page)
        tracking.artifact(tmp_path / "missing.html")
    (line,) = said
    assert line.startswith("tracker remembers failed: no ")
    assert line.endswith("; the run goes on without it")
    assert "story" not in line
    calls = [call[0] for call in RUNS[-1].calls]
    assert calls == ["figures", "trial", "artifact", "close"]
    left_out = [call[0] for run in RUNS[:-1] for call in run.calls]
    assert left_out == calls[: calls.index(place) + 1 if RUNS[:-1] else 0]


def test_an_interrupted_run_is_closed_as_failed():
    with pytest.raises(KeyboardInterrupt), Tracking([Remembers()], JOB):
        raise KeyboardInterrupt
    assert RUNS[0].calls == [("close", True)]


def test_settings_are_told_as_texts_numbers_and_flags():
    given = {"a": None, "b": [0.1, 0.2], "c": {"d": True, "e": []}, "f": [{"g": Path("h")}]}
    assert plain_settings(given) == {"b": "0.1, 0.2", "c.d": True, "f.0.g": "h"}


def test_nobody_is_told_where_there_is_no_tracker():
    with Tracking([], JOB) as tracking:
        tracking.figures({"accuracy": np.float64(0.5)})
        assert not tracking


def test_a_study_tells_its_claims_and_its_pages(tmp_path):
    page = tmp_path / "report.html"
    page.write_text("", encoding="utf-8")
    claims = [Claimed("dropout helps", Verdict.HOLDS, [], None)] * 2
    with Tracking([Remembers()], JOB) as tracking:
        track_study(tracking, StudyRun(None, None, claims, page))
    calls = RUNS[0].calls
    assert calls[0] == ("figures", "", None, {"claims holds": 2.0})
    told = {"claim": "dropout helps", "verdict": "holds"}
    assert calls[1:3] == [("trial", f"claim {n}", told, {"holds": 1.0}) for n in (1, 2)]
    assert calls[3:] == [("artifact", "report.html"), ("close", False)]


def test_a_resumed_training_goes_on_with_the_runs_that_it_began(tmp_path):
    keys = tmp_path / "unfinished" / "trackers.json"
    with Tracking([Remembers()], JOB, keys=keys):
        assert keys.exists()  # before the first epoch, in which it may be killed
    assert RUNS[-1].calls.count(("key",)) == 1
    for resume, expected in ((True, "number 7"), (False, None)):
        with Tracking([Remembers()], JOB, keys=keys, resume=resume):
            assert RUNS[-1].job.resumes == expected
    keys.write_text('{"runs": 5}', encoding="utf-8")  # damaged: trackers begin anew
    with Tracking([Remembers()], JOB, keys=keys, resume=True):
        assert RUNS[-1].job.resumes is None


def test_a_tracker_that_cannot_say_its_key_is_left_out_alone(tmp_path):
    keys, lines = tmp_path / "trackers.json", []
    trackers = [Remembers(raises_at="key"), Remembers()]
    with Tracking(trackers, JOB, lines.append, keys=keys):
        assert len(lines) == 1
    assert read_keys(keys) == {"remembers": "number 7"}
