"""What a study makes of its figures: tables, claims, verdicts; see `pictures` for the rest."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import pydantic

from tfrobust.study.schema.declared import Declared
from tfrobust.study.schema.measured import Measured

Unit = Literal["percent", "number"]


class Column(Measured):
    """A column of a table.

    Attributes:
        title: the heading.
        unit: `percent` of a share from 0 to 1, or a `number` as it is.
        beside: another condition, whose figure in the paper stands beside ours.
    """

    title: str
    unit: Unit = "percent"
    beside: str | None = None


_Figure = Annotated[float, pydantic.Field(allow_inf_nan=True)]  # nan: the paper has none


class Table(Declared):
    """A table with a row for each network.

    Attributes:
        title: with the number that the table has in the paper.
        about: what to know when reading it.
        columns: what is measured.
        paper: network → the paper's figures in the order of the columns; `nan` where it has none.
            Columns with `beside` need none.
        rows: the networks; none: those of `paper`, or all.
    """

    title: str
    about: str = ""
    columns: tuple[Column, ...]
    paper: dict[str, tuple[_Figure | None, ...]] = pydantic.Field(default_factory=dict)
    rows: tuple[str, ...] | None = None

    @pydantic.field_validator("paper")
    @classmethod
    def _nan_is_none(
        cls, paper: dict[str, tuple[float | None, ...]]
    ) -> dict[str, tuple[float | None, ...]]:
        return {
            row: tuple(None if value is None or math.isnan(value) else value for value in values)
            for row, values in paper.items()
        }


class Need(Declared):
    """A figure that networks must reach before a comparison of them says anything.

    Attributes:
        condition: of the figure's cells.
        figure: such as `plain.clean`.
        least: the least value.
        networks: that must reach it; none: those that the check compares.
    """

    condition: str
    figure: str
    least: float
    networks: tuple[str, ...] | None = None

    @property
    def measured(self) -> Measured:
        """The figure."""
        return Measured(condition=self.condition, figure=self.figure)


_COMPARING = ("rising", "falling", "greatest", "least", "leap")


class Check(Declared):
    """A comparison between networks, or with a bound; see `results.judging`.

    Attributes:
        kind: `rising` or `falling` along `networks`; all `below` or `above` the bound, or `within`
            it of zero; `greatest` or `least` among `networks` is one of `winners`; a `leap`: the
            greatest rise from one to the next leads to one of `winners`.
        value: the figure that is compared.
        networks: the networks that are compared, in this order.
        tolerance: how far any network may fall behind the best before it.
        by: the least difference between the first and the last network.
        at_most: the greatest difference between them.
        place: 2 for the second greatest or least.
        bound: for `below`, `above` and `within`.
        winners: for `greatest`, `least` and `leap`.
        unit: as in a `Column`.
        title: what the figures are of, where the report's sentence should not name the condition.
        floor: nothing is compared where all accuracies are at most this; none: the study's.
        ceiling: or under an attack at least this; none: the study's.
        needs: what the networks must reach before they are compared.
        seed_spread: standard deviation of `value` from training to training, in its unit, as found
            by several seeds elsewhere; none: the scale's.
    """

    kind: Literal["rising", "falling", "below", "above", "within", "greatest", "least", "leap"]
    value: Measured
    networks: tuple[str, ...] = pydantic.Field(min_length=1)
    tolerance: float = 0.0
    by: float = 0.0
    at_most: float | None = None
    place: int = pydantic.Field(1, ge=1)
    bound: float | None = None
    winners: tuple[str, ...] = ()
    unit: Unit = "percent"
    title: str = ""
    floor: float | None = pydantic.Field(None, ge=0, le=1)
    ceiling: float | None = pydantic.Field(None, ge=0, le=1)
    needs: tuple[Need, ...] = ()
    seed_spread: float | None = pydantic.Field(None, ge=0)

    @pydantic.model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Check:
        if self.kind in ("below", "above", "within") and self.bound is None:
            raise ValueError(f"a check of kind {self.kind!r} needs a bound")
        if self.kind in ("greatest", "least", "leap") and not self.winners:
            raise ValueError(f"a check of kind {self.kind!r} needs winners")
        if self.kind in _COMPARING and len(self.networks) < 2:
            raise ValueError(f"a check of kind {self.kind!r} needs two networks or more")
        if self.place > len(self.networks):
            raise ValueError(f"place: expected at most {len(self.networks)}, one a network")
        return self

    @property
    def compares(self) -> bool:
        """Whether figures are compared with one another, and not one with a bound."""
        return self.kind in _COMPARING or self.value.other is not None


class Claim(Declared):
    """Something the paper says; it holds if all its checks do.

    Attributes:
        text: what it says.
        checks: what is compared.
        needs: what the networks of every check must reach.
    """

    text: str
    checks: tuple[Check, ...] = pydantic.Field(min_length=1)
    needs: tuple[Need, ...] = ()


class Masked(Declared):
    """When robustness counts as masked.

    A network is masked if it keeps at least `looks_robust` of the images under the `naive` attack
    and at most `falls` under the strongest of the `adaptive` ones.

    Attributes:
        title: of the rule.
        naive: the accuracy under an attack that does not know the defence.
        adaptive: the accuracies under attacks that know it.
        looks_robust: a share of the images.
        falls: a share of the images.
    """

    title: str
    naive: Measured
    adaptive: tuple[Measured, ...]
    looks_robust: float
    falls: float
