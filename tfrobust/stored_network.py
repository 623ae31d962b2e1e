"""A finished training as the network it was, which shows its layers, and not as it is served."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from tfrobust import store
from tfrobust.classifier import Classifier
from tfrobust.errors import RobustError
from tfrobust.keras_models import load_keras_file
from tfrobust.pipeline import defended, home_of, recorded, untrained
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.scenes import open_scenario
from tfrobust.training import Trainer
from tfrobust.workspace import FINISHED, learned_file, read_plan


def stored_network(
    name: str, root: Path | None = None, *, scenario: Scenario | None = None
) -> Classifier:
    """Load the newest finished training of `name` as the Keras network it was, defended again.

    `train_and_store` keeps the network without the defences that were put round it. Here these are
    applied once more. Where that cannot be done (the plugin is gone, or it trains), or no Keras
    network was kept, it is the SavedModel version that is loaded: it answers alike, but shows no
    layers.

    Args:
        name: in the store.
        root: the store; by default `$TFROBUST_MODELS` or `saved_models`.
        scenario: handed to the defences; by default opened again as the training's plan says.

    Returns:
        The classifier, as it came out of `train_and_store`.

    Raises:
        UsageError: nothing of that name was ever stored.
        ClassifierError: what was kept is damaged.

    Example:
        >>> train_and_store(create("models", "lenet_float"), digits, "d1", trainer,
        ...                 [create("defenses", "mc_dropout")])
        >>> stored_network("d1").passes
        50
    """
    home = home_of(name, root)
    plan, file = read_plan(home / FINISHED / "plan.json"), home / FINISHED / "model.keras"
    if plan is None:
        return store.load(name, root=root)
    if file.exists():
        network = store.load(file)
        with contextlib.suppress(RobustError):
            return _defended_again(network, home, plan, scenario)
    return store.load(home / str(plan["version"]))


def _defended_again(
    network: Classifier, home: Path, plan: dict[str, Any], scenario: Scenario | None
) -> Classifier:
    """Apply the defences of a plan that the network has not had; what they learned is loaded."""
    for each in plan["defenses"][len(network.defenses) :]:
        defense = create("defenses", each["name"], **each["params"])
        if defense.learns:
            file = learned_file(home / FINISHED, len(network.defenses) + 1)
            network = recorded(defense, network, defense.restore(network, load_keras_file(file)))
        else:
            data = scenario or _planned_scenario(plan["scenario"])
            network = defended(network, untrained([defense]), data, Trainer())
    return network


def _planned_scenario(planned: dict[str, Any]) -> Scenario:
    """Open the scenario that a plan records."""
    shift = planned.get("shift")
    options = {each["name"]: each["params"] for each in (planned, shift) if each}
    called = f"{planned['name']}+{shift['name']}" if shift else planned["name"]
    return open_scenario(called, options, seed=shift["seed"] if shift else 0)
