"""Two workers of one thread beside one process of one thread: LeNet on MNIST, the suite `fast`.

Each way runs in a fresh process, in blocks of 1,024 images. The clock starts when every worker has
finished its first blocks: starting Ray, importing TensorFlow and tracing do not depend on how many
images follow. What scheduling costs is one worker beside one process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gradient_floor import spread
from benchmarks.networks import network
from benchmarks.plan import Plan

_BLOCK, _BLOCKS, _TURNS = 1024, 10, 3
_SPEEDUP, _COST = 1.8, 1.03  # the bars
_IN_FLIGHT = 2


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Time blocks in one process, in one worker and in two."""
    if importlib.util.find_spec("ray") is None:
        yield {"what": "workers", "measured": "Ray is not installed", "bar": "–", "holds": None}
        return
    source = network("lenet").classifier.source
    block = min(_BLOCK, plan.images)
    turns: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for _ in range(min(plan.turns, _TURNS)):
        for workers, times in turns.items():
            times.append(_seconds_a_block(source, workers, block))
    faster = spread([one / two for one, two in zip(turns[0], turns[2], strict=True)])
    cost = spread([one / bare for one, bare in zip(turns[1], turns[0], strict=True)])
    for what, ratio, bar, holds in (
        ("one process ÷ 2 workers", faster, f"≥ {_SPEEDUP} ×", faster.median >= _SPEEDUP),
        ("1 worker ÷ one process", cost, f"≤ {_COST} ×", cost.median <= _COST),
    ):
        yield {
            "what": f"`--suite fast`, blocks of {block:,}, one thread each: {what}",
            "measured": f"{ratio.median:.2f} × ({ratio.low:.2f} to {ratio.high:.2f})",
            "bar": bar,
            "holds": holds,
        }


def _seconds_a_block(source: str, workers: int, block: int) -> float:
    command = [sys.executable, "-m", "benchmarks.workers", source, str(workers), str(block)]
    one = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    done = subprocess.run(  # noqa: S603 (our own)
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | one
    )
    seconds: float = json.loads(done.stdout.splitlines()[-1])
    return seconds


def main(source: str, workers: int, block: int) -> None:
    """Print the seconds a block takes once all workers are warm; 0 workers: in this process."""
    from tfrobust.execution.executor import InProcess
    from tfrobust.execution.ray_executor import ray_workers
    from tfrobust.execution.settings import WorkerSettings

    job, blocks = _job(source, block)
    if not workers:
        print(_timed(InProcess().map(job, blocks), 1))
        return
    settings = WorkerSettings(workers=workers, cpus_per_worker=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        ray_workers(settings, Path(folder), in_flight=_IN_FLIGHT) as executor,
    ):
        print(_timed(executor.map(job, blocks), 2 * workers))


def _job(source: str, block: int) -> tuple[Any, list[Any]]:
    from tfrobust import create, load, suites
    from tfrobust.data.survey import survey
    from tfrobust.evaluation.blocks.block import surveyed
    from tfrobust.evaluation.blocks.job import EvaluationJob
    from tfrobust.evaluation.settings import EvaluationSettings, checked

    scenario = create("scenarios", "mnist")
    settings = EvaluationSettings(
        classifiers={"lenet": load(source)},
        scenario=scenario,
        attacks=[create("attacks", name, eps=0.3) for name in suites.names_in("fast")],
        baselines=(),
        split="train",
        block_size=block,
    )
    seen = survey(scenario, "train", _BLOCKS * block, block)
    job = EvaluationJob((checked(settings),), images=len(seen.labels), reads_on=False)
    return job, surveyed(seen, block)


def _timed(results: Iterator[Any], warm: int) -> float:
    """Return the seconds a result takes after the first `warm` ones."""
    for _ in range(warm):
        next(results)
    began, count = time.perf_counter(), sum(1 for _ in results)
    return (time.perf_counter() - began) / count


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
