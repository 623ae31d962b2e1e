"""The distances that attacks find, beside the true least distance: part of `make reference`.

A network of 64–24–24–10 units reads scikit-learn's digits (8×8). Of 50 test images that it reads
rightly, `exact` finds the least L∞ distance by mixed-integer programming. Each attack's distance is
divided by it; `crown` and `ibp` by the same. Bars: no attack is below 1, no certificate above it,
and for the attacks that minimise L∞ the median is at most 1.02.

`fab` bounds the search from above, so its own row proves nothing from below. Without any attack a
search takes about a minute an image: two images are searched so too, and have to agree.

    python -m benchmarks.exact [--images N]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.tables import Row, verdict, write
from tfrobust import Certificates, Classifier, Trainer, TrainingOptions, create, run_attack
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import arrays
from tfrobust.norms.distances import distances
from tfrobust.types import Images, Labels, PerImage

UNITS = (24, 24)
IMAGES = 50
BAR = 1.02  # of the median
ROUNDING = 1e-4  # of the solver and of float32, as a share of a distance
BOUNDED_BY = "fab"  # the search for the least distance, from above
ALONE = 2  # images that are searched without an attack too
_RESTARTS, _HALVINGS = 3, 4


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network, images that it reads rightly, and their certificates.

    Attributes:
        classifier: the network.
        images: float32 `(n, 8, 8, 1)`.
        labels: `(n,)`.
        exact: with `least` and `complete`.
    """

    classifier: Classifier
    images: Images
    labels: Labels
    exact: Certificates


def network(seed: int = 0) -> Classifier:
    """Train the network of 64–24–24–10 units on the digits."""
    import keras

    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(units, activation="relu") for units in UNITS]
    first = [keras.Input((8, 8, 1)), keras.layers.Flatten()]
    model = keras.Sequential([*first, *hidden, keras.layers.Dense(10)])
    classifier = KerasClassifier(model)
    trainer = Trainer(TrainingOptions(epochs=40, seed=seed, learning_rate=3e-3))
    trainer.fit(classifier, create("scenarios", "digits"))
    return classifier


def subject(count: int = IMAGES) -> Subject:
    """Train the network and find the least distance of its first images, to the end."""
    classifier = network()
    images, labels = arrays(create("scenarios", "digits"), "test", 2 * count)
    right = clean_predictions(classifier, images) == labels
    images, labels = images[right][:count], labels[right][:count]
    exact = create("certifiers", "exact", seconds=600.0, attack=BOUNDED_BY)
    return Subject(classifier, images, labels, exact.certify(classifier, images, labels, seed=0))


def minimised(name: str, **options: Any) -> Callable[[Subject], PerImage]:
    """Return how far the images of an attack are in L∞; infinite where it fails."""

    def measure(on: Subject) -> PerImage:
        attack = create("attacks", name, **options)
        crafted = run_attack(attack, on.classifier, on.images, on.labels).images
        broken = clean_predictions(on.classifier, crafted) != on.labels
        return np.where(broken, distances(on.images, crafted)["linf"], np.inf)

    return measure


def bisected(name: str, **options: Any) -> Callable[[Subject], PerImage]:
    """Return how far the images of a fixed-budget attack are, of the least budget that is enough.

    Each image has budgets of its own: bisected from 0.99 to 1.05 × the exact distance.
    """

    def measure(on: Subject) -> PerImage:
        return np.array([_bisected(name, options, on, row) for row in range(len(on.images))])

    return measure


def _bisected(name: str, options: dict[str, Any], on: Subject, row: int) -> float:
    """Return the least distance that any of the budgets gave for one image; else infinity."""
    image, label, exact = on.images[[row]], on.labels[[row]], float(on.exact.least[row])
    low, high, best = 0.99, 1.05, np.inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        attack = create("attacks", name, eps=middle * exact, **options)
        crafted = run_attack(attack, on.classifier, image, label).images
        if clean_predictions(on.classifier, crafted)[0] != label[0]:
            best, high = min(best, float(distances(image, crafted)["linf"][0])), middle
        else:
            low = middle
    return best


def certified(name: str, **options: Any) -> Callable[[Subject], PerImage]:
    """Return the radii of a certifier."""

    def measure(on: Subject) -> PerImage:
        certifier = create("certifiers", name, **options)
        certificates = certifier.certify(on.classifier, on.images, on.labels, seed=0)
        return np.asarray(certificates.radii, np.float64)

    return measure


