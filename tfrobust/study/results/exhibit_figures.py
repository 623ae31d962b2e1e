"""Pictures of what cells keep: images and their changes, points over decision regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from tfrobust.report.charts.colours import COLOURS
from tfrobust.report.charts.figures import as_svg
from tfrobust.report.charts.projections import projections_figure
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.schema.pictures import ExhibitView, Gallery, Projection, Scatter
from tfrobust.study.schema.study import Study

_DARK = 0.02  # added to both sides of a ratio, which black pixels would divide by zero
_DOUBLINGS = 2  # of brightness, either way, from middle grey to white or black
_PANELS = 4  # in a row
_MARGIN = 0.04  # round the unit square, whose border is where many points are cut


def exhibited(study: Study, lookup: Lookup) -> list[tuple[str, str]]:
    """Return `(title, SVG)` of each gallery and scatter whose cells are finished."""
    drawings = []
    for gallery in study.galleries:
        if all(exhibits := _exhibits(gallery.condition, gallery.rows, lookup)):
            after = "attacked" if study.conditions[gallery.condition].exhibits_attacked else "seen"
            drawings.append((gallery.title, _gallery(gallery, exhibits, after)))
    for scatter in study.scatters:
        if all(exhibits := _exhibits(scatter.condition, scatter.panels, lookup)):
            drawings.append((scatter.title, _scatter(scatter, exhibits)))
    for projection in study.projections:
        if all(exhibits := _exhibits(projection.condition, [projection], lookup)):
            drawings.append((projection.title, _projection(projection, exhibits[0])))
    return drawings


Exhibits = dict[str, list[Any]]


def _exhibits(
    condition: str, parts: Sequence[ExhibitView | Projection], lookup: Lookup
) -> list[Exhibits]:
    """Return what the cell of each part keeps, at the first seed; nothing if it is not finished."""
    by_part = (lookup.of(part.network, condition) for part in parts)
    return [results[0].exhibits if results else {} for results in by_part]


def _gallery(declared: Gallery, by_row: Sequence[Exhibits], after_title: str) -> str:
    originals = _images(by_row[0]["original"])
    rows: list[tuple[str, np.ndarray]] = [("original", originals)]
    for part, exhibits in zip(declared.rows, by_row, strict=True):
        before, after = _images(exhibits["original"]), _images(exhibits[part.view])
        rows += [(f"{part.title}:\nthe change", _change(before, after, part)), (after_title, after)]
    figure = Figure(figsize=(1.3 * len(originals) + 1.4, 1.25 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(originals), squeeze=False)
    for (title, images), line in zip(rows, axes, strict=True):
        for image, axis in zip(images, line, strict=True):
            # Its own pixels: resampled to the figure's, a page of noise takes five times as much.
            axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="none")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(title, fontsize=8, rotation=0, ha="right", va="center")
    return as_svg(figure, declared.title)


def _images(thousandths: list[Any]) -> np.ndarray:
    images: np.ndarray = np.array(thousandths) / 1000
    return images if images.shape[-1] == 3 else images.mean(axis=-1)  # neither grey nor colour


def _change(before: np.ndarray, after: np.ndarray, part: ExhibitView) -> np.ndarray:
    """Return a change as an image: no change is middle grey."""
    if part.factor:
        after = np.maximum(after, 0)  # what cuts nothing may show less than black
        doublings = np.log2((after + _DARK) / (before + _DARK))
        return np.clip(0.5 + 0.5 * doublings / _DOUBLINGS, 0, 1)
    change = after - before
    return 0.5 + 0.5 * change / max(np.abs(change).max(), 1e-3)


def _scatter(declared: Scatter, by_panel: Sequence[Exhibits]) -> str:
    columns = max(_PANELS, len(by_panel))  # a panel has the same size in every picture
    figure = Figure(figsize=(2.9 * columns, 3.1), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharex=True, sharey=True)[0]
    for spare in axes[len(by_panel) :]:
        spare.set_visible(False)
    for part, exhibits, axis in zip(declared.panels, by_panel, axes, strict=False):
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
            interpolation="none",
        )
        axis.plot(*np.stack([before, after], axis=1).T, color="0.6", lw=0.3, zorder=1)
        for number, colour in enumerate(colours):
            axis.scatter(*after[classes == number].T, s=7, color=colour, zorder=2)
        axis.set_title(part.title, fontsize=9)
        axis.set(xlim=(-_MARGIN, 1 + _MARGIN), ylim=(-_MARGIN, 1 + _MARGIN), aspect="equal")
        axis.tick_params(labelsize=7)
    return as_svg(figure, declared.title)


def _projection(declared: Projection, exhibits: Exhibits) -> str:
    streams = [name.removesuffix(".clean") for name in exhibits if name.endswith(".clean")]
    panels = {
        stream: (np.array(exhibits[f"{stream}.clean"]), np.array(exhibits[f"{stream}.attacked"]))
        for stream in streams
    }
    labels = np.array(exhibits["label"])
    return projections_figure(panels, labels, exhibits["classes"], declared.title)


def _points(thousandths: list[Any]) -> np.ndarray:
    return np.array(thousandths).reshape(-1, 2) / 1000
