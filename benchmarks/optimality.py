"""How near the attacks that minimise a norm come to the best of all: part of `make reference`.

A budget of passes is given, forward and backward ones, an image; each attack gets the number of
steps that spends it (`Contestant`). d*(x) is the least distance that any attack found at any
budget. The area under an attack's curve of robust accuracy, up to D = max d*, is the mean of
min(d, D), and

optimality = 1 − (mean min(d, D) − mean d*) / (D − mean d*)

over images that the network reads rightly: 1 is the best of all, 0 an attack that finds nothing
within D. This is AttackBench's measure (Cinà, Rony, Pintor, Demetrio, Demontis, Biggio, Ben Ayed &
Roli, "AttackBench: evaluating gradient-based attacks for adversarial examples", 2024), with its
area by steps instead of trapezia; the passes stand beside it, because no attack is stopped by
force.

Networks: `lenet` on scikit-learn's digits, plainly and adversarially trained, and the network of
`../shared/reference` on MNIST, where that is there.

    python -m benchmarks.optimality [--budget N]... [--network NAME]... [--norm N]... [--images N]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import reference
from benchmarks.exact_subjects import attacked
from benchmarks.tables import Row, read, replaced, write
from tfrobust import Classifier, Trainer, TrainingOptions, create
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.data.reading import arrays
from tfrobust.pipeline.build import train
from tfrobust.types import Images, Labels, PerImage

BUDGETS = (200, 1000)
IMAGES = 50
NETWORKS = ("digits", "digits, pgd_training", "mnist")
NORMS = ("linf", "l2", "l1", "l0")
_CLASSES = 9  # that fab tries, and deepfool


@dataclasses.dataclass(frozen=True)
class Contestant:
    """An attack, and how many steps a budget of passes is.

    Attributes:
        attack: its name.
        norms: in which it takes part.
        options: norm and passes → its options.
    """

    attack: str
    norms: tuple[str, ...]
    options: Callable[[str, int], dict[str, Any]]
    title: str | None = None

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.title or self.attack


def _steps(passes: float, **fixed: Any) -> Callable[[str, int], dict[str, Any]]:
    """Return options with as many steps as a budget allows, at some passes a step."""
    return lambda norm, budget: {"steps": max(1, int(budget / passes)), **fixed}


def _in_norm(passes: float, **fixed: Any) -> Callable[[str, int], dict[str, Any]]:
    return lambda norm, budget: {"norm": norm, **_steps(passes, **fixed)(norm, budget)}


_SEARCHES = 5  # of cw_l2 and ead for their constant
CONTESTANTS = (
    Contestant("fmn", ("linf", "l2", "l1", "l0"), _in_norm(2)),
    Contestant("fmn", ("linf", "l2", "l1"), _in_norm(2, target_classes=0), "fmn, one run"),
    Contestant("fab_t", ("linf", "l2", "l1"), _in_norm(3 * _CLASSES + 0.6)),
    Contestant("fab", ("linf", "l2", "l1"), _in_norm(_CLASSES + 2.6)),
    Contestant("nearest", ("linf", "l2", "l1"), _in_norm(3 * _CLASSES + 8.6)),
    Contestant("deepfool", ("linf", "l2"), _in_norm(_CLASSES + 2)),
    Contestant("ddn", ("l2",), _steps(2)),
    Contestant("cw_l2", ("l2",), _steps(2 * _SEARCHES, binary_search_steps=_SEARCHES)),
    Contestant("ead", ("l1",), _steps(2 * _SEARCHES, binary_search_steps=_SEARCHES)),
    Contestant("sigma_zero", ("l0",), _steps(2)),
    Contestant("jsma", ("l0",), lambda norm, budget: {"targeted": False, "gamma": 1.0}),
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network, and images that it reads rightly."""

    classifier: Classifier
    images: Images
    labels: Labels


def subject(name: str, count: int) -> Subject | None:
    """Train or read a network; none where the shared one is not there."""
    if name == "mnist":
        if not (reference.FOLDER / "peers.json").is_file():
            print(f"mnist: skipped: {reference.FOLDER} is not there; it is not part of the clone")
            return None
        shared = reference.Shared.read(reference.FOLDER)
        return _right(shared.classifier, shared.images, shared.labels, count)
    data = create("scenarios", "digits")
    defenses = [create("defenses", "pgd_training", eps=0.1)] if "pgd" in name else []
    trainer = Trainer(TrainingOptions(epochs=12, seed=0, learning_rate=2e-3))
    classifier = train(create("models", "lenet"), data, trainer, defenses)
    return _right(classifier, *arrays(data, "test", 2 * count), count)


