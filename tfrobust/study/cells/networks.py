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
from tfrobust.study.schema.study import Plugin
from tfrobust.training.trainer import Trainer


class Networks:
    """The networks that a cell looks at, from the store they were trained into.

    Args:
        cell: which.
        scenario: what they are tested on.
        models: the store.
    """

    def __init__(self, cell: Cell, scenario: Scenario, models: Path) -> None:
        keras.utils.set_random_seed(cell.seed)  # dropout draws from generators that are made here
        self._cell, self._scenario, self._models = cell, scenario, models
        self._views = views_of(cell)
        self._network = stored_network(cell.model_name, models, scenario=scenario)

    def judged(self) -> dict[str, Classifier]:
        """Return the network through each view that is measured."""
        return {view: self._seen(view, self._network) for view in self._cell.condition.judged}

    def attacked(self, judged: dict[str, Classifier]) -> tuple[str, Classifier] | None:
        """Return the view that the attack sees, if it is to see but one, and the network in it."""
        condition = self._cell.condition
        if condition.crafted_on is None:
            return None
        view = condition.crafted_on
        same = judged.get(view) if not condition.surrogate else None
        return view, same or self._seen(view, self._surrogate())

    def _seen(self, view: str, network: Classifier) -> Classifier:
        declared, lender = self._cell.study.views[view], self._cell.lender(view)
        if (other := self._cell.instead(view)) is not None:
            network = stored_network(other.model_name, self._models, scenario=self._scenario)
        if lender is not None:
            network = self._through(lender, network)
        if declared.member is not None:
            network = member_of(network, declared.member, self._cell.network_name)
        return defended(network, untrained(self._views[view]), self._scenario, Trainer())

    def _through(self, lender: Cell, network: Classifier) -> Classifier:
        """Put what the lender's last defence has learned before a network."""
        taught: Any = stored_network(lender.model_name, self._models, scenario=self._scenario)
        defense = lent(lender)
        return recorded(defense, network, Defended(defense.restore(network, taught.model)))

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
    """Return the defences of every view that the cell looks through."""
    views = cell.study.views
    return {
        name: built("defenses", [cell.plugin(each) for each in views[name].defenses])
        for name in cell.condition.views
    }


def lent(lender: Cell) -> Defense:
    """Return the last defence of a cell's network, which others are seen through.

    Raises:
        UsageError: it learns no model of its own.
    """
    named = lender.defenses[-1:]
    defenses = built("defenses", named)
    if not defenses or defenses[0].stage is not Stage.AUXILIARY:
        last = named[0].name if named else "none"
        raise UsageError(f"{lender.network_name}: its last defence, {last}, learns nothing to lend")
    made: Defense = defenses[0]
    return made


def built(kind: str, declared: Iterable[Plugin]) -> list[Any]:
    """Return declared plugins, built."""
    return [create(kind, each.name, **each.options) for each in declared]
