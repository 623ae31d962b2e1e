"""What a study file may say: `studies/NAME.toml`.

A study is a grid: every *network* is trained at a *scale*'s settings, looked at through *views*
(defences that train nothing) and put under every *condition* (an attack, or none). What is
measured there has a name of the form `view.figure`; *tables*, *claims*, *histograms* and the
verdict *masked* refer to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from tfrobust.errors import UsageError, did_you_mean
from tfrobust.types import TargetRule

Options = dict[str, Any]


class _Declared(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Plugin(_Declared):
    """A plugin with its options."""

    name: str
    options: Options = {}


class Scale(_Declared):
    """How large a study is run.

    Attributes:
        scenario: as on the command line.
        images: of the test split.
        seeds: the grid is repeated for each.
        train: options of the training, such as `epochs`.
        options: plugin → options that replace those of the study at this scale.
        networks: those it has; none: all.
        conditions: likewise.
        minutes: what it takes on two cores, roughly.
        reduced: what is smaller than in the paper, and why.
    """

    scenario: str
    images: int = pydantic.Field(ge=1)
    seeds: tuple[int, ...] = pydantic.Field((0,), min_length=1)
    train: Options = {}
    options: dict[str, Options] = {}
    networks: tuple[str, ...] | None = None
    conditions: tuple[str, ...] | None = None
    minutes: float
    reduced: tuple[str, ...] = ()


class Network(_Declared):
    """A classifier to be trained; `train` adds to the scale's training options."""

    title: str
    model: str
    options: Options = {}
    train: Options = {}
    defenses: tuple[Plugin, ...] = ()


class View(_Declared):
    """A trained network seen through defences that train nothing."""

    title: str
    defenses: tuple[Plugin, ...] = ()


class Bins(_Declared):
    """The bins of a histogram of scores."""

    detector: str
    low: float
    high: float
    count: int = pydantic.Field(ge=1)


class Condition(_Declared):
    """What is done to the networks.

    Attributes:
        title: as tables and messages call it.
        attack: with its options; none: clean images only.
        crafted_on: the view that the attack sees; none: each view is attacked itself.
        surrogate: options of the model that replace the network's, with the same weights: whose
            gradients the attack follows.
        judged: the views that are measured.
        detectors: fitted and judged on `detected`.
        detected: the view that detectors look at.
        histogram: of a detector's scores, kept in the cell.
        targets: for targeted attacks.
        networks: which of them; none: all.
    """

    title: str
    attack: Plugin | None = None
    crafted_on: str | None = None
    surrogate: Options = {}
    judged: tuple[str, ...]
    detectors: tuple[Plugin, ...] = ()
    detected: str | None = None
    histogram: Bins | None = None
    targets: TargetRule = "random"
    networks: tuple[str, ...] | None = None


class Measured(_Declared):
    """A figure of a cell, or the difference of two."""

    condition: str
    figure: str
    less: Measured | None = None


class Column(Measured):
    """A column of a table."""

    title: str
    unit: Literal["percent", "number"] = "percent"


class Table(_Declared):
    """A table: a row a network.

    Attributes:
        title: with the paper's number of it.
        about: what to know when reading it.
        columns: what is measured.
        paper: the paper's figures in the order of the columns; `nan` where it has none.
        rows: the networks; none: those of `paper`, or all.
    """

    title: str
    about: str = ""
    columns: tuple[Column, ...]
    paper: dict[str, tuple[float | None, ...]] = {}
    rows: tuple[str, ...] | None = None

    @pydantic.field_validator("paper")
    @classmethod
    def _no_figure(cls, paper: dict[str, tuple[float | None, ...]]) -> Any:
        return {
            row: tuple(None if value is None or math.isnan(value) else value for value in values)
            for row, values in paper.items()
        }


class Check(_Declared):
    """A comparison between networks.

    Attributes:
        kind: `rising` or `falling` along `networks`; all `below` or `above` the bound; `greatest`
            among `networks` is one of `winners`.
        value: what is compared.
        networks: in their order.
        tolerance: how far a neighbour may be out of order.
        bound: for `below` and `above`.
        winners: for `greatest`.
    """

    kind: Literal["rising", "falling", "below", "above", "greatest"]
    value: Measured
    networks: tuple[str, ...]
    tolerance: float = 0.0
    bound: float | None = None
    winners: tuple[str, ...] = ()
    unit: Literal["percent", "number"] = "percent"


class Claim(_Declared):
    """Something the paper says; it holds if all its checks do."""

    text: str
    checks: tuple[Check, ...] = pydantic.Field(min_length=1)


class Masked(_Declared):
    """When robustness counts as masked.

    A network is masked if it keeps at least `looks_robust` of the images under the `naive` attack
    and at most `falls` under the strongest of the `adaptive` ones.
    """

    title: str
    naive: Measured
    adaptive: tuple[Measured, ...]
    looks_robust: float
    falls: float


class Histograms(_Declared):
    """Scores of clean and attacked images, a picture a network."""

    title: str
    condition: str
    networks: tuple[str, ...]
    xlabel: str


class Study(_Declared):
    """A whole study file."""

    name: str
    title: str
    source: str
    about: str
    choices: tuple[str, ...] = ()
    scales: dict[str, Scale]
    networks: dict[str, Network]
    views: dict[str, View]
    conditions: dict[str, Condition]
    tables: tuple[Table, ...] = ()
    claims: tuple[Claim, ...] = ()
    masked: tuple[Masked, ...] = ()
    histograms: tuple[Histograms, ...] = ()

    @pydantic.model_validator(mode="after")
    def _names_are_known(self) -> Study:
        for name, scale in self.scales.items():
            _known(f"scales.{name}", scale.networks or (), self.networks)
            _known(f"scales.{name}", scale.conditions or (), self.conditions)
        for name, condition in self.conditions.items():
            views = (*condition.judged, condition.crafted_on, condition.detected)
            _known(f"conditions.{name}", filter(None, views), self.views)
            _known(f"conditions.{name}", condition.networks or (), self.networks)
        for number, rule in enumerate(self.masked):
            tried = [each.condition for each in (rule.naive, *rule.adaptive)]
            _known(f"masked[{number}]", tried, self.conditions)
        for number, table in enumerate(self.tables):
            where = f"tables[{number}]"
            _known(where, (column.condition for column in table.columns), self.conditions)
            _known(where, (*table.paper, *(table.rows or ())), self.networks)
            for row, figures in table.paper.items():
                if len(figures) != len(table.columns):
                    raise ValueError(f"{where}.paper.{row}: expected {len(table.columns)} figures")
        for number, claim in enumerate(self.claims):
            for check in claim.checks:
                where = f"claims[{number}]"
                for measured in filter(None, (check.value, check.value.less)):
                    _known(where, [measured.condition], self.conditions)
                    _known(where, [measured.figure.partition(".")[0]], self.views)
                _known(where, (*check.networks, *check.winners), self.networks)
        return self

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


def _known(where: str, names: Any, known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: {name!r} is not declared{did_you_mean(name, known)}")
