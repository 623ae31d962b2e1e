"""Our attacks beside what the peers' made of the same small network: `make reference`.

`../shared/reference` holds a network, 200 MNIST images and, in `peers.json`, the figures that
Foolbox, ART and the original AutoAttack reached. Every entry is repeated here with our attack, at
the peer's parameters, on the same first images. Two bars: accuracy at most the peer's + 0.005 (one
image of 200), and for attacks that minimise a norm, that norm at most 1.02 × the peer's: the median
over the images broken, the mean for the count of pixels (L0).

The peers' figures are one run each. One image decides many of these bars, and a random attack
moves an image or two from seed to seed: where that is so (`Match.seeds`), the median over the seeds
0, 1, … is judged, and the range is noted.

    python -m benchmarks.reference [--only KEY]...
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.matches import Entry, entries
from benchmarks.tables import read, replaced, verdict, write
from tfrobust import Classifier, create, load, run_attack
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.errors import RobustError, did_you_mean
from tfrobust.evaluation.audit import audit

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "reference"
_ACCURACY, _NORM = 0.005, 1.02
_BATCH = 100
_ROUNDING = 1e-6  # peers.json holds float32 shares


@dataclasses.dataclass(frozen=True)
class Shared:
    """The network and the images the peers attacked."""

    classifier: Classifier
    images: np.ndarray
    labels: np.ndarray
    peers: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Shared:
        """Read `shared/reference`."""
        with np.load(folder / "mnist_200.npz") as file:
            images = file["images"].astype(np.float32).reshape(-1, 28, 28, 1)
            labels = file["labels"].astype(np.int64)
        peers = json.loads((folder / "peers.json").read_text())["mnist_cnn"]
        return cls(load(folder / "mnist_cnn.keras"), images, labels, peers)


def measure(shared: Shared, entry: Entry) -> dict[str, Any]:
    """Run our attack from as many seeds as the entry asks for, and compare the median."""
    rows = [run(shared, entry, seed) for seed in range(entry.match.seeds)]
    if len(rows) == 1:
        return rows[0]
    reached = [row["accuracy"] for row in rows]
    accuracy = float(np.median(reached))
    sound = not any(row["violations"] for row in rows)
    note = f"seeds 0 to {len(rows) - 1} reach {min(reached):.3f} to {max(reached):.3f}"
    holds = sound and accuracy <= entry.peer["robust_accuracy"] + _ACCURACY + _ROUNDING
    return rows[0] | {"accuracy": accuracy, "holds": holds, "note": note}


def run(shared: Shared, entry: Entry, seed: int) -> dict[str, Any]:
    """Run our attack once at the peer's parameters; see the module for the bars."""
    count = entry.peer.get("images", len(shared.images))
    images, labels = shared.images[:count], shared.labels[:count]
    attack = create("attacks", entry.match.attack, **entry.match.options)
    named: dict[str, Any] = {"seed": seed}
    if attack.threat.targeted:
        named["targets"] = np.asarray(entry.peer["params"]["targets"][:count], np.int64)
    clean = clean_predictions(shared.classifier, images)
    crafted = run_attack(attack, shared.classifier, images, labels, batch_size=_BATCH, **named)
    judged = {"clean": clean, "targets": crafted.targets}
    audited = audit(shared.classifier, attack, images, labels, crafted.images, **judged)
    right = (clean == labels) & (audited.prediction == labels)
    accuracy = float(right.mean())
    norm = _figure(entry.match.figure, audited.distance, (clean == labels) & ~right)
    bar = entry.peer["robust_accuracy"] + _ACCURACY + _ROUNDING
    holds = accuracy <= bar and not audited.violation.any()
    if entry.match.figure:
        holds &= norm is not None and norm <= _NORM * entry.peer[entry.match.figure]
    return _row(entry, images=count, accuracy=accuracy, norm=norm, holds=bool(holds)) | {
        "seconds": round(crafted.seconds, 2),
        "gradients_per_image": crafted.gradients / count,
        "queries_per_image": crafted.queries / count,
        "violations": int(audited.violation.sum()),
    }


def _figure(name: str | None, distance: Mapping[str, Any], broken: np.ndarray) -> float | None:
    if name is None or not broken.any():
        return None
    statistic, norm = name.split("_")
    return float(getattr(np, statistic)(distance[norm][broken]))


def _row(entry: Entry, **measured: Any) -> dict[str, Any]:
    figure = entry.match.figure
    return {
        "what": entry.key,
        "attack": entry.match.attack,
        "options": dict(entry.match.options),
        "peer": entry.peer["peer"],
        "peer_accuracy": round(entry.peer["robust_accuracy"], 4),
        "figure": figure,
        "peer_norm": entry.peer[figure] if figure else None,
        "peer_seconds": entry.peer["seconds"],
        **measured,
    }


_HEAD = """# Beside the peers' figures

`make reference`: each entry of `../shared/reference/peers.json` repeated with our attack, at the
same parameters on the same first images, audited. Accuracy that is left, lower is stronger; one
image of 200 is 0.005. Bars: accuracy ≤ the peer's + 0.005; where a norm is minimised, ≤ 1.02 × the
peer's, over the images each broke. One run, from seed 0, is judged; where a random draw moves the
figure by an image or two, the median over several, and their range stands below. Seconds: one run
of ours with tracing, on two cores; the peers' as `peers.json` gives them, measured on another day.
"""


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| entry | our attack | peer | images | accuracy: peer | ours | norm: peer | ours "
        "| seconds: peer | ours | holds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += map(_line, rows)
    notes = [f"- {row['what']}: {row['note']}" for row in rows if "note" in row]
    return "\n".join([_HEAD, *lines, *(["", *notes] if notes else [])]) + "\n"


def _line(row: dict[str, Any]) -> str:
    norm = f"{row['figure'].replace('_', ' ')} " if row["figure"] else ""
    return (
        f"| {row['what']} | `{row['attack']}` | {row['peer']} | {row.get('images', '–')} "
        f"| {row['peer_accuracy']:.3f} | {_number(row.get('accuracy'))} "
        f"| {norm}{_number(row['peer_norm'])} | {_number(row.get('norm'))} "
        f"| {row['peer_seconds']} | {row.get('seconds', '–')} | {verdict(row)} |"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def main() -> int:
    """Measure and write `results/reference.{json,md}`; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="KEY", action="append", help="this entry; repeatable")
    wanted = parser.parse_args().only
    if not (FOLDER / "peers.json").is_file():
        print(f"{FOLDER}: not there; it holds the peers' figures and is not part of the clone")
        return 1
    shared = Shared.read(FOLDER)
    known = {entry.key: entry for entry in entries(shared.peers)}
    for key in wanted or ():
        if key not in known:
            print(f"--only: no entry {key!r}{did_you_mean(key, list(known))}")
            return 1
    failed = False
    for key in wanted or known:
        try:
            row = measure(shared, known[key])
        except RobustError as error:
            failed = True
            row = _row(known[key], holds=False, note=f"did not run: {error}")
        print(_line(row), *filter(None, [row.get("note")]), flush=True)
        rows = [r for r in replaced(read("reference"), [row]) if r["what"] in known]
        rows.sort(key=lambda row: list(known).index(row["what"]))
        write("reference", rows, table(rows))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