def _right(classifier: Classifier, images: Images, labels: Labels, count: int) -> Subject:
    right = np.flatnonzero(clean_predictions(classifier, images) == labels)[:count]
    return Subject(classifier, images[right], labels[right])


def optimality(distances: PerImage, best: PerImage) -> float:
    """Return how near distances are to the best ones; see the module.

    Args:
        distances: `(n,)`; infinite where an attack failed.
        best: the least of any attack, `(n,)`; infinite ones do not count.

    Example:
        >>> optimality(np.array([1.0, 4.0]), np.array([1.0, 2.0]))
        1.0
    """
    found = np.isfinite(best)
    distances, best = distances[found], best[found]
    most = best.max()
    missed = np.minimum(distances, most).mean() - best.mean()
    return float(1.0 - missed / max(most - best.mean(), 1e-12))


def measured(name: str, on: Subject, norm: str, budgets: tuple[int, ...]) -> Iterator[Row]:
    """Yield a row an attack and budget, of one network and norm."""
    runs = [
        (entry, budget, *attacked(on.classifier, on.images, on.labels, entry.attack, options))
        for budget in budgets
        for entry in CONTESTANTS
        if norm in entry.norms
        for options in [entry.options(norm, budget)]
    ]
    best = np.min([far for *_, far, _ in runs], axis=0)
    for entry, budget, far, passes in runs:
        broken = np.isfinite(far)
        yield {
            "part": f"{name}, {norm}, {budget}",
            "what": entry.name,
            "network": name,
            "norm": norm,
            "budget": budget,
            "images": len(far),
            "optimality": round(optimality(far, best), 4),
            "farther": round(float(np.mean(far[broken] / best[broken])), 4)
            if any(broken)
            else None,
            "failed": int((~broken).sum()),
            "passes": round(passes),
            "holds": None,
        }


_HEAD = """# Optimality

`make reference`: how near the attacks that minimise a norm come to the best of all of them, on
images that the network reads rightly, as AttackBench (Cinà et al. 2024) measures it: 1 is the best
of all, 0 an attack that finds nothing within the largest of the best distances. Farther: the mean
of the distance divided by the best one, over the images that the attack breaks. Each attack gets
the steps that spend the budget of passes (forward and backward, an image); the passes are those
that it made. `deepfool` and `jsma` end by themselves.
"""
_COLUMNS = """
## {network}, {norm}, {images} images

| attack | budget | passes | optimality | farther | failed |
|---|---|---|---|---|---|
"""


def page(rows: list[Row]) -> str:
    """Return the rows as Markdown, a table a network and norm, the best attacks first."""
    text = _HEAD
    for network, norm in dict.fromkeys((row["network"], row["norm"]) for row in rows):
        group = [row for row in rows if (row["network"], row["norm"]) == (network, norm)]
        group.sort(key=lambda row: (row["budget"], -row["optimality"]))
        text += _COLUMNS.format(network=network, norm=norm, images=group[0]["images"])
        text += "".join(map(_line, group))
    return text


def _line(row: Row) -> str:
    farther = "–" if row["farther"] is None else f"{row['farther']:.3f}"
    return (
        f"| `{row['what']}` | {row['budget']} | {row['passes']} | {row['optimality']:.3f} "
        f"| {farther} | {row['failed']} |\n"
    )


def main() -> int:
    """Measure and write `results/optimality.{json,md}`; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=int, action="append", help="passes an image; repeatable")
    parser.add_argument("--network", choices=NETWORKS, action="append", help="repeatable")
    parser.add_argument("--norm", choices=NORMS, action="append", help="repeatable")
    parser.add_argument("--images", type=int, default=IMAGES, help="of each network")
    given = parser.parse_args()
    for name in given.network or NETWORKS:
        on = subject(name, given.images)
        for norm in (given.norm or NORMS) if on is not None else ():
            rows = list(measured(name, on, norm, tuple(given.budget or BUDGETS)))
            print("".join(map(_line, rows)), end="", flush=True)
            merged = replaced(read("optimality"), rows)
            write("optimality", merged, page(merged))
    return 0


if __name__ == "__main__":
    sys.exit(main())
