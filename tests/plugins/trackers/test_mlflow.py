"""MLflow's tracker: what a store of files holds, by MLflow's own client."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tfrobust import create
from tfrobust.testing import tracker_checks
from tfrobust.tracker import Job

pytest.importorskip("mlflow", reason="MLflow is not installed; pip install 'tfrobust[mlflow]'")

JOB = Job(command="evaluate", name="robust", settings={"scenario": "digits", "seed": 7})


@pytest.mark.slow
@pytest.mark.parametrize("check", tracker_checks(), ids=lambda check: check.__name__)
def test_mlflow_keeps_the_contract(check, tmp_path):
    check(create("trackers", "mlflow", uri=str(tmp_path)))


@pytest.fixture
def tracker(tmp_path):
    return create("trackers", "mlflow", uri=str(tmp_path / "store"), experiment="digits")


def runs_of(tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(tmp_path / "store").as_uri())
    number = client.get_experiment_by_name("digits").experiment_id
    return client, {run.info.run_name: run for run in client.search_runs([number])}


def test_mlflow_reads_params_curves_trials_images_and_pages(tracker, tmp_path):
    page = tmp_path / "report.html"
    page.write_text("<p>25 %</p>", encoding="utf-8")
    run = tracker.start(JOB)
    for step, loss in enumerate((2.0, 1.0)):
        run.figures({"loss": loss}, step=step, series="stage-1/train")
    run.trial("robust/pgd linf 0.1", {"attack": "pgd", "eps": 0.1}, {"accuracy": 0.25})
    run.images("robust/pgd", np.zeros((2, 4, 5, 1), np.float32))
    run.artifact(page)
    run.close()
    client, runs = runs_of(tmp_path)
    parent, trial = runs["robust"], runs["robust/pgd linf 0.1"]
    assert parent.data.params == {"scenario": "digits", "seed": "7"}
    history = client.get_metric_history(parent.info.run_id, "stage-1/train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(0, 2.0), (1, 1.0)]
    assert trial.data.params == {"attack": "pgd", "eps": "0.1"}
    assert trial.data.metrics == {"accuracy": 0.25}
    assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {parent.info.status, trial.info.status} == {"FINISHED"}
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert artifacts == {"images", "report.html"}
    images = client.list_artifacts(parent.info.run_id, "images/robust/pgd")
    assert [Path(file.path).name for file in images] == ["0.png", "1.png"]


def test_a_failed_run_is_a_failed_run_of_mlflow(tracker, tmp_path):
    tracker.start(JOB).close(failed=True)
    assert runs_of(tmp_path)[1]["robust"].info.status == "FAILED"


def test_a_resumed_run_goes_on_and_a_deleted_one_begins_anew(tracker, tmp_path):
    begun = tracker.start(JOB)
    begun.figures({"loss": 2.0}, step=0)
    begun.close(failed=True)
    resumes = dataclasses.replace(JOB, resumes=begun.key)
    resumed = tracker.start(resumes)
    client, runs = runs_of(tmp_path)
    assert runs["robust"].info.status == "RUNNING"
    resumed.figures({"loss": 1.0}, step=1)
    resumed.close()
    client, runs = runs_of(tmp_path)
    [run] = runs.values()
    assert (run.info.run_id, run.info.status) == (begun.key, "FINISHED")
    history = client.get_metric_history(begun.key, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(0, 2.0), (1, 1.0)]
    client.delete_run(begun.key)
    anew = tracker.start(resumes)
    anew.close()
    assert anew.key != begun.key
