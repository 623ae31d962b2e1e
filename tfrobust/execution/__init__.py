"""Where work is done: one protocol, `Executor.map`, in this process or spread over several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.execution.executor import Executor, Failed, InProcess, Job
    from tfrobust.execution.ray_executor import ray_workers
    from tfrobust.execution.settings import WorkerSettings

__all__ = ["Executor", "Failed", "InProcess", "Job", "WorkerSettings", "ray_workers"]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "executor": ("Executor", "Failed", "InProcess", "Job"),
        "ray_executor": ("ray_workers",),
        "settings": ("WorkerSettings",),
    },
)
