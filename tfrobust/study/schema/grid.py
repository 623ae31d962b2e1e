"""The grid of a study: scales, networks, views and conditions.

Every *network* is trained with the settings of a *scale*, seen through *views* (defences that train
nothing, or what was learned for another network) and put under every *condition* (an attack, or
none).
"""

from __future__ import annotations

from typing import Annotated, Any

import pydantic

from tfrobust.files.record_types import NotNegative, Seed
from tfrobust.study.schema.declared import Declared
from tfrobust.study.schema.summary import Summary
from tfrobust.study.schema.sweeps import Bins, Sweep, Within
from tfrobust.types import Norm, TargetRule

BASE = "{base}"  # stands for the network that a network is based on
NETWORK = "{network}"  # stands for the network's own name

Options = dict[str, Any]
Count = Annotated[int, pydantic.Field(ge=1)]


class Plugin(Declared):
    """A plugin with its options.

    Attributes:
        name: of the plugin.
        options: option → value.
        networks: option → a network of the study, whose name in the store becomes the value.
    """

    name: str
    options: Options = pydantic.Field(default_factory=dict)
    # The name in the store depends on the network's training, so that this field need not be
    # counted among what determines a cell.
    networks: dict[str, str] = pydantic.Field(default_factory=dict, exclude=True)


class Scale(Declared):
    """How large a study is run.

    Attributes:
        scenario: as on the command line.
        scenarios: network → its own scenario; networks based on it have it too.
        scenario_options: plugin → its options, such as the `size` of the images.
        images: how many images of the test split.
        images_of: condition → a smaller number of images.
        seeds: the grid is repeated for each.
        seeds_of: network, or condition → some of these seeds, where all would take too long.
        train: options of the training, such as `epochs`.
        train_on: options that are added for networks based on another.
        train_of: network → options that are added for it.
        options: plugin → options that replace those of the study at this scale, also where a
            defence names the plugin as its `attack` and gives it `options`.
        defense_options: network → plugin → options that replace those of its defences as well.
        model_options: network → options that are added to its own at this scale.
        models: network → a smaller architecture, which replaces its own and that one's options.
        networks: the networks it has; none: all.
        conditions: the conditions it has; none: all.
        minutes: roughly how long it takes on two cores.
        reduced: what is smaller than in the paper, and why.
        seed_spread: standard deviation of a share from training to training, from 0 to 1, as
            several seeds have shown elsewhere; it serves where there are less than three seeds.
        fetch: scenario, or file of weights → where it can be had, for who lacks it.
        summary: replaces that of the study.
    """

    scenario: str
    scenarios: dict[str, str] = pydantic.Field(default_factory=dict)
    scenario_options: dict[str, Options] = pydantic.Field(default_factory=dict)
    images: int = pydantic.Field(ge=1)
    images_of: dict[str, Count] = pydantic.Field(default_factory=dict)
    seeds: tuple[Seed, ...] = pydantic.Field((0,), min_length=1)
    seeds_of: dict[str, Annotated[tuple[Seed, ...], pydantic.Field(min_length=1)]] = pydantic.Field(
        default_factory=dict
    )
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
    seed_spread: float | None = pydantic.Field(None, ge=0, le=1)
    fetch: dict[str, str] = pydantic.Field(default_factory=dict)
    summary: Summary | None = None

    @pydantic.model_validator(mode="after")
    def _has_the_seeds(self) -> Scale:
        for name, seeds in self.seeds_of.items():
            if other := sorted(set(seeds) - set(self.seeds)):
                seeds_there = ", ".join(map(str, self.seeds))
                raise ValueError(
                    f"seeds_of.{name}: expected some of the scale's seeds, {seeds_there}; "
                    f"received: {other[0]}"
                )
        return self

    def measures(self, network: str, condition: str, seed: int) -> bool:
        """Tell whether a network is measured under a condition from a seed."""
        return all(seed in self.seeds_of.get(name, self.seeds) for name in (network, condition))


