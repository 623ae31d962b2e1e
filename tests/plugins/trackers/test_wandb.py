"""The tracker of Weights & Biases, in files alone: nothing is sent."""

import json
import types

import numpy as np
import pytest

from tfrobust import create
from tfrobust.testing import tracker_checks
from tfrobust.tracker import Job

pytestmark = pytest.mark.slow  # every run starts a program of W&B
pytest.importorskip("wandb", reason="wandb is not installed; pip install 'tfrobust[wandb]'")


@pytest.fixture
def tracker(tmp_path):
    return create("trackers", "wandb", mode="offline", folder=str(tmp_path))


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # W&B's own folder
@pytest.mark.parametrize("check", tracker_checks(), ids=lambda check: check.__name__)
def test_wandb_keeps_the_contract(check, tracker):
    check(tracker)


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
def test_wandb_writes_curves_trials_images_and_pages_for_sync(tracker, tmp_path):
    page = tmp_path / "report.html"
    page.write_text("<p>25 %</p>", encoding="utf-8")
    run = tracker.start(Job(command="evaluate", name="robust", settings={"scenario": "digits"}))
    for stage in (1, 2):
        for step, loss in enumerate((2.0, 1.0)):
            run.figures({"loss": loss}, step=step, series=f"stage-{stage}/train")
    run.trial("robust/pgd", {"attack": "pgd", "eps": 0.1}, {"accuracy": 0.25})
    run.trial("robust/fgsm", {"attack": "fgsm", "eps": 0.1}, {"accuracy": 0.5, "seconds": 1.0})
    run.images("robust/pgd", np.zeros((2, 4, 5, 1), np.float32))
    run.artifact(page)
    run.close()
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    (table,) = folder.rglob("trials*.table.json")
    found = json.loads(table.read_text(encoding="utf-8"))
    assert found["columns"] == ["trial", "attack", "eps", "accuracy", "seconds"]
    assert found["data"] == [
        ["robust/pgd", "pgd", 0.1, 0.25, None],
        ["robust/fgsm", "fgsm", 0.1, 0.5, 1.0],
    ]
    assert len(list(folder.rglob("*.png"))) >= 1
    (log,) = folder.glob("*.wandb")
    written = log.read_bytes()
    for name in (b"stage-1/train/loss", b"stage-2/train/loss", b"report.html", b"digits"):
        assert name in written


@pytest.mark.parametrize(
    ("mode", "asked"), [("online", ("abc", "allow")), ("offline", (None, None))]
)
def test_wandb_goes_on_with_the_run_of_a_key_where_there_is_a_server(
    monkeypatch, tmp_path, mode, asked
):
    def init(**options):
        assert (options["id"], options["resume"]) == asked
        return types.SimpleNamespace(id="abc", offline=mode == "offline")

    monkeypatch.setattr("wandb.init", init)
    tracker = create("trackers", "wandb", mode=mode, folder=str(tmp_path))
    run = tracker.start(Job(command="train", name="robust", resumes="abc"))
    assert run.key == asked[0]
