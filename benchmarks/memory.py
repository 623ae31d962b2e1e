"""Whether memory grows with the number of images, beyond the images themselves."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

_FEW, _MANY = 2_000, 16_000
_SHAPE = (28, 28, 1)
_PROGRAM = """
import re, sys
from pathlib import Path
import numpy as np, tensorflow as tf, keras
from tfrobust import KerasClassifier, create, run_attack
count = int(sys.argv[1])
images = np.random.default_rng(0).uniform(size=({many}, 28, 28, 1)).astype("float32")
labels = np.zeros({many}, "int64")
classifier = KerasClassifier(create("models", "lenet").build((28, 28, 1), 10))
crafted = np.empty_like(images); crafted[:] = 0
attack = create("attacks", "pgd", steps=2, early_stop=False)
run_attack(attack, classifier, images[:count], labels[:count])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def measure() -> list[dict[str, Any]]:
    """Compare the peak memory of 2,000 and of 16,000 images; both processes hold all images."""
    few, many = (_peak(count) for count in (_FEW, _MANY))
    result = (_MANY - _FEW) * 28 * 28 * 4 / 2**20  # the crafted images that are returned
    grown = many - few
    return [
        {
            "what": f"peak memory, {_MANY:,} images instead of {_FEW:,} "
            f"(the returned images alone take {result:.0f} MiB more)",
            "measured": f"{grown:+.0f} MiB of {few:.0f}",
            "bar": f"≤ {2 * result:.0f} MiB",
            "holds": grown <= 2 * result,
        }
    ]


def _peak(count: int) -> float:
    """Return the most MiB a fresh process held; `ru_maxrss` would start from this one's."""
    program = _PROGRAM.format(many=_MANY)
    command = [sys.executable, "-c", program, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return int(done.stdout.splitlines()[-1]) / 1024
