"""The cells of a study: one network under one condition, from one seed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrobust.registry import create
from tfrobust.study.cells.places import Given
from tfrobust.study.schema.grid import Condition, Network, Options, Plugin, Scale
from tfrobust.study.schema.study import Study

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tfrobust.model import ModelBuilder


@dataclasses.dataclass(frozen=True)
class Cell:
    """One network under one condition, from one seed.

    Attributes:
        study: that declares it.
        scale_name: one of the study's scales.
        network_name: one of its networks.
        condition_name: one of its conditions.
        seed: decides everything random.
        given: where data and weights lie; no part of its key.
    """

    study: Study
    scale_name: str
    network_name: str
    condition_name: str
    seed: int
    given: Given = dataclasses.field(default_factory=Given, compare=False)

    @property
    def scale(self) -> Scale:
        """The scale's settings."""
        return self.study.scales[self.scale_name]

    @property
    def network(self) -> Network:
        """The network's declaration."""
        return self.study.networks[self.network_name]

    @property
    def condition(self) -> Condition:
        """The condition's declaration."""
        return self.study.conditions[self.condition_name]

    @property
    def title(self) -> str:
        """Its name in messages."""
        seed = f", seed {self.seed}" if len(self.scale.seeds) > 1 else ""
        return f"{self.network.title} · {self.condition.title}{seed}"

    @property
    def images(self) -> int:
        """How many images of the test split are used."""
        scale, fewer = self.scale, self.scale.images_of.get(self.condition_name)
        return min(scale.images, fewer or scale.images, self.condition.images or scale.images)

    @property
    def name(self) -> str:
        """What users call it: `network-condition-sSEED`."""
        return f"{self.network_name}-{self.condition_name}-s{self.seed}"

    def file(self, results: Path) -> Path:
        """Return where its result is kept: `results/STUDY/SCALE/network-condition-sSEED.json`."""
        return results / self.study.name / self.scale_name / f"{self.name}.json"

    def of(self, network: str) -> Cell:
        """Return the same cell of another network."""
        return dataclasses.replace(self, network_name=network)

    @property
    def base(self) -> Cell | None:
        """The same cell of the network that this one is based on."""
        return self.of(self.network.base) if self.network.base else None

    def donor(self, view: str) -> Cell | None:
        """Return the same cell of the network whose defence a view borrows."""
        name = self.study.views[view].donor_of(self.network_name)
        return self.of(name) if name else None

    def replacement(self, view: str) -> Cell | None:
        """Return the same cell of the network that a view measures instead."""
        name = self.study.views[view].replacement_of(self.network.base)
        return self.of(name) if name else None

    @property
    def networks_to_train(self) -> list[Cell]:
        """The cells of all networks that this one needs, in the order they are trained."""
        views = self.condition.views
        others = [cell for view in views for cell in (self.donor(view), self.replacement(view))]
        chains = [self.training_order, *(cell.training_order for cell in others if cell)]
        return [cell for chain in chains for cell in chain]

    @property
    def training_order(self) -> list[Cell]:
        """The cells of the networks that this one is made of, and last the network's own."""
        needed = [name for plugin in self.network.defenses for name in plugin.networks.values()]
        before = [*([self.base] if self.base else []), *map(self.of, needed)]
        return [*(cell for other in before for cell in other.training_order), self]

    def plugin(self, declared: Plugin) -> Plugin:
        """Return a plugin with the options it has at this scale, and the attack inside it too."""
        replaced = self.scale.options.get(declared.name, {})
        given: Options = {
            option: self.of(network).model_name for option, network in declared.networks.items()
        }
        inside = self.scale.options.get(str(declared.options.get("attack")), {})
        if inside:
            given["options"] = {**declared.options.get("options", {}), **inside}
        return Plugin(name=declared.name, options={**declared.options, **replaced, **given})

    @property
    def defenses(self) -> list[Plugin]:
        """The network's defences with the options they have at this scale."""
        own = self.scale.defense_options.get(self.network_name, {})
        plugins = [self.plugin(defense) for defense in self.network.defenses]
        return [
            Plugin(name=plugin.name, options={**plugin.options, **own.get(plugin.name, {})})
            for plugin in plugins
        ]

    @functools.cached_property
    def training(self) -> dict[str, Any]:
        """Everything that determines the trained network."""
        network, scale = self.network, self.scale
        options = self.scenario_options()
        train_on = scale.train_on if network.base else {}
        own_train = scale.train_of.get(self.network_name, {})
        return {
            **self._beginning(),
            "defenses": [plugin.model_dump() for plugin in self.defenses],
            "train": {**scale.train, **train_on, **network.train, **own_train, "seed": self.seed},
            "scenario": _with_shift(self.scenario, network.shift),
            **({"scenario_options": options} if options else {}),
        }

    def _beginning(self) -> dict[str, Any]:
        """Return what the training starts from: a base, or a model and its options."""
        network, scale = self.network, self.scale
        if self.base:
            member = {"member": network.member} if network.member else {}
            return {"base": self.base.training, **member}
        smaller = scale.models.get(self.network_name)
        options = network.options if smaller is None else {}
        more = scale.model_options.get(self.network_name, {})
        return {"model": smaller or network.model, "options": {**options, **more}}

    @property
    def model_name(self) -> str:
        """The name of the trained network in the store: another training, another name."""
        return f"{self.network_name}-s{self.seed}-{_hashed(self.training)[:8]}"

    def builder(self, **more: Any) -> ModelBuilder:
        """Return the builder of the network's architecture, with more options.

        Raises:
            UsageError: it is no plugin, or has no such options.
        """
        training, file = self.training, self.given.weights.get(self.network_name)
        place = {"weights": file} if file else {}
        options = {**training["options"], **place, **more}
        builder: ModelBuilder = create("models", training["model"], **options)
        return builder

    @property
    def scenario(self) -> str:
        """The network's scenario, without the scene of its training."""
        own = self.scale.scenarios.get(self.network_name)
        return own or (self.base.scenario if self.base else self.scale.scenario)

    @property
    def tested_on(self) -> str:
        """The scenario it is tested on, with the scene."""
        return _with_shift(self.condition.scenario or self.scenario, self.condition.shift)

    def scenario_options(self, *more: Mapping[str, Options]) -> dict[str, Options]:
        """Return the scenarios' options by plugin: of the scale, the network and `more`."""
        merged: dict[str, Options] = {}
        for given in (self.scale.scenario_options, self.network.scenario_options, *more):
            merged |= {name: {**merged.get(name, {}), **options} for name, options in given.items()}
        return merged

    @functools.cached_property
    def key(self) -> str:
        """A hash of everything that determines the result: another declaration, another key."""
        condition = self.condition
        plugins = [*condition.detectors, *condition.all_attacks, *condition.certifiers]
        content = {
            "training": self.training,
            "images": self.images,
            "views": {view: self._view_content(view) for view in condition.views},
            "plugins": [self.plugin(plugin).model_dump() for plugin in plugins],
            # By the keys of the file, and without those that it leaves out: neither another name
            # in the code nor a new key changes what is hashed.
            "condition": condition.model_dump(
                by_alias=True,
                exclude={
                    "title",
                    "networks",
                    "attack",
                    "attacks",
                    "certifiers",
                    "detectors",
                    "images",
                },
                exclude_defaults=True,
            ),
        }
        return _hashed(content)[:16]

    def _view_content(self, view: str) -> Any:
        """Return everything that determines a view."""
        declared = self.study.views[view]
        defenses = [self.plugin(defense).model_dump() for defense in declared.defenses]
        donor, replacement, member = self.donor(view), self.replacement(view), declared.member
        other: dict[str, Any] = {"learned": donor.training} if donor else {}
        other |= {"member": member} if member else {}
        other |= {"instead": replacement.training} if replacement else {}
        return {"defenses": defenses, **other} if other else defenses


def cells_of(study: Study, scale: str, given: Given | None = None) -> list[Cell]:
    """Return all cells of a study at one scale, network by network.

    Raises:
        UsageError: there is no such scale.
    """
    chosen = study.scale(scale)
    return [
        Cell(study, scale, network, condition, seed, given or Given())
        for seed in chosen.seeds
        for network in chosen.networks or study.networks
        for condition in chosen.conditions or study.conditions
        if network in (study.conditions[condition].networks or study.networks)
        and chosen.measures(network, condition, seed)
    ]


def _with_shift(scenario: str, shift: str | None) -> str:
    return f"{scenario}+{shift}" if shift else scenario


def _hashed(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
