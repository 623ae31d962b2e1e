"""A training on several workers, started through Ray Train: it sets `TF_CONFIG` in each of them.

Ray Train places the workers, tells them of one another and ends all when one fails. What a worker
does is the same as where Slurm or Kubeflow has set `TF_CONFIG`; see `tfrobust.training.cluster`.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfrobust.errors import RobustError, UsageError, WorkerError, one_line
from tfrobust.execution.agreement import check_agreement
from tfrobust.execution.ray_cluster import Cluster, connected, imported_ray
from tfrobust.execution.settings import WorkerSettings
from tfrobust.execution.worker_environment import worker_environment
from tfrobust.files.leftovers import temporary_folder

_OUTPUT, _ERRORS = "worker-{}.out", "worker-{}.err"
_TICK = 0.5  # seconds between looks at what the chief has written
MOST_STARTS = 3  # of all workers, after one of them has died
Log = Callable[[str], object]
Work = Callable[[list[str]], None]


def train_on_ray(
    work: Work,
    arguments: list[str],
    settings: WorkerSettings,
    shared: Path,
    *,
    begun: Callable[[], bool],
    log: Log = lambda _: None,
) -> str:
    """Let every worker of a cluster do its part of a training; return when all have done it.

    When a worker dies, all are started again, up to three times in all: with `--resume` once the
    training has begun, and with the same arguments before that.

    Args:
        work: what a worker does; a function of a module that workers can import.
        arguments: for `work`; all workers receive the same.
        settings: how many workers, and where.
        shared: the store, which all machines must see.
        begun: tells whether the training has left anything in the store.
        log: receives what the chief, the first worker, writes to stderr, and a line when workers
            are started again.

    Returns:
        What the chief has printed.

    Raises:
        UsageError: Ray Train is not installed, or there are fewer GPUs than workers; or what the
            work raises.
        RobustError: what the work raises on a worker.
        WorkerError: workers die again and again, or their machines differ from this one.
    """
    imported_ray()
    train = _ray_train()
    shared.mkdir(parents=True, exist_ok=True)
    cause = ""
    with connected(settings) as cluster:
        check_gpus(cluster)
        check_agreement(cluster, shared)
        for start in range(MOST_STARTS):
            config = {"arguments": resuming(arguments) if start and begun() else arguments}
            try:
                with _storage(shared) as storage:
                    loop = _loop(work, str(Path.cwd()), str(storage.absolute()))
                    with followed(storage / _ERRORS.format(0), log):
                        _trainer(train, cluster, loop, config, storage).fit()
                    return (storage / _OUTPUT.format(0)).read_text(encoding="utf-8")
            except train.TrainingFailedError as error:
                if refused := _refusal(error):
                    raise refused from error
                cause = _last_line(error)
                log(f"a worker of the training died ({cause}); all start again from what is kept")
    raise WorkerError(f"training: workers died {MOST_STARTS} times ({cause})")


def resuming(arguments: list[str]) -> list[str]:
    """Return the arguments that go on with what they have begun.

    `--force` would throw it away. Before anything is begun it must stay: `--resume` alone would go
    on with an older training, or return the version that `--force` is to replace.

    Example:
        >>> resuming(["train", "lenet", "--force"])
        ['train', 'lenet', '--resume']
    """
    kept = [argument for argument in arguments if argument not in ("--force", "--resume")]
    return [*kept, "--resume"]


def check_gpus(cluster: Cluster) -> None:
    """Refuse workers that would share a GPU: they exchange gradients, and need one each.

    Raises:
        UsageError: there are fewer GPUs than workers.
    """
    if 0 < cluster.gpus_per_worker < 1:
        raise UsageError(
            f"--train-workers: expected at most one worker for each GPU; received: "
            f"{cluster.workers} workers, of which {cluster.where} would let "
            f"{int(1 / cluster.gpus_per_worker)} share a GPU; give fewer"
        )


def _trainer(
    train: _RayTrain,
    cluster: Cluster,
    loop: Callable[[dict[str, Any]], None],
    config: dict[str, Any],
    storage: Path,
) -> Any:
    threads = cluster.settings.threads
    return train.TensorflowTrainer(
        loop,
        train_loop_config=config,
        scaling_config=train.ScalingConfig(
            num_workers=cluster.workers,
            use_gpu=cluster.gpus_per_worker > 0,
            resources_per_worker={"CPU": threads},
        ),
        run_config=train.RunConfig(
            storage_path=str(storage.absolute()),
            worker_runtime_env={
                "env_vars": worker_environment(threads)
                | {
                    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # what is printed goes to our files alone
                }
            },
        ),
    )


@contextlib.contextmanager
def _storage(shared: Path) -> Iterator[Path]:
    """Yield a folder for what Ray Train itself writes; it is removed at the end."""
    folder = temporary_folder(shared)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _last_line(error: BaseException) -> str:
    """Return the line that says why: the last one of a text with a traceback in it."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1] if lines else type(error).__name__)


def _loop(work: Work, folder: str, logs: str) -> Callable[[dict[str, Any]], None]:
    """Return what Ray Train runs in each worker; what it writes goes to files in `logs`."""

    def loop(config: dict[str, Any]) -> None:
        rank = importlib.import_module("ray.train").get_context().get_world_rank()
        if Path(folder).is_dir():
            os.chdir(folder)
        for stream, name in ((1, _OUTPUT), (2, _ERRORS)):
            with (Path(logs) / name.format(rank)).open("ab") as file:
                os.dup2(file.fileno(), stream)
        try:
            work(config["arguments"])
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    return loop


@contextlib.contextmanager
def followed(file: Path, log: Log) -> Iterator[None]:
    """Log the lines of a file while it grows."""
    over = threading.Event()

    def follow() -> None:
        place, last = 0, False
        while not last:
            last = over.wait(_TICK)
            if not file.exists():
                continue
            with file.open("rb") as opened:
                opened.seek(place)
                written = opened.read()
            if not last:  # the rest of a line, or of a character, is still to come
                written = written[: written.rfind(b"\n") + 1]
            place += len(written)
            for line in written.decode(errors="replace").splitlines():
                log(line)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()


def _refusal(error: BaseException) -> RobustError | None:
    """Return the mistake of a user that a worker has refused, or `None`: the worker died."""
    for failure in getattr(error, "worker_failures", {}).values():
        cause: BaseException | None = failure
        while cause is not None:
            if isinstance(cause, RobustError):
                return cause
            cause = getattr(cause, "cause", None) or cause.__cause__
    return None


class _RayTrain:
    """The names of Ray Train that are used here."""

    def __init__(self) -> None:
        train = importlib.import_module("ray.train")
        tensorflow = importlib.import_module("ray.train.tensorflow")
        self.ScalingConfig, self.RunConfig = train.ScalingConfig, train.RunConfig
        self.TensorflowTrainer = tensorflow.TensorflowTrainer
        self.TrainingFailedError = train.TrainingFailedError


def _ray_train() -> _RayTrain:
    try:
        train = _RayTrain()
    except ImportError as error:
        raise UsageError(
            f"--train-workers: Ray Train does not import ({one_line(error)}); run: "
            'pip install "tfrobust[ray]"'
        ) from error
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    return train
