"""Pictures of what cells keep: images and how they are changed, points over decision regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from tfrobust.report.figures import COLOURS, as_svg
from tfrobust.report.projections import projections_figure
from tfrobust.study.results.lookup import Finished
from tfrobust.study.schema.outputs import Gallery, Projection, Scatter, Shown
from tfrobust.study.schema.study import Study

_DARK = 0.02  # added to both sides of a factor: black stays black whatever it is multiplied by
_DOUBLINGS = 2  # of brightness, either way, from middle grey to white or black
_PANELS = 4  # in a row
_MARGIN = 0.04  # round the unit square, whose border is where many points are cut


def exhibited(study: Study, finished: Finished) -> list[tuple[str, str]]:
    """Return `(title, SVG)` of each gallery and scatter whose cells are finished."""
    drawn = []
    for gallery in study.galleries:
        if all(kept := _kept(gallery.condition, gallery.rows, finished)):
            after = "attacked" if study.conditions[gallery.condition].shows_attacked else "seen"
            drawn.append((gallery.title, _gallery(gallery, kept, after)))
    for scatter in study.scatters:
        if all(kept := _kept(scatter.condition, scatter.panels, finished)):
            drawn.append((scatter.title, _scatter(scatter, kept)))
    for projection in study.projections:
        if all(kept := _kept(projection.condition, [projection], finished)):
            drawn.append((projection.title, _projection(projection, kept[0])))
    return drawn


Exhibits = dict[str, list[Any]]


def _kept(
    condition: str, parts: Sequence[Shown | Projection], finished: Finished
) -> list[Exhibits]:
    """Return the exhibits of each part, from the first seed; empty where not finished."""
    found = (finished.of(part.network, condition) for part in parts)
    return [results[0].exhibits if results else {} for results in found]


def _gallery(declared: Gallery, kept: Sequence[Exhibits], called: str) -> str:
    originals = _images(kept[0]["original"])
    rows: list[tuple[str, np.ndarray]] = [("original", originals)]
    for part, exhibits in zip(declared.rows, kept, strict=True):
        before, after = _images(exhibits["original"]), _images(exhibits[part.view])
        rows += [(f"{part.title}:\nthe change", _change(before, after, part)), (called, after)]
    figure = Figure(figsize=(1.3 * len(originals) + 1.4, 1.25 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(originals), squeeze=False)
    for (title, images), line in zip(rows, axes, strict=True):
        for image, axis in zip(images, line, strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(title, fontsize=8, rotation=0, ha="right", va="center")
    return as_svg(figure, declared.title)


def _images(thousandths: list[Any]) -> np.ndarray:
    images: np.ndarray = np.array(thousandths) / 1000
    return images if images.shape[-1] == 3 else images.mean(axis=-1)  # neither grey nor colour


def _change(before: np.ndarray, after: np.ndarray, part: Shown) -> np.ndarray:
    """Return a change as an image: no change is middle grey."""
    if part.factor:
        doublings = np.log2((after + _DARK) / (before + _DARK))
        return np.clip(0.5 + 0.5 * doublings / _DOUBLINGS, 0, 1)
    change = after - before
    return 0.5 + 0.5 * change / max(np.abs(change).max(), 1e-3)


def _scatter(declared: Scatter, kept: Sequence[Exhibits]) -> str:
    columns = max(_PANELS, len(kept))  # a panel is as large wherever it stands
    figure = Figure(figsize=(2.9 * columns, 3.1), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharex=True, sharey=True)[0]
    for spare in axes[len(kept) :]:
        spare.set_visible(False)
    for part, exhibits, axis in zip(declared.panels, kept, axes, strict=False):
        before, after = (_points(exhibits[name]) for name in ("original", part.view))
        regions, classes = np.array(exhibits["regions"]), np.array(exhibits["label"])
        side = int(np.sqrt(regions.size))
        colours = COLOURS[: max(classes.max(), regions.max()) + 1]
        axis.imshow(
            regions.reshape(side, side),
            origin="lower",
            extent=(0, 1, 0, 1),
            cmap=ListedColormap(colours),
            vmin=0,
            vmax=len(colours) - 1,
            alpha=0.18,
            interpolation="nearest",
        )
        axis.plot(*np.stack([before, after], axis=1).T, color="0.6", lw=0.3, zorder=1)
        for number, colour in enumerate(colours):
            axis.scatter(*after[classes == number].T, s=7, color=colour, zorder=2)
        axis.set_title(part.title, fontsize=9)
        axis.set(xlim=(-_MARGIN, 1 + _MARGIN), ylim=(-_MARGIN, 1 + _MARGIN), aspect="equal")
        axis.tick_params(labelsize=7)
    return as_svg(figure, declared.title)


def _projection(declared: Projection, kept: Exhibits) -> str:
    streams = [name.removesuffix(".clean") for name in kept if name.endswith(".clean")]
    panels = {
        each: (np.array(kept[f"{each}.clean"]), np.array(kept[f"{each}.attacked"]))
        for each in streams
    }
    return projections_figure(panels, np.array(kept["label"]), kept["classes"], declared.title)


def _points(thousandths: list[Any]) -> np.ndarray:
    return np.array(thousandths).reshape(-1, 2) / 1000
