"""What a study file may say: `studies/NAME.toml`.

A study is a grid of cells, see `grid`. What is measured there has a name of the form `view.figure`,
see `figures`; tables, claims and pictures refer to it, see `outputs` and `pictures`.
"""

from __future__ import annotations

import pydantic

from tfrobust.errors import UsageError, did_you_mean
from tfrobust.files.names import Name
from tfrobust.study.schema.declared import Declared
from tfrobust.study.schema.grid import Condition, Network, Scale, View
from tfrobust.study.schema.outputs import Claim, Masked, Table
from tfrobust.study.schema.pictures import (
    Bars,
    Curves,
    Gallery,
    Histograms,
    Projection,
    Scatter,
)
from tfrobust.study.schema.summary import Summary


class Study(Declared):
    """A whole study file.

    Attributes:
        name: of the file, without its ending.
        title: the question it asks.
        source: the paper.
        about: what the question is about.
        choices: what was decided where the paper is silent.
        summary: the lines that the report opens with.
        floor: accuracies that are all at most this are not compared.
        ceiling: accuracies under attack that are all at least this are not compared.
        scales: how large it can be run.
        networks: the rows of the grid.
        views: how networks are seen.
        conditions: the columns of the grid.
        tables: figures beside the paper's.
        claims: what the paper says, as checks.
        masked: when robustness counts as masked.
        curves: figures along a sweep.
        histograms: scores of detectors.
        galleries: images and what views or attacks make of them.
        scatters: points and decision regions.
        projections: features in two dimensions.
        bars: figures side by side.
    """

    name: Name
    title: str
    source: str
    about: str
    choices: tuple[str, ...] = ()
    summary: Summary | None = None
    floor: float = pydantic.Field(0.05, ge=0, le=1)
    ceiling: float = pydantic.Field(0.95, ge=0, le=1)
    scales: dict[Name, Scale]
    networks: dict[Name, Network]
    views: dict[Name, View]
    conditions: dict[Name, Condition]
    tables: tuple[Table, ...] = ()
    claims: tuple[Claim, ...] = ()
    masked: tuple[Masked, ...] = ()
    curves: tuple[Curves, ...] = ()
    histograms: tuple[Histograms, ...] = ()
    galleries: tuple[Gallery, ...] = ()
    scatters: tuple[Scatter, ...] = ()
    projections: tuple[Projection, ...] = ()
    bars: tuple[Bars, ...] = ()

    def command(self, scale: str) -> str:
        """Return the command that computes it at a scale."""
        return f"tfrobust study run {self.name} --scale {scale} --out runs/{self.name}"

    def scale(self, name: str) -> Scale:
        """Return a scale.

        Raises:
            UsageError: there is none of this name.
        """
        if name not in self.scales:
            raise UsageError(
                f"study {self.name} has no scale {name!r}{did_you_mean(name, self.scales)} "
                f"(there are: {', '.join(self.scales)})"
            )
        return self.scales[name]
