"""The options of every command whose work can be spread over workers, declared once.

`@uses_workers` gives them to a command, which receives one argument `spread`: `Spread`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrobust.errors import UsageError
from tfrobust.execution.settings import WorkerSettings
from tfrobust_cli.console import Reporter
from tfrobust_cli.options.groups import option_group

if TYPE_CHECKING:
    from tfrobust.evaluation.run_frame import RunOptions
    from tfrobust.execution.ray_executor import RayExecutor
    from tfrobust.execution.reopening import Reopening

_MOST = 10_000
Workers = Annotated[
    int | None,
    typer.Option(help="Processes that compute, one a GPU where there are some.", min=1, max=_MOST),
]
TrainWorkers = Annotated[
    int | None,
    typer.Option(help="Processes that train together, through Ray Train.", min=1, max=_MOST),
]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Ray cluster to compute on: HOST:PORT, or auto."),
]
CpusPerWorker = Annotated[
    int | None,
    typer.Option(
        help="Cores of each worker; default: this machine's shared out, 1 with --ray.",
        min=1,
        max=_MOST,
    ),
]
_DECLARED: dict[str, tuple[Any, Any]] = {
    "workers": (Workers, None),
    "ray": (RayAddress, None),
    "cpus_per_worker": (CpusPerWorker, None),
}


@dataclasses.dataclass(frozen=True)
class Spread:
    """Over which workers a command's work is spread.

    Attributes:
        settings: of the workers; `None`: this process computes.
    """

    settings: WorkerSettings | None

    def prepare(self) -> None:
        """Check that Ray is there, and let this process compute with the threads of a worker.

        TensorFlow reads the number of threads when it is imported: call this before. With the same
        number, bits agree.

        Raises:
            UsageError: Ray is not installed, or the address is none.
            WorkerError: nothing answers at the address.
        """
        if self.settings is not None:
            from tfrobust.execution.ray_cluster import check_workers

            check_workers(self.settings)
            os.environ["TF_NUM_INTRAOP_THREADS"] = str(self.settings.threads)

    @contextlib.contextmanager
    def executor(
        self,
        out: Path,
        reporter: Reporter,
        *,
        in_flight: int = 2,
        reopening: Reopening | None = None,
    ) -> Iterator[RayExecutor | None]:
        """Yield what computes: workers, or `None` for this process.

        Args:
            out: the folder of the run, which all machines of a cluster must see.
            reporter: is told when a worker dies.
            in_flight: see `ray_workers`.
            reopening: see `ray_workers`.
        """
        if self.settings is None:
            yield None
            return
        from tfrobust.execution.ray_executor import ray_workers
        from tfrobust.files.claims import made_folder
        from tfrobust.files.output_folders import PARTIAL

        logs = out / PARTIAL / "logs"
        with (
            made_folder(out),
            ray_workers(
                self.settings,
                logs,
                shared=out,
                in_flight=in_flight,
                log=reporter.log,
                reopening=reopening,
            ) as executor,
        ):
            yield executor

    @contextlib.contextmanager
    def run_options(
        self, out: Path, *, force: bool, reopening: Reopening | None = None
    ) -> Iterator[RunOptions]:
        """Yield how a run folder is written: what computes it, and who is told how far it is.

        Args:
            out: the run folder.
            force: write also where it holds other things.
            reopening: see `ray_workers`.
        """
        with (
            Reporter() as reporter,
            self.executor(out, reporter, reopening=reopening) as executor,
        ):
            yield {
                "force": force,
                "progress": reporter,
                "note": reporter.log,
                "executor": executor,
            }


def spread(*, workers: int | None, ray: str | None, cpus_per_worker: int | None) -> Spread:
    """Return the settings of these options.

    Raises:
        UsageError: cores of workers are given, and no workers.
    """
    if workers is None and ray is None:
        if cpus_per_worker is not None:
            raise UsageError("--cpus-per-worker: expected --workers or --ray too")
        return Spread(None)
    return Spread(WorkerSettings(workers=workers, address=ray, cpus_per_worker=cpus_per_worker))


uses_workers = option_group("spread", _DECLARED, spread)


def _training_spread(
    *, train_workers: int | None, ray: str | None, cpus_per_worker: int | None
) -> Spread:
    return spread(workers=train_workers, ray=ray, cpus_per_worker=cpus_per_worker)


trains_on_workers = option_group(
    "spread",
    {
        "train_workers": (TrainWorkers, None),
        "ray": (RayAddress, None),
        "cpus_per_worker": (CpusPerWorker, None),
    },
    _training_spread,
)
OWN = ("--train-workers", "--ray", "--cpus-per-worker")  # what a worker is not told


def as_worker(arguments: Sequence[str]) -> list[str]:
    """Return the command that each worker of a training runs.

    Args:
        arguments: of the command that starts them, without the program.

    Raises:
        UsageError: they name another strategy.

    Example:
        >>> as_worker(["train", "lenet", "--train-workers", "2"])
        ['train', 'lenet', '--strategy', 'multiworker']
    """
    taking, left, words = _options_with_value(), list[str](), iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        option = [word]
        if name in taking and not equals:
            value = next(words, "")
            option.append(value)
        if name == "--strategy" and value != "multiworker":
            raise UsageError(
                f"--train-workers: expected --strategy multiworker, or none; received: {value}"
            )
        if name not in (*OWN, "--strategy"):
            left += option
    return [*left, "--strategy", "multiworker"]


def _options_with_value() -> set[str]:
    """Return the options of `train` that the next word belongs to: it may look like an option."""
    from tfrobust_cli.main import app

    group: Any = typer.main.get_command(app)
    options = group.commands["train"].params
    with_value = [o for o in options if o.param_type_name == "option" and not o.is_flag]
    return {name for option in with_value for name in option.opts}


def run_as_worker(arguments: list[str]) -> None:
    """Run a command in a worker, where Ray Train has set `TF_CONFIG`."""
    from tfrobust_cli.main import app

    app(arguments, standalone_mode=False, prog_name="tfrobust")
