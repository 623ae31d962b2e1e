"""Whether memory grows with the number of images, beyond the images themselves."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import Any

_FEW, _MANY = 2_000, 16_000
_ONCE, _REPEATED = 1, 100  # times the 10,000 test images of CIFAR-10
_GROWS = 1.05  # at most, as a share
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
_EXPORT = """
import sys
from tfrobust import KerasClassifier, create
from tfrobust.store import export
network, folder = sys.argv[1:]
export(KerasClassifier(create("models", network).build((32, 32, 3), 10)), folder)
"""
_EVALUATION = """
import re, sys
from pathlib import Path
from tfrobust_cli.main import main
repeat, network, out = sys.argv[1:]
sys.argv = [
    "tfrobust", "evaluate", network, "--scenario", "cifar10", "-p", f"cifar10.repeat={repeat}",
    "--attack", "fgsm", "--eps", str(8 / 255), "--no-baselines", "--out", out]
try:
    main()
except SystemExit as end:
    if end.code:
        raise
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def measure() -> list[dict[str, Any]]:
    """Compare the peak memory of few images and of many: of an attack, and of evaluations."""
    return [*_attack(), *map(_evaluation, ("linear", "lenet"))]


def _evaluation(network: str) -> dict[str, Any]:
    """Compare 10,000 and 1,000,000 images of CIFAR-10 under fgsm, which are read in blocks."""
    with tempfile.TemporaryDirectory() as folder:
        _run(_EXPORT, network, f"{folder}/{network}")
        few, many = (
            _peak(_EVALUATION, str(repeat), f"{folder}/{network}", f"{folder}/{repeat}")
            for repeat in (_ONCE, _REPEATED)
        )
    return {
        "what": f"peak memory, evaluation of {network} under fgsm, 1,000,000 images of CIFAR-10 "
        "instead of 10,000",
        "measured": f"{many:.0f} MiB, {few:.0f} MiB ({many / few - 1:+.1%})",
        "bar": f"≤ {_GROWS - 1:+.0%}",
        "holds": many <= _GROWS * few,
    }


def _attack() -> list[dict[str, Any]]:
    """Compare 2,000 and 16,000 images; both processes hold all images."""
    program = _PROGRAM.format(many=_MANY)
    few, many = (_peak(program, str(count)) for count in (_FEW, _MANY))
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


def _peak(program: str, *arguments: str) -> float:
    """Return the most MiB a fresh process held; `ru_maxrss` would start from this one's."""
    return int(_run(program, *arguments).splitlines()[-1]) / 1024


def _run(program: str, *arguments: str) -> str:
    """Return what a program prints in a fresh process."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout
