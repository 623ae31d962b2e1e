"""What a study file may say: `studies/NAME.toml`.

A study is a grid: every *network* is trained at a *scale*'s settings, looked at through *views*
(defences that train nothing, or what was learned for another network) and put under every
*condition* (an attack, or none). What is measured there has a name of the form `view.figure`; what
is shown and claimed refers to it: see `tfrobust.study.schema.outputs`.
"""

from __future__ import annotations

from typing import Annotated, Any

import pydantic

from tfrobust.errors import UsageError, did_you_mean
from tfrobust.files.names import Name
from tfrobust.files.record_types import NotNegative, Seed
from tfrobust.study.schema.checks import check_names
from tfrobust.study.schema.measured import Declared
from tfrobust.study.schema.outputs import (
    Bars,
    Claim,
    Curves,
    Gallery,
    Histograms,
    Masked,
    Projection,
    Scatter,
    Table,
)
from tfrobust.study.schema.sweeps import Bins, Sweep, Within
from tfrobust.types import TargetRule

BASE = "{base}"  # stands for what a network is based on

Options = dict[str, Any]
Count = Annotated[int, pydantic.Field(ge=1)]


class Plugin(Declared):
    """A plugin with its options."""

    name: str
    options: Options = pydantic.Field(default_factory=dict)
    # Option → a network of the study, whose name in the store it is given. The name tells the
    # network's training, so that this need not be counted among what determines a cell.
    networks: dict[str, str] = pydantic.Field(default_factory=dict, exclude=True)


class Scale(Declared):
    """How large a study is run.

    Attributes:
        scenario: as on the command line.
        scenarios: network → its own instead; those based on it have it too.
        scenario_options: plugin → its options, such as the `size` of the images.
        images: of the test split.
        images_of: condition → fewer of them, at this scale.
        seeds: the grid is repeated for each.
        train: options of the training, such as `epochs`.
        train_on: options that are added for networks based on another.
        train_of: network → options that are added for it.
        options: plugin → options that replace those of the study at this scale, also where a
            defence names the plugin as its `attack` and gives it `options`.
        defense_options: network → plugin → options that replace those of its defences besides.
        model_options: network → options that are added to its own at this scale.
        models: network → a smaller architecture instead of its own and that one's options.
        networks: those it has; none: all.
        conditions: likewise.
        minutes: what it takes on two cores, roughly.
        reduced: what is smaller than in the paper, and why.
    """

    scenario: str
    scenarios: dict[str, str] = pydantic.Field(default_factory=dict)
    scenario_options: dict[str, Options] = pydantic.Field(default_factory=dict)
    images: int = pydantic.Field(ge=1)
    images_of: dict[str, Count] = pydantic.Field(default_factory=dict)
    seeds: tuple[Seed, ...] = pydantic.Field((0,), min_length=1)
    train: Options = pydantic.Field(default_factory=dict)
    train_on: Options = pydantic.Field(default_factory=dict)
    train_of: dict[str, Options] = pydantic.Field(default_factory=dict)
    options: dict[str, Options] = pydantic.Field(default_factory=dict)
    defense_options: dict[str, dict[str, Options]] = pydantic.Field(default_factory=dict)
    model_options: dict[str, Options] = pydantic.Field(default_factory=dict)
    models: dict[str, str] = pydantic.Field(default_factory=dict)
    networks: tuple[str, ...] | None = None
    conditions: tuple[str, ...] | None = None
    minutes: NotNegative
    reduced: tuple[str, ...] = ()


class Network(Declared):
    """A classifier to be trained.

    Attributes:
        title: as tables and messages call it.
        model: its architecture.
        base: or the network that is trained further, or learned for, by its defences.
        member: a classifier inside the base that is meant.
        options: of the architecture.
        scenario_options: plugin → options, beside those of the scale.
        shift: the scene it is trained on.
        train: adds to the scale's training options.
        defenses: in the order they are applied.
        streams: what it decides by, where these are several; each has a figure `weight_STREAM`.
        found: what its defences measure when they are applied, such as `label_accuracy`; each is a
            figure of the views that show it.
    """

    title: str
    model: str | None = None
    base: str | None = None
    member: str | None = None
    options: Options = pydantic.Field(default_factory=dict)
    scenario_options: dict[str, Options] = pydantic.Field(default_factory=dict)
    shift: str | None = None
    train: Options = pydantic.Field(default_factory=dict)
    defenses: tuple[Plugin, ...] = ()
    streams: tuple[str, ...] = ()
    found: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _has_a_beginning(self) -> Network:
        if (self.model is None) == (self.base is None):
            raise ValueError("expected a model or a base, and not both")
        if self.member is not None and self.base is None:
            raise ValueError("expected a base, whose member is meant")
        if self.base is not None and not self.defenses:
            raise ValueError("expected defenses, which the base is trained with")
        return self


class View(Declared):
    """How a trained network is seen.

    Attributes:
        title: as tables call it.
        defenses: that train nothing.
        learned_from: a network whose last defence goes before this one, as it was learned there;
            `{network}` in it stands for this one's name.
        member: a classifier inside the network that is looked at instead.
        instead: another network that is looked at instead; `{base}` is what this one is based on.
    """

    title: str
    defenses: tuple[Plugin, ...] = ()
    learned_from: str | None = None
    member: str | None = None
    instead: str | None = None

    def replacement(self, base: str | None) -> str | None:
        """Return the network that a network of this base is replaced by."""
        return base if self.instead == BASE else self.instead

    def lender(self, network: str) -> str | None:
        """Return the network whose defence a network is seen through."""
        return self.learned_from and self.learned_from.replace("{network}", network)


class Condition(Declared):
    """What is done to the networks.

    Attributes:
        title: as tables and messages call it.
        shift: the scene of its images.
        scenario: another scenario than the network's.
        scenario_options: plugin → options, beside those of the scale and the network.
        attack: with its options; none: clean images only.
        sweep: several values of one of the attack's options.
        within: a distance that attacked images are counted at besides, whatever the attack's norm.
        crafted_on: the view that the attack sees; none: each view is attacked itself.
        surrogate: options of the model that replace the network's, with the same weights: whose
            gradients the attack follows.
        judged: the views that are measured.
        detectors: fitted and judged on `detected`.
        detected: the view that detectors look at.
        histogram: of a detector's scores, kept in the cell.
        priced: measure sizes and times too; what is learned before a network, in 8 bits as well.
        exhibits: how many images are kept in the cell, as each view shows them to the network, or
            as the attack made them there.
        projected: of how many images the cell keeps each stream's features, clean and attacked, in
            two dimensions.
        targets: for targeted attacks.
        networks: which of them; none: all.
        images: fewer of them than the scale's; none: as many.
        revision: raised where the code behind has changed what comes out; cells are made again.
    """

    title: str
    shift: str | None = None
    scenario: str | None = None
    scenario_options: dict[str, Options] = pydantic.Field(default_factory=dict)
    attack: Plugin | None = None
    sweep: Sweep | None = None
    within: Within | None = None
    crafted_on: str | None = None
    surrogate: Options = pydantic.Field(default_factory=dict)
    judged: tuple[str, ...]
    detectors: tuple[Plugin, ...] = ()
    detected: str | None = None
    histogram: Bins | None = None
    priced: bool = False
    exhibits: int = pydantic.Field(0, ge=0)
    projected: int = pydantic.Field(0, ge=0)
    targets: TargetRule = "random"
    networks: tuple[str, ...] | None = None
    images: int | None = pydantic.Field(None, ge=1)
    revision: int = 0

    @property
    def shows_attacked(self) -> bool:
        """Whether the images that are kept are attacked ones."""
        return bool(self.exhibits) and self.attack is not None

    @property
    def views(self) -> tuple[str, ...]:
        """All views that networks are seen through under it, each once."""
        seen = (*self.judged, self.crafted_on, self.detected)
        return tuple(dict.fromkeys(view for view in seen if view is not None))


class Study(Declared):
    """A whole study file."""

    name: Name
    title: str
    source: str
    about: str
    choices: tuple[str, ...] = ()
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

    @pydantic.model_validator(mode="after")
    def _names_are_known(self) -> Study:
        check_names(self)
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