class Network(Declared):
    """A classifier to be trained.

    Attributes:
        title: its name in tables and messages.
        model: its architecture.
        base: instead of a model, the network that its defences train further or learn for.
        member: a classifier inside the base, which replaces the base.
        options: of the architecture.
        scenario_options: plugin → options, added to those of the scale.
        shift: the scene it is trained on.
        train: options of the training, added to the scale's.
        defenses: in the order they are applied.
        streams: the names of the streams it decides by, if there are several; each has a figure
            `weight_STREAM`.
        found: the names of what its defences measure when they are applied, such as
            `label_accuracy`; each is a figure of the views that show it.
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
            raise ValueError("member: expected a base too, the network that it is a member of")
        if self.base is not None and not self.defenses:
            raise ValueError("expected defenses, which the base is trained with")
        return self


class View(Declared):
    """How a trained network is seen.

    Attributes:
        title: its name in tables.
        defenses: defences that train nothing.
        learned_from: a network, the donor; what its last defence learned goes before this network.
            `{network}` in it stands for this network's name.
        member: a classifier inside the network, which is measured instead of it.
        replacement: another network, which is measured instead; `{base}` is what this one is based
            on. Its key in the file is `instead`.
    """

    title: str
    defenses: tuple[Plugin, ...] = ()
    learned_from: str | None = None
    member: str | None = None
    replacement: str | None = pydantic.Field(None, alias="instead")

    def replacement_of(self, base: str | None) -> str | None:
        """Return the network that replaces a network of this base."""
        return base if self.replacement == BASE else self.replacement

    def donor_of(self, network: str) -> str | None:
        """Return the network whose last defence this network is seen through."""
        return self.learned_from and self.learned_from.replace(NETWORK, network)


class Diagnosed(Declared):
    """The ball in which networks are diagnosed; see `tfrobust.diagnosis`.

    Attributes:
        eps: its radius, in the unit of the norm.
        norm: `linf`, `l2` or `l1`.
    """

    eps: float = pydantic.Field(gt=0)
    norm: Norm = "linf"


class Condition(Declared):
    """What is done to the networks.

    Attributes:
        title: its name in tables and messages.
        shift: the scene of its images.
        scenario: another scenario than the network's.
        scenario_options: plugin → options, added to those of the scale and the network.
        attack: with its options; none: clean images only.
        attacks: several attacks together, in place of `attack`: an image counts as right if it is
            right under all of them.
        adaptive: whether the attacks that know a network's defences come on top, at the budgets of
            `attacks`.
        certifiers: that tell what is proven at the budgets of the attacks in their norm.
        diagnosed: the ball in which views are diagnosed; none: they are not.
        sweep: several values of one of the attack's options.
        within: a distance; attacked images that keep to it are also counted alone, whatever the
            attack's norm.
        crafted_on: the view that the attack sees; none: each view is attacked itself.
        surrogate: options of a model that has the network's weights and whose gradients the attack
            follows instead.
        judged: the views that are measured.
        detectors: detectors that are fitted and evaluated on `detected`.
        detected: the view that detectors see.
        histogram: of a detector's scores, kept in the cell.
        footprint: whether sizes and times are measured too; of what is learned before a network, in
            8 bits as well. Its key in the file is `priced`.
        exhibits: how many images are kept in the cell, as each view shows them to the network, or
            as the attack made them there.
        projected: for how many images the cell keeps each stream's features, clean and attacked, in
            two dimensions.
        targets: the rule that picks classes for targeted attacks.
        networks: the networks it is measured for; none: all.
        images: a smaller number of images than the scale's; none: as many.
        revision: raised where the code behind it has changed what comes out, so that its cells are
            computed again.
    """

    title: str
    shift: str | None = None
    scenario: str | None = None
    scenario_options: dict[str, Options] = pydantic.Field(default_factory=dict)
    attack: Plugin | None = None
    attacks: tuple[Plugin, ...] = ()
    adaptive: bool = False
    certifiers: tuple[Plugin, ...] = ()
    diagnosed: Diagnosed | None = None
    sweep: Sweep | None = None
    within: Within | None = None
    crafted_on: str | None = None
    surrogate: Options = pydantic.Field(default_factory=dict)
    judged: tuple[str, ...]
    detectors: tuple[Plugin, ...] = ()
    detected: str | None = None
    histogram: Bins | None = None
    footprint: bool = pydantic.Field(False, alias="priced")
    exhibits: int = pydantic.Field(0, ge=0)
    projected: int = pydantic.Field(0, ge=0)
    targets: TargetRule = "random"
    networks: tuple[str, ...] | None = None
    images: int | None = pydantic.Field(None, ge=1)
    revision: int = 0

    @property
    def all_attacks(self) -> tuple[Plugin, ...]:
        """The attacks of `attack` and `attacks`."""
        return (*((self.attack,) if self.attack else ()), *self.attacks)

    @property
    def exhibits_attacked(self) -> bool:
        """Whether the images that are kept are attacked ones."""
        return bool(self.exhibits) and self.attack is not None

    @property
    def views(self) -> tuple[str, ...]:
        """All views that networks are seen through under it, each once."""
        views = (*self.judged, self.crafted_on, self.detected)
        return tuple(dict.fromkeys(view for view in views if view is not None))
