"""Steps are done in order, each once, and the lock says what was done."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory
from tfrobust.data.shifted import Shifted
from tfrobust.errors import GateError, UsageError
from tfrobust.experiment.lock import lock_path, read_lock, revision
from tfrobust.experiment.reading import Experiment
from tfrobust.experiment.running import Runner
from tfrobust.experiment.schema import Step
from tfrobust.registry import create


def step(kind, **settings):
    return Step(kind, f"{kind}[0]", settings, settings)


class World:
    """Does steps by writing what their commands would, and remembers them."""

    def __init__(self, folder, monkeypatch):
        monkeypatch.setenv("TFROBUST_MODELS", str(folder / "models"))
        self.folder, self.done, self.fails = folder, [], None

    def execute(self, step, overwrite):
        if step.kind == self.fails:
            raise GateError("does not hold")
        self.done.append((step.kind, overwrite))
        if step.kind == "train":
            (self.folder / "models" / step.settings["name"]).mkdir(parents=True, exist_ok=True)
        if step.kind == "evaluate":
            out = self.folder / "run"
            out.mkdir(exist_ok=True)
            (out / "results.json").write_text("{}")

    def run(self, *steps, locked=False, options=None):
        self.done = []
        self.runner(steps, options).run(locked=locked)
        return self.done

    def runner(self, steps, options=None):
        return Runner(
            experiment=Experiment(self.folder / "experiment.toml", steps),
            execute=self.execute,
            options=lambda step: options or {},
            scenario=lambda step: None,
            log=lambda line: None,
        )

    def steps(self, epochs=1, eps="0.1"):
        return (
            step("train", model="linear", name="d1", epochs=epochs),
            step("evaluate", classifier=["d1"], eps=[eps], out=str(self.folder / "run")),
            step("check", run=str(self.folder / "run"), min=["clean >= 0.5"]),
        )


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


def test_what_is_done_is_not_done_again_but_checks_are(world):
    assert world.run(*world.steps()) == [("train", False), ("evaluate", False), ("check", False)]
    assert world.run(*world.steps()) == [("check", False)]
    assert [done for _, done in world.runner(world.steps()).planned()] == [True, True, False]


def test_a_changed_step_is_done_again_over_its_own_results_with_what_builds_on_it(world):
    world.run(*world.steps())
    assert world.run(*world.steps(eps="0.2"))[:1] == [("evaluate", True)]
    assert [kind for kind, _ in world.run(*world.steps(epochs=2, eps="0.2"))] == [
        "train",
        "evaluate",
        "check",
    ]


def test_a_step_whose_results_are_gone_is_done_again(world):
    world.run(*world.steps())
    (world.folder / "run" / "results.json").unlink()
    assert [kind for kind, _ in world.run(*world.steps())] == ["evaluate", "check"]


def test_a_failed_step_leaves_the_ones_before_it_done(world):
    world.fails = "check"
    with pytest.raises(GateError):
        world.run(*world.steps())
    world.fails = None
    assert world.run(*world.steps()) == [("check", False)]


def test_locked_refuses_another_file_another_version_and_no_lock(world):
    with pytest.raises(UsageError, match="no lock file yet"):
        world.run(*world.steps(), locked=True)
    world.run(*world.steps())
    assert world.run(*world.steps(), locked=True) == [("check", False)]
    with pytest.raises(UsageError, match=r"train\[0\].epochs: 2 in the file, 1 in the lock"):
        world.run(*world.steps(epochs=2), locked=True)
    with pytest.raises(UsageError, match="options of plugins"):
        world.run(*world.steps(), locked=True, options={"models/linear": {"width": 3}})
    path = lock_path(world.folder / "experiment.toml")
    lock = json.loads(path.read_text())
    lock["versions"]["tensorflow"] = "1.0"
    path.write_text(json.dumps(lock))
    with pytest.raises(UsageError, match=r"version of tensorflow: .* installed, '1.0' in the lock"):
        world.run(*world.steps(), locked=True)


class Told(InMemory):
    """Images of one's own."""

    def load(self, split):
        return tf.data.Dataset.from_tensor_slices(PIXELS[split])


PIXELS = {}


@pytest.mark.parametrize("where", [0, 299])
def test_the_revision_changes_with_any_image_or_label_and_with_no_shift(where):
    def told():
        images = np.zeros((300, 4, 4, 1), np.float32)
        return {"image": images, "label": np.zeros(300, np.int64)}

    PIXELS.update(train=told(), test=told())
    before = revision(Told())
    assert revision(Shifted(Told(), create("shifts", "contrast"))) == before == revision(Told())
    PIXELS["test"]["image"][where, 3, 3] = 0.5
    changed = revision(Told())
    PIXELS["test"]["label"][where] = 2
    assert len({before, changed, revision(Told())}) == 3


def test_of_a_large_split_the_first_images_and_the_number_are_in_the_revision():
    images = np.zeros((300, 4, 4, 1), np.float32)
    one = {"image": images, "label": np.zeros(300, int)}
    PIXELS.update(train=one, test=one)
    an_image = 4 * 4 * 4
    some = revision(Told(), 10 * an_image)
    images[20] = 0.5
    assert revision(Told(), 10 * an_image) == some
    assert revision(Told(), 30 * an_image) != some
    PIXELS["test"] = {"image": images[:299], "label": np.zeros(299, int)}
    assert revision(Told(), 10 * an_image) != some


def test_data_are_read_once_and_only_for_what_is_not_done(world, monkeypatch):
    read = []
    monkeypatch.setattr(
        "tfrobust.experiment.running.revision", lambda scenario: read.append(scenario) or "r1"
    )
    runner = dataclasses.replace(world.runner(world.steps()), scenario=lambda step: InMemory())
    runner.run()
    assert len(read) == 1
    runner.run()
    assert len(read) == 2  # for the check, which is always made
    runner.run(locked=True)
    assert len(read) == 3
    assert {one.data for one in read_lock(runner.experiment.path).steps} == {"r1"}
