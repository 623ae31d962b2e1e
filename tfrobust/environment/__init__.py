"""What lies beside the code: versions and threads, and the packages that are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.environment.packages import broken_packages, modules_of, needed_packages
    from tfrobust.environment.versions import environment, threads

__all__ = ["broken_packages", "environment", "modules_of", "needed_packages", "threads"]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "packages": ("broken_packages", "modules_of", "needed_packages"),
        "versions": ("environment", "threads"),
    },
)
