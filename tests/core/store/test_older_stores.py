"""A store of the layout before this one is read, and moved when a training begins; nothing is lost.

It had `training` and `unfinished` among the versions, which TensorFlow Serving is pointed at.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.interrupted_training import KilledError, Killer
from helpers.support import InMemory
from tfrobust.errors import UsageError
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.pipeline.workspace import occupied
from tfrobust.registry import create
from tfrobust.store.layout import stored
from tfrobust.store.models import load
from tfrobust.training.trainer import Trainer, TrainingOptions

IMAGES = np.random.default_rng(0).uniform(size=(3, 4, 4, 1)).astype(np.float32)
FOLDERS = ("training", "unfinished")


def trained(root, epochs, *callbacks, name="m", **how):
    trainer = Trainer(TrainingOptions(epochs=epochs, batch_size=16), callbacks=callbacks)
    model = create("models", "fully_connected", units=4)
    return train_and_store(model, InMemory(), name, trainer, root=root, **how)


def contents(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def as_it_was(root):
    """Move the folders of trainings to where they lay before."""
    for kind in FOLDERS:
        (root / f"m.{kind}").rename(root / "m" / kind)


@pytest.fixture(scope="module")
def store_of_now(tmp_path_factory):
    """A store with a finished training and an interrupted one."""
    root = tmp_path_factory.mktemp("store")
    trained(root, 1)
    with pytest.raises(KilledError):
        trained(root, 3, Killer("batch_end", 2))
    return root


@pytest.fixture
def older(store_of_now, tmp_path):
    """A copy of it as it was, and what lies where in it now."""
    root = tmp_path / "older"
    shutil.copytree(store_of_now, root)
    as_it_was(root)
    return root, contents(store_of_now)


def test_it_is_read_as_it_lies(older):
    root, _ = older
    served = load("m", root=root)(IMAGES)
    for classifier in (stored_network("m", root), load(root / "m/training/model.keras")):
        np.testing.assert_allclose(classifier(IMAGES), served, atol=1e-6)
    assert stored(root) == ["m"]
    assert (root / "m/training").exists()


def test_it_is_moved_when_a_training_begins_even_if_the_first_move_was_interrupted(
    older, monkeypatch
):
    root, now = older
    renamed = Path.rename

    def once(path, target):
        monkeypatch.setattr(Path, "rename", killed)
        return renamed(path, target)

    def killed(path, target):
        raise KilledError

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(KilledError), occupied(root / "m"):
        pass
    monkeypatch.setattr(Path, "rename", renamed)
    assert {path.name for path in (root / "m").iterdir()} == {"1", "unfinished"}
    np.testing.assert_allclose(
        load(root / "m/training/model.keras")(IMAGES), load("m", root=root)(IMAGES), atol=1e-6
    )
    with occupied(root / "m"):
        assert contents(root).keys() - now.keys() <= {"m/.tfrobust-lock"}
    assert contents(root) == now
    assert {path.name for path in (root / "m").iterdir()} == {"1"}


@pytest.mark.slow
def test_an_interrupted_training_of_it_goes_on_to_the_same_weights(older, tmp_path_factory):
    root, _ = older
    resumed = trained(root, 3, resume=True)
    straight = trained(tmp_path_factory.mktemp("straight"), 3)
    assert resumed.folder.name == "2"
    assert (resumed.classifier(IMAGES).numpy() == straight.classifier(IMAGES).numpy()).all()
    assert {path.name for path in (root / "m").iterdir()} == {"1", "2"}


def test_no_training_takes_the_name_of_the_folder_of_another(tmp_path):
    with pytest.raises(UsageError, match=r"expected one without \.training at its end"):
        trained(tmp_path, 1, name="m.training")
