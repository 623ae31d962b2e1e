"""A finished training as the Keras network that was trained, not as the SavedModel of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tfrobust.classifier import Classifier
from tfrobust.classifiers.identity import answer_alike
from tfrobust.classifiers.keras.models import load_keras_file
from tfrobust.classifiers.loading import AS_IT_IS, LoadOptions
from tfrobust.classifiers.members import member_of, split_member
from tfrobust.defense import Defended, Defense, Stage
from tfrobust.errors import ClassifierError, RobustError, one_line
from tfrobust.pipeline.build import defended, recorded, untrained, with_surrogate
from tfrobust.pipeline.plans import planned_scenario, read_plan
from tfrobust.pipeline.workspace import learned_file
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.store.cards import Card, read_card
from tfrobust.store.layout import home_of, locate, rooted, stored, training_folder
from tfrobust.store.models import load
from tfrobust.training.trainer import Trainer


def stored_network(
    name: str,
    root: Path | None = None,
    *,
    scenario: Scenario | None = None,
    options: LoadOptions = AS_IT_IS,
) -> Classifier:
    """Load the newest finished training of `name` as its Keras network, with its defences.

    `train_and_store` keeps the network without the defences around it, or the place of the deployed
    one that they were trained for. Here they are applied again. Where that is impossible (a plugin
    or a network that it needs is missing or has changed, or it trains), the SavedModel version is
    loaded: it gives the same answers but shows no layers; see `why_served`.

    Args:
        name: in the store.
        root: the store; by default `$TFROBUST_MODELS` or `saved_models`.
        scenario: for the defences; by default the one in the training's plan.
        options: what the user says about its files.

    Returns:
        The classifier, as it came out of `train_and_store`.

    Raises:
        UsageError: nothing of that name was ever stored.
        ClassifierError: a file of it is damaged.

    Example:
        >>> train_and_store(create("models", "lenet_float"), digits, "d1", trainer,
        ...                 [create("defenses", "mc_dropout")])
        >>> stored_network("d1").passes
        50
    """
    home = home_of(name, root)
    plan = read_plan(training_folder(home) / "plan.json")
    if plan is None:
        return load(name, root=root, options=options)
    try:
        return _put_together(home, plan, scenario, options)
    except _ChangedError:
        return load(home / str(plan["version"]), options=options)


def why_served(classifier: Classifier) -> str | None:
    """Return why a stored classifier was loaded as a SavedModel and not as its network.

    Args:
        classifier: as `network_of` or `stored_network` returned it, or a member of it.

    Returns:
        What has changed or is missing, and what to do; `None`: nothing.

    Example:
        >>> why_served(network_of("fused"))
        "fused: its background 'scenes' has changed or is gone since it was trained; put it ..."
    """
    version = Path(split_member(classifier.source)[0])
    home = version.parent
    plan = read_plan(training_folder(home) / "plan.json")
    if plan is None or str(plan["version"]) != version.name:
        return None
    try:
        _put_together(home, plan, None)
    except _ChangedError as error:
        return str(error)
    return None


class _ChangedError(ClassifierError):
    """A stored network cannot be rebuilt as it was trained."""


def _put_together(
    home: Path,
    plan: dict[str, Any],
    scenario: Scenario | None,
    options: LoadOptions = AS_IT_IS,
) -> Classifier:
    """Return the network that was kept, or deployed, with its defences around it."""
    file, deployed = training_folder(home) / "model.keras", plan["model"].get("deployed")
    version = home / str(plan["version"])
    kept = with_surrogate(load(file, options=options)) if file.exists() else None
    if kept is None and not deployed:
        raise _ChangedError(f"{home.name}: no network of it is kept that shows its layers")
    try:
        with rooted(home.parent):
            network = _defended_again(kept or _deployed(home, plan, options), home, plan, scenario)
            if not deployed and not network.members:
                return network  # all of it lies here, where nothing else changes it
            served = load(version, options=options)
    except _ChangedError:
        raise
    except RobustError as error:
        cause = f"cannot be put together as it was trained ({one_line(error)})"
        raise _ChangedError(f"{home.name}: {cause}; mend that, or train it again") from error
    network = network.replace(class_names=served.class_names)
    if not answer_alike(network, served):
        inside = served.members.items()
        changed = [
            name for name, member in inside if not answer_alike(network.members[name], member)
        ]
        raise _ChangedError(_has_changed(home, plan, changed))
    return network


def _deployed(home: Path, plan: dict[str, Any], options: LoadOptions) -> Classifier:
    """Load the deployed classifier as the plan records it, with what the user vouches for."""
    try:
        then = LoadOptions.restored(plan["model"].get("loading") or {})
        own = dataclasses.replace(then, trust=options.trust, custom_objects=options.custom_objects)
        return load(plan["model"]["deployed"], options=own)
    except RobustError as error:
        raise _ChangedError(_has_changed(home, plan)) from error


def _has_changed(home: Path, plan: dict[str, Any], members: Iterable[str] = ()) -> str:
    """Return a message that names the network that has changed.

    A member that has the name of a defence's option, such as `background` or `background2`, was
    made of the network in this option; else it is the deployed classifier.
    """
    options = {
        name: value for defense in plan["defenses"] for name, value in defense["params"].items()
    }
    names = dict.fromkeys(member.rstrip("0123456789") for member in members)
    networks = {name: options[name] for name in names if options.get(name)}
    what = [f"its {name} {_quoted(network)}" for name, network in networks.items()]
    if not what:
        what = [f"the network it was made of, {plan['model'].get('deployed')!r},"]
    return (
        f"{home.name}: {' or '.join(what)} has changed or is gone since it was trained; put it "
        f"back, or train {home.name} again"
    )


def _quoted(networks: Any) -> str:
    names = [networks] if isinstance(networks, str) else networks
    return " or ".join(map(repr, names))


def network_of(classifier: str, options: LoadOptions = AS_IT_IS) -> Classifier:
    """Load a classifier as `stored_network` does, where the store knows its name.

    Args:
        classifier: a name, a SavedModel folder or a `.keras` file; or a member of one.
        options: what the user says about its files.

    Raises:
        UsageError: there is nothing of that name.
        ClassifierError: it is damaged.
    """
    name, member = split_member(classifier)
    if name not in stored():
        return load(classifier, options=options)
    network = stored_network(name, options=options)
    if member is None:
        return network
    source = f"{locate(name)}:{member}"  # the network shows layers, this serves
    return member_of(network, member, name).replace(source=source)


def _defended_again(
    network: Classifier, home: Path, plan: dict[str, Any], scenario: Scenario | None
) -> Classifier:
    """Apply the defences that the network lacks; models that they trained are loaded."""
    planned = [*plan["model"].get("defenses", []), *plan["defenses"]]
    card = read_card(home / str(plan["version"]))
    for plugin in planned[len(network.defenses) :]:
        defense = create("defenses", plugin["name"], **plugin["params"])
        place = len(network.defenses)
        if defense.stage is Stage.AUXILIARY:
            file = learned_file(training_folder(home), place + 1)
            restored = _restored(defense, network, file, home, plan)
            found = _found(card, place, plugin["name"])
            network = recorded(defense, network, Defended(restored, found))
        elif defense.fits and defense.wraps:  # it trained the network itself, which was kept
            restored = defense.restore(network, network.model)
            found = _found(card, place, plugin["name"])
            network = recorded(defense, network, Defended(restored, found))
        else:
            data = scenario or planned_scenario(plan["scenario"])
            network = defended(network, untrained([defense]), data, Trainer())
    return network


def _found(card: Card | None, place: int, name: str) -> Mapping[str, Any]:
    """Return what a defence measured when it was applied, from the card of what was stored."""
    defenses = card.defenses[place : place + 1] if card else ()
    return next((defense.found for defense in defenses if defense.name == name), {})


def _restored(
    defense: Defense, network: Classifier, file: Path, home: Path, plan: dict[str, Any]
) -> Classifier:
    learned = load_keras_file(file)
    try:
        return defense.restore(network, learned)
    except RobustError as error:  # its own model is sound: the other networks have changed
        card = read_card(home / str(plan["version"]))
        raise _ChangedError(_has_changed(home, plan, card.members if card else ())) from error
