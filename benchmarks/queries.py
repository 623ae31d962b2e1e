"""What black-box attacks reach by how many queries, beside ART and Foolbox: `make reference`.

Two networks: the one of `../shared/reference` on MNIST, where that is there, and the digits network
of `benchmarks.exact`. Of attacks with a budget the accuracy that is left is measured, of those that
minimise a norm the median distance, at each number of queries of `GRID`, over images that the
network reads rightly; and the mean over the logarithm of the queries (the area under the curve).

Ours runs once for each number, with `queries` set to it. Peers are measured on the first network. A
peer is credited with the nearest adversarial image among all that it asked by then, whether or not
it would have returned it; one that plans by its number of queries runs once for each. Peers get the
first `PEER_IMAGES`, and ours is compared with them on the same. Bars: at no number of queries worse
than the peer (accuracy by more than an image, distance by more than 2 %), and at least three times
as fast a query.

    python -m benchmarks.queries [--only NAME]... [--images N] [--peer-images N]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import exact_subjects, reference
from benchmarks.peers.task import NotInstalledError
from benchmarks.query_contests import CONTESTS, Contest
from benchmarks.query_page import drawn, line, table
from benchmarks.query_recorder import BudgetSpentError, PeerAttack, Recorder
from benchmarks.tables import RESULTS, Row, read, replaced, write
from tfrobust import Classifier, create, run_attack
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.data.reading import arrays
from tfrobust.errors import did_you_mean
from tfrobust.norms.distances import distances, within_budget

GRID = (100, 250, 500, 1000)
IMAGES, PEER_IMAGES = 50, 30  # of ten images a median says nothing
_WORSE, _FASTER = 1.02, 3.0
_BATCH = 100


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network, and images that it reads rightly."""

    name: str
    classifier: Classifier
    images: np.ndarray
    labels: np.ndarray


def subjects(count: int) -> Iterator[Subject]:
    """Yield the networks that are there; say why one is not."""
    if (reference.FOLDER / "peers.json").is_file():
        shared = reference.Shared.read(reference.FOLDER)
        yield _right("mnist", shared.classifier, shared.images, shared.labels, count)
    else:
        print(f"mnist: skipped: {reference.FOLDER} is not there; it is not part of the clone")
    images, labels = arrays(create("scenarios", "digits"), "test", 360)
    yield _right("digits", exact_subjects.network(), images, labels, count)


def _right(name: str, classifier: Classifier, images: Any, labels: Any, count: int) -> Subject:
    right = np.flatnonzero(clean_predictions(classifier, images) == labels)[:count]
    return Subject(name, classifier, images[right], labels[right])


def ours(on: Subject, contest: Contest) -> tuple[np.ndarray, float]:
    """Return the distances `(queries, images)`, infinite where unbroken, and seconds a query."""
    found, seconds, asked = [], 0.0, 0
    for queries in GRID:
        attack = create("attacks", contest.attack, queries=queries, **contest.options_on(on.name))
        began = time.process_time()
        crafted = run_attack(attack, on.classifier, on.images, on.labels, batch_size=_BATCH)
        seconds, asked = time.process_time() - began, crafted.queries  # at last of the largest
        broken = clean_predictions(on.classifier, crafted.images) != on.labels
        apart = distances(on.images, crafted.images)[contest.norm]
        found.append(np.where(broken, apart, np.inf))
    return np.array(found), seconds / asked


def theirs(on: Subject, contest: Contest, attack: PeerAttack, count: int) -> tuple[Any, float]:
    """Return what `ours` does, of the first images."""
    recorder = Recorder(on.classifier, contest.norm, GRID[-1])
    found, asked, seconds = np.full((len(GRID), count), np.inf), 0, 0.0
    # ART's GeoDA leaves files where it runs.
    with tempfile.TemporaryDirectory() as elsewhere, contextlib.chdir(elsewhere):
        for rank, queries in enumerate(GRID):
            if queries < attack.least if attack.planned else queries < GRID[-1]:
                continue
            recorder.limit = queries
            run = attack.prepare(recorder, queries)
            rows = slice(rank, rank + 1) if attack.planned else slice(None)
            for first in range(0, count, attack.at_once):
                images = slice(first, min(first + attack.at_once, count))
                began = time.process_time()
                _attack(recorder, run, on.images[images], on.labels[images])
                seconds += time.process_time() - began
                asked += recorder.asked * (images.stop - first)
                found[rows, images] = recorder.least(GRID[rows])
    return found, seconds / asked


