"""The time of pixel noise: all its stages, on MNIST's whole test split."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.plan import Plan
from benchmarks.tables import Row
from tfrobust import create
from tfrobust.data.reading import arrays
from tfrobust.engine.staged import run_stages
from tfrobust.testing import LinearClassifier

_NOISES = ("white_to_black", "black_to_white", "random_pixel_invert", "edge_to_altered")
_COUNTS = range(0, 201, 10)
_IMAGES, _BAR = 10_000, 15.0
_TURNS = 3


def measure(plan: Plan) -> Iterator[Row]:
    """Time 200 generations with the snapshots at 0, 10, …, 200; tracing counts."""
    images, labels = arrays(create("scenarios", "mnist"), "test", min(_IMAGES, 10 * plan.images))
    unused = LinearClassifier(images.shape[1:], 10)  # noise queries no classifier
    for name in _NOISES:
        if not plan.wants(name):
            continue
        stages = [create("attacks", name, count=count) for count in _COUNTS]
        seconds = []
        for _ in range(min(_TURNS, plan.turns)):
            began = time.perf_counter()
            run_stages(stages, unused, images, labels)
            seconds.append(time.perf_counter() - began)
        median = sorted(seconds)[len(seconds) // 2]
        yield {
            "what": f"`{name}`: {max(_COUNTS)} generations of {len(images):,} images, "
            f"{len(_COUNTS)} snapshots",
            "measured": f"{median:.1f} s ({min(seconds):.1f} to {max(seconds):.1f})",
            "bar": f"≤ {_BAR:.0f} s",
            "holds": median <= _BAR,
        }
