"""MLflow: a run on a tracking server or in a folder, and a child run for each trial.

A run has its settings as params, its curves as metrics, example images, and the files that it
wrote as artifacts. Each classifier under each attack is a child of it, so that MLflow sorts and
compares them. The client alone is needed (`mlflow-skinny`): the whole of MLflow adds a web server
and a database.

Nothing is sent but to the tracking server: MLflow's own telemetry is off unless
`MLFLOW_DISABLE_TELEMETRY` says otherwise.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfrobust.options import option, plugin
from tfrobust.tracker import Figures, Job, Settings, TrackedRun, Tracker, pictures
from tfrobust.types import Images

# Set before the import, which reads some of them. A server that does not answer must not hold a
# run up for the quarter of an hour that MLflow waits by itself.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

_LONGEST = 500  # characters of a value, on servers of any age
_AT_ONCE = 100  # params, and metrics, in a request


class MlflowRun(TrackedRun):
    """A run of MLflow.

    Args:
        client: of a tracking server or a folder.
        experiment: its number.
        job: what is done.
    """

    def __init__(self, client: MlflowClient, experiment: str, job: Job) -> None:
        self._client, self._experiment = client, experiment
        if job.resumes is not None and self._is_there(job.resumes):
            self._run = job.resumes
            client.update_run(self._run, status="RUNNING")
        else:
            self._run = self._created(job.name, {"tfrobust.command": job.command}, job.settings)

    @property
    def key(self) -> str:
        """The run's number."""
        return self._run

    def figures(self, figures: Figures, *, step: int | None = None, series: str = "") -> None:
        """Log metrics, as `series/name`."""
        named = {f"{series}/{name}" if series else name: v for name, v in figures.items()}
        self._log_figures(self._run, named, step or 0)

    def trial(self, name: str, settings: Settings, figures: Figures) -> None:
        """Log a child run."""
        child = self._created(name, {"mlflow.parentRunId": self._run}, settings)
        self._log_figures(child, figures, 0)
        self._client.set_terminated(child)

    def images(self, name: str, images: Images) -> None:
        """Log images, as PNG files."""
        for number, image in enumerate(pictures(images)):
            file = f"images/{_key(name)}/{number}.png"
            self._client.log_image(self._run, image, artifact_file=file)

    def artifact(self, path: Path) -> None:
        """Log a file."""
        self._client.log_artifact(self._run, str(path))

    def close(self, *, failed: bool = False) -> None:
        """End the run."""
        self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")

    def _is_there(self, number: str) -> bool:
        """Tell whether the experiment has a run that is not deleted."""
        try:
            info = self._client.get_run(number).info
        except MlflowException:  # of another server; one that does not answer fails the next call
            return False
        here = str(info.experiment_id) == str(self._experiment)
        return here and info.lifecycle_stage == "active"

    def _created(self, name: str, tags: dict[str, str], settings: Settings) -> str:
        created = self._client.create_run(self._experiment, run_name=name, tags=tags)
        number = str(created.info.run_id)
        params = [Param(_key(key), str(value)[:_LONGEST]) for key, value in settings.items()]
        for some in _pieces(params):
            self._client.log_batch(number, params=some)
        return number

    def _log_figures(self, run: str, figures: Figures, step: int) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(_key(name), value, now, step) for name, value in figures.items()]
        for some in _pieces(metrics):
            self._client.log_batch(run, metrics=some)


@plugin
class Mlflow(Tracker):
    """Runs of MLflow, on a tracking server or in a folder."""

    experiment: str = option("experiment of the runs", default="tfrobust", min_length=1)
    uri: str | None = option(
        "tracking server, database or folder; none: MLFLOW_TRACKING_URI, else the folder mlruns",
        default=None,
    )

    def start(self, job: Job) -> MlflowRun:
        """Create a run, and the experiment where it is new."""
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or "mlruns"
        if "://" not in uri or uri.startswith("file:"):
            # MLflow asks for consent to write into a folder, which this is.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = uri if "://" in uri else Path(uri).resolve().as_uri()
        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(self.experiment)
        number = known.experiment_id if known else client.create_experiment(self.experiment)
        return MlflowRun(client, number, job)


def _key(name: str) -> str:
    """Return a name as MLflow's keys and paths may be."""
    parts = [re.sub(r"[^\w\-. ]", "_", part).strip(".") or "_" for part in name.split("/")]
    return "/".join(parts)[:250]


def _pieces(entries: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(entries), _AT_ONCE):
        yield entries[start : start + _AT_ONCE]
