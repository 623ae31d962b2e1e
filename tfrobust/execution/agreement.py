"""Whether all machines of a cluster have what this process has: versions, plugins, a shared folder.

Another version computes other figures, and a worker without a plugin fails in the middle of a run.
So each machine is asked before the first worker starts.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfrobust.errors import StoreError, WorkerError, one_line
from tfrobust.execution.ray_cluster import Cluster, Node, imported_ray
from tfrobust.files.leftovers import PREFIX

_PATIENCE = 120  # seconds for a machine to answer: the first process there imports Ray
_PACKAGES = ("tfrobust", "tensorflow", "keras", "tf_keras")
Facts = Mapping[str, Any]


def _asked() -> Callable[[Sequence[str], str], Facts]:
    """Return a function that tells what a machine has.

    It is nested and imports the standard library only, so that Ray sends its code: it must run
    where tfrobust is missing.
    """

    def facts(packages: Sequence[str], token: str) -> Facts:
        import os
        from importlib import metadata

        plugins, versions = {}, {}
        for distribution in metadata.distributions():
            for point in distribution.entry_points:
                if point.group.startswith("tfrobust."):
                    name = f"{point.group.partition('.')[2]}/{point.name}"
                    plugins[name] = f"{distribution.name} {distribution.version}"
        for package in packages:
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                versions[package] = ""
        return {"versions": versions, "plugins": plugins, "sees": os.path.exists(token)}

    return facts


def facts_here(token: str = "") -> Facts:
    """Return what this process has: `versions`, `plugins` and whether it `sees` a file."""
    return _asked()(_PACKAGES, token)


def check_agreement(cluster: Cluster, folder: Path | None = None) -> None:
    """Refuse a cluster with a machine on which a run would fail or compute something else.

    Args:
        cluster: to ask; nothing is asked of this machine about itself.
        folder: that all machines must share; none: the run needs none.

    Raises:
        WorkerError: names each machine, and what it lacks or has otherwise.
        StoreError: a machine does not see the folder.
    """
    if cluster.local:
        return
    with _token(folder) as token:
        there = answers(cluster, _asked(), _PACKAGES, token)
    problems = [
        f"{node.host}: {problem}"
        for node, facts in there.items()
        for problem in disagreements(facts_here(), facts)
    ]
    if problems:
        raise WorkerError(
            f"workers differ from this process: {'; '.join(dict.fromkeys(problems))}; install the "
            "same versions and plugins on every machine"
        )
    blind = sorted({node.host for node, facts in there.items() if not facts["sees"]})
    if folder is not None and blind:
        raise StoreError(
            f"{folder}: is not shared with {', '.join(blind)}; choose a folder that every machine "
            "of the cluster sees under the same path"
        )


def disagreements(here: Facts, there: Facts) -> list[str]:
    """Return a line for each version that differs and each plugin that is missing.

    Args:
        here: what this process has; see `facts_here`.
        there: what a worker has.

    Example:
        >>> disagreements(facts_here(), facts_here())
        []
    """
    problems = []
    for package, version in here["versions"].items():
        other = there["versions"].get(package, "")
        if other != version:
            problems.append(f"{package} {other or 'is missing'} (here {version or 'missing'})")
    missing: dict[str, list[str]] = {}
    for plugin, distribution in here["plugins"].items():
        other = there["plugins"].get(plugin)
        if other is None:
            missing.setdefault(distribution, []).append(plugin)
        elif other != distribution:
            problems.append(f"{other} (here {distribution})")
    problems += [
        f"plugin {', '.join(sorted(plugins)[:3])} is not installed ({distribution} brings it)"
        for distribution, plugins in missing.items()
    ]
    return list(dict.fromkeys(problems))


def answers(cluster: Cluster, function: Callable[..., Any], *given: Any) -> dict[Node, Any]:
    """Call a function once on each machine of a cluster.

    Args:
        cluster: whose machines.
        function: nested, or known to every machine.
        *given: its arguments.

    Returns:
        machine → what the function returned there.

    Raises:
        WorkerError: a machine does not answer.
    """
    ray = imported_ray()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(num_cpus=0, max_retries=1)(function)
    asked = {
        node: remote.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.key, soft=False)
        ).remote(*given)
        for node in cluster.nodes
    }
    returned = {}
    for node, reference in asked.items():
        try:
            returned[node] = ray.get(reference, timeout=_PATIENCE)
        except ray.exceptions.RayError as error:
            raise WorkerError(
                f"worker on {node.host} does not answer: {one_line(error)}"
            ) from error
    return returned


def every_machine_sees(cluster: Cluster, path: Path, digest: str) -> bool:
    """Tell whether all machines have a classifier's file of this content under this path."""
    from tfrobust.execution.content import content_digest

    if cluster.local:
        return True
    there = answers(cluster, content_digest, path)
    return all(other == digest for other in there.values())


@contextlib.contextmanager
def _token(folder: Path | None) -> Iterator[str]:
    """Yield the path of a file that lies in a folder for as long."""
    if folder is None:
        yield ""
        return
    token = folder.absolute() / f"{PREFIX}token-{secrets.token_hex(8)}"
    token.write_text(str(os.getpid()), encoding="utf-8")
    try:
        yield str(token)
    finally:
        token.unlink(missing_ok=True)
