"""A cell's network as its views show it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.members import member_of
from tfrobust.defense import Defended, Defense, Stage
from tfrobust.errors import UsageError
from tfrobust.pipeline.build import defended, recorded, untrained
from tfrobust.pipeline.reload import stored_network
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.study.cells.cell import Cell
from tfrobust.study.schema.grid import Plugin
from tfrobust.training.trainer import Trainer


class Networks:
    """The networks that a cell measures, from the store they were trained into.

    Args:
        cell: whose networks.
        scenario: the data they are tested on.
        models: the store.
    """

    def __init__(self, cell: Cell, scenario: Scenario, models: Path) -> None:
        keras.utils.set_random_seed(cell.seed)  # dropout draws from generators that are made here
        self._cell, self._scenario, self._models = cell, scenario, models
        self._views = views_of(cell)
        self._network = self._stored(cell)

    def judged(self) -> dict[str, Classifier]:
        """Return view → the network through it, for each view that is measured."""
        return {view: self._through(view, self._network) for view in self._cell.condition.judged}

    def attacked(self, judged: dict[str, Classifier]) -> tuple[str, Classifier] | None:
        """Return the one view that the attack sees and the network in it; none: it sees them all.

        Args:
            judged: the views that are measured; the attack's is one of them where it can be.
        """
        condition = self._cell.condition
        if condition.crafted_on is None:
            return None
        view = condition.crafted_on
        same = judged.get(view) if not condition.surrogate else None
        return view, same or self._through(view, self._surrogate())

    def _stored(self, cell: Cell) -> Any:
        return stored_network(cell.model_name, self._models, scenario=self._scenario)

    def _through(self, view: str, network: Classifier) -> Classifier:
        """Return the network as a view shows it."""
        if (replacement := self._cell.replacement(view)) is not None:
            network = self._stored(replacement)
        if (donor := self._cell.donor(view)) is not None:
            network = self._behind_donated(donor, network)
        if (member := self._cell.study.views[view].member) is not None:
            network = member_of(network, member, self._cell.network_name)
        return defended(network, untrained(self._views[view]), self._scenario, Trainer())

    def _behind_donated(self, donor: Cell, network: Classifier) -> Classifier:
        """Put the model that the donor's last defence has learned before a network."""
        defense = donated_defense(donor)
        restored = defense.restore(network, self._stored(donor).model)
        return recorded(defense, network, Defended(restored))

    def _surrogate(self) -> Classifier:
        """Return the network itself, or its weights in a model built with other options."""
        surrogate, network = self._cell.condition.surrogate, self._network
        if not surrogate:
            return network
        builder = self._cell.builder(**surrogate)
        model = builder.build(self._scenario.image_shape, self._scenario.num_classes)
        model.set_weights(network.model.get_weights())
        return KerasClassifier(model, stochastic=network.stochastic)


def views_of(cell: Cell) -> dict[str, list[Defense]]:
    """Return the defences of every view that the cell needs."""
    views = cell.study.views
    return {
        name: built("defenses", [cell.plugin(plugin) for plugin in views[name].defenses])
        for name in cell.condition.views
    }


def donated_defense(donor: Cell) -> Defense:
    """Return the last defence of a donor's network, which other networks are seen through.

    Raises:
        UsageError: it learns no model of its own.
    """
    plugins = donor.defenses[-1:]
    defenses = built("defenses", plugins)
    if not defenses or defenses[0].stage is not Stage.AUXILIARY:
        last = plugins[0].name if plugins else "none"
        raise UsageError(
            f"{donor.network_name}: its last defence, {last}, learns no model that it could donate"
        )
    donated: Defense = defenses[0]
    return donated


def built(kind: str, plugins: Iterable[Plugin]) -> list[Any]:
    """Return declared plugins, built."""
    return [create(kind, plugin.name, **plugin.options) for plugin in plugins]
