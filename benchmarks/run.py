"""Run every benchmark and write `benchmarks/results/speed.{json,md}`.

    make bench
    python -m benchmarks.run --only floors_lenet --attack pgd
    python -m benchmarks.run --smoke 4          # four images, once; nothing is written

What a part measures replaces its rows in the results; `TFDS_DATA_DIR` says where MNIST and CIFAR-10
are prepared. Peers that are not installed (`pip install -e ".[bench]"`) are skipped, in a row that
says so.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable

from benchmarks import (
    adversarial_training,
    calibrater,
    certificates,
    contests,
    curve,
    endpoints,
    epochs,
    floors,
    fusion,
    memory,
    noise,
    passes,
    pgd,
    retraining,
    startup,
    warm_curve,
    workers,
)
from benchmarks.plan import Plan
from benchmarks.tables import Row, read, replaced, verdict, write

PARTS: dict[str, Callable[[Plan], Iterable[Row]]] = {
    "startup": lambda plan: startup.measure(),
    "pgd": pgd.measure,
    "floors_lenet": functools.partial(floors.measure, name="lenet"),
    "floors_resnet": functools.partial(floors.measure, name="resnet"),
    "contests_lenet": functools.partial(contests.measure, name="lenet"),
    "contests_resnet": functools.partial(contests.measure, name="resnet"),
    "curve": curve.measure,
    "warm_curve": warm_curve.measure,
    "passes": passes.measure,
    "noise": noise.measure,
    "certificates": certificates.measure,
    "adversarial_training": adversarial_training.measure,
    "calibrater": calibrater.measure,
    "endpoints": endpoints.measure,
    "epochs": epochs.measure,
    "fusion": fusion.measure,
    "retraining": retraining.measure,
    "memory": lambda plan: memory.measure(),
    "workers": workers.measure,
}
_TITLES = {
    "startup": "The command line",
    "pgd": "PGD and the gradient floor",
    "floors_lenet": "Attacks ÷ their own gradients and forward passes: LeNet, MNIST",
    "floors_resnet": "The same: residual network, CIFAR-10",
    "contests_lenet": "Beside Foolbox, ART, CleverHans and the original AutoAttack: LeNet, MNIST",
    "contests_resnet": "The same: residual network, CIFAR-10",
    "curve": "A curve of eight budgets: LeNet, MNIST",
    "warm_curve": "A curve of eight budgets with a warm start: LeNet, MNIST",
    "passes": "Monte Carlo dropout: fifty passes beside one",
    "noise": "Pixel noise",
    "certificates": "Certificates by noise ÷ bare forward passes",
    "adversarial_training": "Adversarial training and its gradients",
    "calibrater": "Training a calibrater",
    "endpoints": "Endpoints as classifiers",
    "epochs": "Epochs and their steps alone",
    "fusion": "Training a fusion",
    "retraining": "Retraining on adversarial images",
    "memory": "Memory",
    "workers": "Several workers",
}


def main() -> None:
    """Measure the parts that are wanted; every row is printed as it comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="PART", action="append", choices=PARTS, default=[])
    parser.add_argument("--attack", metavar="NAME", action="append", default=[])
    parser.add_argument("--smoke", metavar="IMAGES", type=int, help="so many, once; write nothing")
    asked = parser.parse_args()
    plan = Plan(attacks=frozenset(asked.attack))
    if asked.smoke:
        plan = dataclasses.replace(plan, turns=1, images=asked.smoke)
    for part in asked.only or PARTS:
        print(f"\n## {part}", flush=True)
        rows = []
        for row in PARTS[part](plan):
            rows.append({"part": part, **row})
            print(_line(row), flush=True)
        if not asked.smoke:
            _keep(part, rows, whole=not asked.attack)


def _keep(part: str, rows: list[Row], *, whole: bool) -> None:
    """Put the rows in the place of what was measured before."""
    old = [r for r in read("speed") if r.get("part") in PARTS and not (whole and r["part"] == part)]
    everything = sorted(replaced(old, rows), key=lambda row: list(PARTS).index(row["part"]))
    peers = ", ".join(sorted({row["peer"] for row in everything if "peer" in row}))
    note = _NOTE.format(cores=os.cpu_count(), peers=peers or "none")
    sections = [f"# Speed\n\n{note}"]
    for name, title in _TITLES.items():
        lines = [_line(row) for row in everything if row["part"] == name]
        if lines:
            head = "| what | measured | bar | holds |\n|---|---|---|---|"
            sections.append("\n".join([f"## {title}\n", head, *lines]))
    write("speed", everything, "\n\n".join(sections) + "\n")


_NOTE = """`make bench`, {cores} cores. A ratio to the floor is the attack's time over that of as
many gradients and forward passes bare, on the same images: the median of five turns in random
order, both traced anew for each, and the range of the turns: one and the same graph runs up to a
quarter faster or slower from trace to trace (`benchmarks/gradient_floor.py`). Beside a peer: how
many times faster ours is, (seconds ours : theirs; tracing, once an attack and network, not
counted), then what each reached (`benchmarks/contests.py`). Peers: {peers}."""


def _line(row: Row) -> str:
    return f"| {row['what']} | {row['measured']} | {row['bar']} | {verdict(row)} |"


if __name__ == "__main__":
    main()