def alone(on: Subject) -> PerImage:
    """Return the exact distances of the first images without an attack; NaN of the others."""
    certifier = create("certifiers", "exact", seconds=600.0, attack=None)
    found = certifier.certify(on.classifier, on.images[:ALONE], on.labels[:ALONE], seed=0)
    distance = np.full(len(on.images), np.nan)
    distance[:ALONE] = np.where(found.complete, found.least, np.inf)
    return distance


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row of the table.

    Attributes:
        measure: distances or radii, `(n,)`; NaN: not measured.
        bar: what is asked of the quotients by the exact distance.
    """

    measure: Callable[[Subject], PerImage]
    bar: str


_NEAR, _ABOVE, _BELOW = f"all ≥ 1, median ≤ {BAR}", "all ≥ 1", "all ≤ 1"
ENTRIES = {
    "exact, without an attack": Entry(alone, _NEAR),
    "fmn": Entry(minimised("fmn", norm="linf", steps=1000), _NEAR),
    "fab_t": Entry(minimised("fab_t", norm="linf", restarts=_RESTARTS), _NEAR),
    "apgd_t, bisected": Entry(bisected("apgd_t", norm="linf"), _NEAR),
    "fab": Entry(minimised("fab", norm="linf", restarts=_RESTARTS), _ABOVE),
    "deepfool": Entry(minimised("deepfool", norm="linf"), _ABOVE),
    "ddn (minimises L2)": Entry(minimised("ddn", steps=1000), _ABOVE),
    "crown, 50 steps of α": Entry(certified("crown", alpha_steps=50), _BELOW),
    "crown": Entry(certified("crown"), _BELOW),
    "ibp": Entry(certified("ibp"), _BELOW),
}


def row(on: Subject, name: str) -> Row:
    """Return the quotients of one attack or certifier by the exact distance, and whether they hold.

    Only images whose search ended count, of those that were measured.
    """
    entry, start = ENTRIES[name], time.perf_counter()
    distance = entry.measure(on)
    seconds = time.perf_counter() - start
    known = on.exact.complete & ~np.isnan(distance)
    quotients = distance[known] / on.exact.least[known].astype(np.float64)
    least, median, most = (float(f(quotients)) for f in (np.min, np.median, np.max))
    sound = most <= 1 + ROUNDING if entry.bar == _BELOW else least >= 1 - ROUNDING
    holds = bool(sound and (entry.bar != _NEAR or median <= BAR))
    return {
        "what": name,
        "images": int(known.sum()),
        "least": least,
        "median": median,
        "most": most if np.isfinite(most) else None,
        "seconds": round(seconds, 1),
        "bar": entry.bar,
        "holds": holds,
    }


_HEAD = """# Beside the true least distance

`make reference`: L∞ distances of attacks, and certified radii, divided by the least distance that
mixed-integer programming finds (`exact`), of {images} digits (8×8) that a network of
64–24–24–10 units reads rightly. An attack below 1 or a certificate above it would be a bug in one
of them. The exact distances: median {median:.4f}, from {least:.4f} to {most:.4f}; the search ended
for {complete} images. `fab` bounds it from above, so its own row cannot be below 1; the first row
searches {alone} of the images without an attack. Seconds: of all images, with tracing.

| attack or certifier | least | median | most | bar | seconds | holds |
|---|---|---|---|---|---|---|
"""


def table(on: Subject, rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    known = on.exact.least[on.exact.complete]
    head = _HEAD.format(
        images=len(on.images),
        alone=ALONE,
        complete=int(on.exact.complete.sum()),
        median=float(np.median(known)),
        least=float(known.min()),
        most=float(known.max()),
    )
    return head + "".join(map(_line, rows))


def _line(row: Row) -> str:
    most = "fails" if row["most"] is None else f"{row['most']:.3f}"
    return (
        f"| {row['what']} | {row['least']:.4f} | {row['median']:.4f} | {most} | {row['bar']} "
        f"| {row['seconds']} | {verdict(row)} |\n"
    )


def main() -> int:
    """Measure and write `results/exact.{json,md}`; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES, help="how many are searched")
    on = subject(parser.parse_args().images)
    rows = []
    for name in ENTRIES:
        rows.append(row(on, name))
        print(_line(rows[-1]), end="", flush=True)
    write("exact", rows, table(on, rows))
    return int(not all(row["holds"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
