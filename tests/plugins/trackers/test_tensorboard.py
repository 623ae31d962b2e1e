"""TensorBoard's tracker: what its event files hold, by TensorBoard's own reader."""

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from tfrobust import create
from tfrobust.testing import tracker_checks
from tfrobust.tracker import Job

JOB = Job(command="evaluate", name="robust", settings={"scenario": "digits"})


@pytest.mark.parametrize("check", tracker_checks(), ids=lambda check: check.__name__)
def test_tensorboard_keeps_the_contract(check, tmp_path):
    check(create("trackers", "tensorboard", folder=str(tmp_path)))


def read(folder):
    return EventAccumulator(str(folder)).Reload()


def scalars(folder, name):
    found = [tf.make_ndarray(event.tensor_proto).item() for event in read(folder).Tensors(name)]
    return np.round(found, 6).tolist()


def test_tensorboard_reads_curves_trials_and_images(tmp_path):
    run = create("trackers", "tensorboard", folder=str(tmp_path)).start(JOB)
    for step, loss in enumerate((2.0, 1.0)):
        run.figures({"loss": loss}, step=step, series="stage-1/train")
        run.figures({"loss": loss + 1}, step=step, series="stage-1/validation")
    run.trial("robust/pgd linf 0.1", {"attack": "pgd", "eps": 0.1}, {"accuracy": 0.25})
    run.images("robust/pgd linf 0.1", np.full((3, 4, 5, 1), 1.0, np.float32))
    run.close()
    home = tmp_path / "robust"
    assert scalars(home / "stage-1" / "train", "loss") == [2.0, 1.0]
    assert scalars(home / "stage-1" / "validation", "loss") == [3.0, 2.0]
    trial = home / "trials" / "robust" / "pgd_linf_0.1"
    assert scalars(trial, "accuracy") == [0.25]
    content = read(trial).PluginTagToContent("hparams")[metadata.SESSION_START_INFO_TAG]
    options = metadata.parse_session_start_info_plugin_data(content).hparams
    assert options["attack"].string_value == "pgd"
    assert options["eps"].number_value == 0.1
    (shown,) = read(home / "images").Tensors("robust/pgd linf 0.1")
    width, height, *images = tf.make_ndarray(shown.tensor_proto)
    assert (int(width), int(height), len(images)) == (5, 4, 3)