def _attack(recorder: Recorder, run: Any, images: np.ndarray, labels: np.ndarray) -> None:
    recorder.begin(images, labels)
    try:
        run(images, labels)
    except (AssertionError, BudgetSpentError):  # Foolbox asserts that a start is adversarial
        pass
    except ValueError as error:  # Foolbox's, where it finds no image to start from
        if "init_attack failed" not in str(error):
            raise


def figures(contest: Contest, on: str, found: np.ndarray) -> list[float | None]:
    """Return accuracy left or median distance at each number of queries; `None`: most unbroken."""
    eps = contest.eps_on(on)
    if eps is not None:
        return [float(1.0 - within_budget(row, eps).mean()) for row in found]
    medians = (float(np.median(row)) for row in found)
    return [median if np.isfinite(median) else None for median in medians]


def area(values: Sequence[float | None]) -> float | None:
    """Return the mean over the logarithm of the queries, by trapezoids."""
    if any(value is None for value in values):
        return None
    places = np.log(GRID)
    return float(np.trapz(np.array(values, float), places) / (places[-1] - places[0]))


def rows(on: Subject, contest: Contest, peer_images: int) -> Iterator[Row]:
    """Measure a contest; yield our row, and one for each peer."""
    found, ours_seconds = ours(on, contest)
    what = f"{on.name}: {contest.name}"
    yield _row(on, contest, what, found, ours_seconds)
    for peer in contest.peers if on.name == "mnist" else ():
        count = min(peer_images, len(on.images))
        try:
            title = peer.title
        except NotInstalledError as error:
            print(f"{what}: {peer.library} skipped: {error}")
            continue
        peers, seconds = theirs(on, contest, peer, count)
        row = _row(on, contest, f"{what}, {title} {peer.name}", peers, seconds)
        same = figures(contest, on.name, found[:, :count])
        faster = seconds / ours_seconds
        slack = 1.0 / count if contest.eps_on(on.name) is not None else None
        worse = [
            queries
            for queries, our, their in zip(GRID, same, row["values"], strict=True)
            if not _no_worse(our, their, slack)
        ]
        holds = not worse and faster >= _FASTER
        yield row | {"ours": same, "faster": faster, "worse": worse, "holds": holds}


def _no_worse(our: float | None, their: float | None, slack: float | None) -> bool:
    if their is None or our is None:
        return their is None
    return our <= (their * _WORSE if slack is None else their + slack) + 1e-6


def _row(on: Subject, contest: Contest, what: str, found: np.ndarray, seconds: float) -> Row:
    values = figures(contest, on.name, found)
    return {
        "what": what,
        "network": on.name,
        "contest": contest.name,
        "measure": contest.measure_on(on.name),
        "images": found.shape[1],
        "values": values,
        "area": area(values),
        "ms_per_query": 1e3 * seconds,
        "holds": None,
    }


def main() -> int:
    """Measure and write `results/queries.{json,md,svg}`; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", action="append", help="a contest; repeatable")
    parser.add_argument("--images", type=int, default=IMAGES, help="of each network")
    parser.add_argument("--peer-images", type=int, default=PEER_IMAGES, help="that peers attack")
    given = parser.parse_args()
    names = [contest.name for contest in CONTESTS]
    for name in given.only or ():
        if name not in names:
            print(f"--only: no contest {name!r}{did_you_mean(name, names)}")
            return 1
    failed = False
    for on in subjects(given.images):
        for contest in CONTESTS:
            if given.only and contest.name not in given.only:
                continue
            fresh = list(rows(on, contest, given.peer_images))
            print(*(line(GRID, row) for row in fresh), sep="\n", flush=True)
            failed |= any(row["holds"] is False for row in fresh)
            _write(replaced(read("queries"), fresh))
    return int(failed)


def _write(found: Sequence[Row]) -> None:
    order = [contest.name for contest in CONTESTS]
    ordered = sorted(found, key=lambda r: (r["network"] != "mnist", order.index(r["contest"])))
    write("queries", ordered, table(GRID, ordered))
    Path(RESULTS / "queries.svg").write_text(drawn(GRID, ordered))


if __name__ == "__main__":
    sys.exit(main())
