"""The distances that attacks find, beside the least distance: part of `make reference`.

Networks of 64–24–24–10 units, one a seed, read scikit-learn's digits (8×8). Of test images that
each reads rightly, `exact` finds the least L∞ distance by mixed-integer programming. Each attack's
distance is divided by it; `crown` and `ibp` by the same. Bars: no attack is below 1, no certificate
above it; `fmn` and `fab_t` are at most 1.005 in the mean and 1.05 at worst, `nearest` 1.01 at
worst.

An attack (`nearest`) bounds the search from above, so its own row proves nothing from below.
Without any attack a search takes about a minute an image: an image of each network is searched so
too, and has to agree. No program finds the least L2 distance: there it is the best of long attacks
(`exact_subjects.LONG_IN_L2`), and no bar asks for at least 1.

    python -m benchmarks.exact [--images N] [--seeds N]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.exact_subjects import SECONDS, Subject, attacked, subject
from benchmarks.tables import Row, verdict, write
from tfrobust import create, run_attack
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.norms.distances import distances
from tfrobust.types import PerImage

IMAGES, SEEDS = 20, 3
ROUNDING = 1e-4  # of the solver and of float32, as a share of a distance
ALONE = 1  # images of each network that are searched without an attack too
_HALVINGS = 4

# Distances or radii `(n,)`, NaN: not measured; passes an image, where they are counted.
Measure = Callable[[Subject], tuple[PerImage, float | None]]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row of the table.

    Attributes:
        measure: what is divided by the least distance.
        least: what the quotients must reach, at least.
        mean: what their mean must not exceed.
        most: what none of them must exceed.
        norm: of the distance.
    """

    measure: Measure
    least: float | None = 1.0
    mean: float | None = None
    most: float | None = None
    norm: str = "linf"

    def holds(self, quotients: PerImage) -> bool:
        """Tell whether the quotients keep the bars, up to rounding."""
        above = self.least is None or quotients.min() >= self.least - ROUNDING
        near = self.mean is None or quotients.mean() <= self.mean
        return bool(above and near and (self.most is None or quotients.max() <= self.most))

    @property
    def bar(self) -> str:
        """What is asked, in words."""
        asked = [f"all ≥ {self.least:g}"] if self.least is not None else []
        asked += [f"mean ≤ {self.mean:g}"] if self.mean is not None else []
        asked += [f"all ≤ {self.most:.4g}"] if self.most is not None else []
        return ", ".join(asked) or "–"


def minimised(name: str, **options: Any) -> Measure:
    """Return how far the images of an attack are; infinite where it fails."""
    return lambda on: attacked(on.classifier, on.images, on.labels, name, options)


def bisected(name: str, **options: Any) -> Measure:
    """Return how far the images of a fixed-budget attack are, of the least budget that is enough.

    Each image has budgets of its own: bisected from 0.99 to 1.05 × the least distance.
    """

    def measure(on: Subject) -> tuple[PerImage, None]:
        rows = range(len(on.images))
        return np.array([_bisected(name, options, on, row) for row in rows]), None

    return measure


def _bisected(name: str, options: dict[str, Any], on: Subject, row: int) -> float:
    """Return the least distance that any of the budgets gave for one image; else infinity."""
    norm = options["norm"]
    image, label, least = on.images[[row]], on.labels[[row]], float(on.least[norm][row])
    low, high, best = 0.99, 1.05, np.inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        attack = create("attacks", name, eps=middle * least, **options)
        crafted = run_attack(attack, on.classifier, image, label).images
        if clean_predictions(on.classifier, crafted)[0] != label[0]:
            best, high = min(best, float(distances(image, crafted)[norm][0])), middle
        else:
            low = middle
    return best


def certified(name: str, **options: Any) -> Measure:
    """Return the radii of a certifier."""

    def measure(on: Subject) -> tuple[PerImage, None]:
        certifier = create("certifiers", name, **options)
        certificates = certifier.certify(on.classifier, on.images, on.labels, seed=0)
        return np.asarray(certificates.radii, np.float64), None

    return measure


def alone(on: Subject) -> tuple[PerImage, None]:
    """Return the exact distances of the first images without an attack; NaN of the others."""
    certifier = create("certifiers", "exact", seconds=SECONDS, attack=None)
    found = certifier.certify(on.classifier, on.images[:ALONE], on.labels[:ALONE], seed=0)
    distance = np.full(len(on.images), np.nan)
    distance[:ALONE] = np.where(found.complete, found.least, np.inf)
    return distance, None


def _asked(name: str, norm: str, **bars: Any) -> Entry:
    return Entry(minimised(name, norm=norm), norm=norm, **bars)


