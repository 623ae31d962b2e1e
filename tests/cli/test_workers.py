"""Commands on several workers give what one process gives; each in processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.commands import ATTACK, EVALUATE, one_line
from helpers.ray_tests import needs_ray
from helpers.small_study import SMALL

TWO = ("--workers", "2", "--cpus-per-worker", "1")
ATTACKS = ("--attack", "pgd", "--attack", "deepfool", "--block-size", "32", "--limit", "300")
_PATIENCE = 280


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tfrobust_cli.main", *map(str, arguments)]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of one thread, wherever the test is."""
    return subprocess.run(
        command(*arguments),
        env=os.environ | {"TF_NUM_INTRAOP_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )


def done(*arguments: str) -> str:
    answer = run(*arguments)
    assert answer.returncode == 0, answer.stderr
    return answer.stderr


def content(folder: Path) -> object:
    """Return results without what is measured with a clock, and the bytes of all outcomes."""
    results = json.loads((folder / "results.json").read_text())
    files = [file for file in folder.rglob("*") if file.suffix in (".parquet", ".npy")]
    return _timeless(results), {f.relative_to(folder): f.read_bytes() for f in files}


def _timeless(value):
    if isinstance(value, dict):
        return {key: _timeless(inside) for key, inside in value.items() if key != "seconds"}
    return [_timeless(inside) for inside in value] if isinstance(value, list) else value


@needs_ray
@pytest.mark.slow
def test_certificates_are_the_same_by_two_workers_alone_and_beside_attacks(with_store, trained):
    trained.model.save(with_store / "layers.keras")
    smoothing = ("--certifier", "smoothing", "-p", "smoothing.sigma=0.25", "-p", "n=200")
    for name, workers in (("one", ()), ("two", TWO)):
        options = ("--limit", "300", "--out", f"runs/{name}", *workers)
        done("certify", "d1", *smoothing, "--eps", "0.25", *options)
    crown = ("--certifier", "crown", "-p", "crown.norm=linf", "--attack", "fgsm", "--eps", "0.05")
    for name, workers in (("alone", ()), ("together", TWO)):
        done("evaluate", "layers.keras", *crown, "--limit", "64", "--out", f"runs/{name}", *workers)
    radii = [np.load(with_store / "runs" / name / "radii.npz") for name in ("one", "two")]
    assert set(radii[0]) == set(radii[1])
    assert all(np.array_equal(array, radii[1][name]) for name, array in radii[0].items())
    assert content(with_store / "runs/alone") == content(with_store / "runs/together")


@needs_ray
@pytest.mark.slow
def test_two_workers_write_what_one_process_writes_though_one_is_killed(with_store):
    done("evaluate", "d1", *ATTACKS, "--out", "one")
    two = subprocess.Popen(
        command("evaluate", "d1", *ATTACKS, "--out", "two", *TWO), stderr=subprocess.PIPE, text=True
    )
    partial = Path("two/.tfrobust-partial")
    end = time.monotonic() + _PATIENCE
    while len(list(partial.glob("*.npz"))) < 3:
        assert two.poll() is None, two.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(_workers(two.pid)[0], signal.SIGKILL)
    _, answer = two.communicate(timeout=_PATIENCE)

    assert two.returncode == 0, answer
    assert re.search(r"worker \d on .* died", answer), answer
    assert content(Path("two")) == content(Path("one"))


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("attack", "d1", "--attack", "pgd", "--block-size", "32", "--limit", "100"),
        ("evaluate", "d1", "--suite", "corruptions", "--limit", "40", "--block-size", "20"),
        ("evaluate", "d1", "--attack", "uap", "--limit", "64", "--block-size", "32"),
    ],
)
def test_every_way_of_evaluating_can_be_spread(with_store, arguments):
    done(*arguments, "--out", "one")
    done(*arguments, "--out", "two", *TWO)

    assert content(Path("two")) == content(Path("one"))


@needs_ray
@pytest.mark.slow
def test_a_study_on_two_workers_has_the_cells_of_one_process(here):
    SMALL.written(here)
    study = ("study", "run", "small-study.toml", "--scale", "tiny")
    done(*study, "--out", "one", "--results", "cells-one")
    answer = done(*study, "--out", "two", "--results", "cells-two", *TWO)

    cells = {file.name: _cell(file) for file in Path("cells-one").rglob("*.json")}
    assert {file.name: _cell(file) for file in Path("cells-two").rglob("*.json")} == cells
    assert len(cells) == 4
    assert "6 of 6" in answer


def _cell(file: Path) -> object:
    return {
        key: value
        for key, value in json.loads(file.read_text()).items()
        if key not in ("seconds", "command")
    }


@needs_ray
@pytest.mark.slow
def test_ray_train_trains_what_one_process_trains(here):
    training = ("train", "fully_connected", "--epochs", "2", "--batch-size", "64")
    done(*training, "--name", "one")
    done(*training, "--name", "two", "--train-workers", "2", "--cpus-per-worker", "1")
    accuracy = [
        json.loads((Path("saved_models") / name / "1/assets.extra/tfrobust.json").read_text())
        for name in ("one", "two")
    ]

    assert accuracy[0]["clean_accuracy"] == pytest.approx(accuracy[1]["clean_accuracy"], abs=0.01)
    assert not list(Path("saved_models").glob(".tfrobust-*")), "Ray Train leaves nothing there"


@needs_ray
@pytest.mark.slow
def test_a_mistake_that_a_training_worker_finds_costs_one_line(here):
    answer = run("train", "lenet", "--name", "bad/name", "--train-workers", "2")

    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.strip().splitlines()[-1].startswith("error: name: ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--cpus-per-worker", "2"), 2, ["--cpus-per-worker", "--workers"]),
        (("--workers", "0"), 2, ["--workers", "0"]),
    ],
)
def test_a_mistake_costs_one_line(tfrobust, with_store, arguments, code, words):
    one_line(tfrobust(*EVALUATE, *arguments), code, *words)


@needs_ray
@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("127.0.0.1:9", 1, ["nothing answers at 127.0.0.1:9"]),
        ("nonsense", 2, ["expected HOST:PORT"]),
    ],
)
def test_a_dead_address_costs_one_line_and_seconds(with_store, address, code, words):
    began = time.monotonic()
    answer = run(*ATTACK, "--attack", "fgsm", "--ray", address)

    assert answer.returncode == code
    assert all(word in answer.stderr for word in words), answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    assert time.monotonic() - began < 60  # most of it starts Python and TensorFlow
    assert not Path("run").exists()


def _workers(process: int) -> list[int]:
    """Return the actors among the descendants of a process."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            name = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1]), name

    def descends(child: int) -> bool:
        while child in parents:
            if child == process:
                return True
            child = parents[child][0]
        return False

    return [p for p, (_, name) in parents.items() if "ray::Worker" in name and descends(p)]
