"""The cells of a study: one network under one condition, from one seed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrobust.registry import create
from tfrobust.study.schema.study import Condition, Network, Options, Plugin, Scale, Study

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tfrobust.model import ModelBuilder


@dataclasses.dataclass(frozen=True)
class Cell:
    """One network under one condition, from one seed."""

    study: Study
    scale_name: str
    network_name: str
    condition_name: str
    seed: int

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

    def plugin(self, declared: Plugin) -> Plugin:
        """Return a plugin with the options it has at this scale, and the attack inside it too."""
        replaced = self.scale.options.get(declared.name, {})
        given: Options = {
            option: self.of(each).model_name for option, each in declared.networks.items()
        }
        inside = self.scale.options.get(str(declared.options.get("attack")), {})
        if inside:
            given["options"] = {**declared.options.get("options", {}), **inside}
        return Plugin(name=declared.name, options={**declared.options, **replaced, **given})

    @property
    def defenses(self) -> list[Plugin]:
        """The network's defences with the options they have at this scale."""
        own = self.scale.defense_options.get(self.network_name, {})
        plugins = (self.plugin(each) for each in self.network.defenses)
        return [
            Plugin(name=each.name, options={**each.options, **own.get(each.name, {})})
            for each in plugins
        ]

    @functools.cached_property
    def training(self) -> dict[str, Any]:
        """What determines the trained network."""
        network, scale = self.network, self.scale
        more, options = scale.model_options.get(self.network_name, {}), self.scenario_options()
        train_on = scale.train_on if network.base else {}
        own_train = scale.train_of.get(self.network_name, {})
        begun: dict[str, Any]
        if self.base:
            begun = {"base": self.base.training}
            begun |= {"member": network.member} if network.member else {}
        else:
            smaller = scale.models.get(self.network_name)
            own = network.options if smaller is None else {}
            begun = {"model": smaller or network.model, "options": {**own, **more}}
        return {
            **begun,
            "defenses": [each.model_dump() for each in self.defenses],
            "train": {**scale.train, **train_on, **network.train, **own_train, "seed": self.seed},
            "scenario": _shifted(self.scenario, network.shift),
            **({"scenario_options": options} if options else {}),
        }

    def scenario_options(self, *more: Mapping[str, Options]) -> dict[str, Options]:
        """Return the scenarios' options by plugin: of the scale, the network and `more`."""
        found: dict[str, Options] = {}
        for each in (self.scale.scenario_options, self.network.scenario_options, *more):
            found |= {name: {**found.get(name, {}), **options} for name, options in each.items()}
        return found

    def builder(self, **more: Any) -> ModelBuilder:
        """Return the builder of the network's architecture, with these options besides.

        Raises:
            UsageError: it is no plugin, or has no such options.
        """
        training = self.training
        made: ModelBuilder = create("models", training["model"], **{**training["options"], **more})
        return made

    @property
    def base(self) -> Cell | None:
        """The same cell of the network that this one is based on."""
        return self.of(self.network.base) if self.network.base else None

    def of(self, network: str) -> Cell:
        """Return the same cell of another network."""
        return dataclasses.replace(self, network_name=network)

    def lender(self, view: str) -> Cell | None:
        """Return the same cell of the network whose defence a view borrows."""
        name = self.study.views[view].lender(self.network_name)
        return self.of(name) if name else None

    def instead(self, view: str) -> Cell | None:
        """Return the same cell of the network that a view looks at instead."""
        name = self.study.views[view].replacement(self.network.base)
        return self.of(name) if name else None

    @property
    def schooling(self) -> list[Cell]:
        """The cells of all networks that this one looks at, in the order they are trained."""
        views = self.condition.views
        others = [cell for view in views for cell in (self.lender(view), self.instead(view))]
        lines = [self._line(), *(cell._line() for cell in others if cell)]
        return [cell for line in lines for cell in line]

    def _line(self) -> list[Cell]:
        """Return the network with those that it needs, the first before."""
        needed = [name for each in self.network.defenses for name in each.networks.values()]
        before = [*([self.base] if self.base else []), *map(self.of, needed)]
        return [*(cell for each in before for cell in each._line()), self]

    @property
    def scenario(self) -> str:
        """The network's scenario, without the scene of its training."""
        own = self.scale.scenarios.get(self.network_name)
        return own or (self.base.scenario if self.base else self.scale.scenario)

    @property
    def tested_on(self) -> str:
        """The scenario it is tested on, with the scene."""
        return _shifted(self.condition.scenario or self.scenario, self.condition.shift)

    @property
    def model_name(self) -> str:
        """What the trained network is called: another training is another network."""
        return f"{self.network_name}-s{self.seed}-{_hashed(self.training)[:8]}"

    @functools.cached_property
    def key(self) -> str:
        """A hash of all that determines the result: another declaration is another cell."""
        condition = self.condition
        plugins = [*condition.detectors, *([condition.attack] if condition.attack else [])]
        seen = {view: self._seen(view) for view in condition.views}
        content = {
            "training": self.training,
            "images": self.images,
            "views": seen,
            "plugins": [self.plugin(each).model_dump() for each in plugins],
            # What a declaration leaves out is not counted: a new field unmakes no cell.
            "condition": condition.model_dump(
                exclude={"title", "networks", "attack", "detectors", "images"},
                exclude_defaults=True,
            ),
        }
        return _hashed(content)[:16]

    def _seen(self, view: str) -> Any:
        """Return what determines a view."""
        defenses = [self.plugin(each).model_dump() for each in self.study.views[view].defenses]
        lender, instead = self.lender(view), self.instead(view)
        member = self.study.views[view].member
        chosen: dict[str, Any] = {"learned": lender.training} if lender else {}
        chosen |= {"member": member} if member else {}
        chosen |= {"instead": instead.training} if instead else {}
        return {"defenses": defenses, **chosen} if chosen else defenses

    @property
    def images(self) -> int:
        """How many of the test split."""
        scale, fewer = self.scale, self.scale.images_of.get(self.condition_name)
        return min(scale.images, fewer or scale.images, self.condition.images or scale.images)

    @property
    def title(self) -> str:
        """What messages call it."""
        seed = f", seed {self.seed}" if len(self.scale.seeds) > 1 else ""
        return f"{self.network.title} · {self.condition.title}{seed}"

    def file(self, results: Path) -> Path:
        """Return where its result is kept: `results/STUDY/SCALE/network-condition-sSEED.json`."""
        name = f"{self.network_name}-{self.condition_name}-s{self.seed}.json"
        return results / self.study.name / self.scale_name / name


def cells_of(study: Study, scale: str) -> list[Cell]:
    """Return all cells of a study at one scale, network by network.

    Raises:
        UsageError: there is no such scale.
    """
    chosen = study.scale(scale)
    return [
        Cell(study, scale, network, condition, seed)
        for seed in chosen.seeds
        for network in chosen.networks or study.networks
        for condition in chosen.conditions or study.conditions
        if network in (study.conditions[condition].networks or study.networks)
    ]


def command(study: Study, scale: str) -> str:
    """Return what a user types to compute a bundled study."""
    return f"tfrobust study run {study.name} --scale {scale} --out runs/{study.name}"


def _shifted(scenario: str, shift: str | None) -> str:
    return f"{scenario}+{shift}" if shift else scenario


def _hashed(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