_BARS: dict[str, Any] = {"mean": 1.005, "most": 1.05}
_IN_L2: dict[str, Any] = {"least": None, "norm": "l2"}
_CERTIFICATE: dict[str, Any] = {"least": None, "most": 1.0 + ROUNDING}
ENTRIES = {
    "exact, without an attack": Entry(alone, most=1.005),
    "fmn": _asked("fmn", "linf", **_BARS),
    "fab_t": _asked("fab_t", "linf", **_BARS),
    "nearest": _asked("nearest", "linf", most=1.01),
    "apgd_t, bisected": Entry(bisected("apgd_t", norm="linf")),
    "fab": _asked("fab", "linf"),
    "deepfool": _asked("deepfool", "linf"),
    "fmn, the paper's": Entry(minimised("fmn", norm="linf", target_classes=0)),
    "fmn, L2": _asked("fmn", "l2", least=None, **_BARS),
    "fab_t, L2": _asked("fab_t", "l2", least=None, **_BARS),
    "nearest, L2": _asked("nearest", "l2", least=None, most=1.01),
    "apgd_t, bisected, L2": Entry(bisected("apgd_t", norm="l2"), **_IN_L2),
    "ddn, L2": Entry(minimised("ddn"), **_IN_L2),
    "deepfool, L2": _asked("deepfool", "l2", least=None),
    "fmn, the paper's, L2": Entry(minimised("fmn", norm="l2", target_classes=0), **_IN_L2),
    "crown, 50 steps of α": Entry(certified("crown", alpha_steps=50), **_CERTIFICATE),
    "crown": Entry(certified("crown"), **_CERTIFICATE),
    "ibp": Entry(certified("ibp"), **_CERTIFICATE),
}


def row(subjects: Sequence[Subject], name: str) -> Row:
    """Return the quotients of one attack or certifier by the least distance, and whether they hold.

    Only images whose search ended count, of those that were measured.
    """
    entry, start = ENTRIES[name], time.perf_counter()
    measured = [(on, *entry.measure(on)) for on in subjects]
    seconds = time.perf_counter() - start
    quotients = np.concatenate([_quotients(on, far, entry.norm) for on, far, _ in measured])
    passes = [count for *_, count in measured if count is not None]
    least, mean, most = (float(f(quotients)) for f in (np.min, np.mean, np.max))
    return {
        "what": name,
        "images": len(quotients),
        "least": least,
        "mean": mean if np.isfinite(mean) else None,
        "most": most if np.isfinite(most) else None,
        "passes": round(float(np.mean(passes))) if passes else None,
        "seconds": round(seconds, 1),
        "bar": entry.bar,
        "holds": entry.holds(quotients),
    }


def _quotients(on: Subject, distance: PerImage, norm: str) -> PerImage:
    known = on.known[norm] & ~np.isnan(distance)
    return np.asarray(distance[known] / on.least[norm][known])


_HEAD = """# Beside the least distance

`make reference`: distances of attacks, and certified radii, divided by the least distance, of
{images} digits (8×8) that {networks} networks of 64–24–24–10 units read rightly. In L∞,
mixed-integer programming finds it (`exact`): an attack below 1 or a certificate above it would be a
bug in one of them. The exact distances: median {median:.4f}, from {least:.4f} to {most:.4f}; the
search ended for {complete} images. `nearest` bounds it from above, so its own row cannot be below
1; the first row searches {alone} image of each network without an attack. No program finds the
least L2 distance: there, it is the best of long attacks. Passes: forward and backward, an image.
Seconds: of all images, with tracing.

| attack or certifier | least | mean | most | bar | passes | seconds | holds |
|---|---|---|---|---|---|---|---|
"""


def table(subjects: Sequence[Subject], rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    known = np.concatenate([on.least["linf"][on.known["linf"]] for on in subjects])
    head = _HEAD.format(
        images=sum(len(on.images) for on in subjects),
        networks=len(subjects),
        alone=ALONE,
        complete=len(known),
        median=float(np.median(known)),
        least=float(known.min()),
        most=float(known.max()),
    )
    return head + "".join(map(_line, rows))


def _line(row: Row) -> str:
    mean, most = ("fails" if row[key] is None else f"{row[key]:.4f}" for key in ("mean", "most"))
    passes = "–" if row["passes"] is None else row["passes"]
    return (
        f"| {row['what']} | {row['least']:.4f} | {mean} | {most} | {row['bar']} | {passes} "
        f"| {row['seconds']} | {verdict(row)} |\n"
    )


def main() -> int:
    """Measure and write `results/exact.{json,md}`; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES, help="of each network")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many networks")
    given = parser.parse_args()
    subjects = [subject(seed, given.images) for seed in range(given.seeds)]
    rows = []
    for name in ENTRIES:
        rows.append(row(subjects, name))
        print(_line(rows[-1]), end="", flush=True)
    write("exact", rows, table(subjects, rows))
    return int(not all(row["holds"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
