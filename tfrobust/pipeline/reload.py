"""A finished training as the network it was, which shows its layers, and not as it is served."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust import store
from tfrobust.classifier import Classifier
from tfrobust.classifiers.identity import agree
from tfrobust.classifiers.keras.models import load_keras_file
from tfrobust.classifiers.loading import AS_IT_IS, LoadOptions
from tfrobust.classifiers.members import member_of, split_member
from tfrobust.data.names import open_scenario
from tfrobust.defense import Defense
from tfrobust.errors import ClassifierError, RobustError, one_line
from tfrobust.pipeline.build import defended, recorded, untrained
from tfrobust.pipeline.plans import FINISHED, read_plan
from tfrobust.pipeline.workspace import learned_file
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.store.models import home_of
from tfrobust.training.trainer import Trainer


def stored_network(
    name: str,
    root: Path | None = None,
    *,
    scenario: Scenario | None = None,
    options: LoadOptions = AS_IT_IS,
) -> Classifier:
    """Load the newest finished training of `name` as the Keras network it was, defended again.

    `train_and_store` keeps the network without the defences that were put round it, or knows where
    the deployed one lies that they were learned for. Here they are applied once more. Where that
    cannot be done (a plugin or a network that it needs is gone or has changed, or it trains), it is
    the SavedModel version that is loaded: it answers alike, but shows no layers; see `why_served`.

    Args:
        name: in the store.
        root: the store; by default `$TFROBUST_MODELS` or `saved_models`.
        scenario: handed to the defences; by default opened again as the training's plan says.
        options: what the user says about its files.

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
    plan = read_plan(home / FINISHED / "plan.json")
    if plan is None:
        return store.load(name, root=root, options=options)
    try:
        return _put_together(home, plan, scenario, options)
    except _ChangedError:
        return store.load(home / str(plan["version"]), options=options)


def why_served(classifier: Classifier) -> str | None:
    """Tell why a stored classifier is the SavedModel that it is served as, and not its network.

    Args:
        classifier: as `network_of` or `stored_network` returned it, or a member of it.

    Returns:
        What has changed or is gone, and what to do; `None` where nothing has.

    Example:
        >>> why_served(network_of("fused"))
        "fused: its background 'scenes' has changed or is gone since it was trained; put it ..."
    """
    version = Path(split_member(classifier.source)[0])
    home = version.parent
    plan = read_plan(home / FINISHED / "plan.json")
    if plan is None or str(plan["version"]) != version.name:
        return None
    try:
        _put_together(home, plan, None)
    except _ChangedError as error:
        return str(error)
    return None


class _ChangedError(ClassifierError):
    """A stored network cannot be put together as it was trained."""


def _put_together(
    home: Path,
    plan: dict[str, Any],
    scenario: Scenario | None,
    options: LoadOptions = AS_IT_IS,
) -> Classifier:
    """Return the network that was kept, or deployed, with its defences round it again."""
    file, deployed = home / FINISHED / "model.keras", plan["model"].get("deployed")
    version = home / str(plan["version"])
    kept = store.load(file, options=options) if file.exists() else None
    if kept is None and not deployed:
        raise _ChangedError(f"{home.name}: no network of it is kept that shows its layers")
    try:
        with store.rooted(home.parent):
            network = _defended_again(kept or _deployed(home, plan, options), home, plan, scenario)
            if not deployed and not network.members:
                return network  # nothing of it lies elsewhere, where it may change
            served = store.load(version, options=options)
    except _ChangedError:
        raise
    except RobustError as error:
        cause = f"cannot be put together as it was trained ({one_line(error)})"
        raise _ChangedError(f"{home.name}: {cause}; mend that, or train it again") from error
    network.class_names = served.class_names
    if not _answer_alike(network, served):
        inside = served.members.items()
        changed = [n for n, each in inside if not _answer_alike(network.members[n], each)]
        raise _ChangedError(_has_changed(home, plan, changed))
    return network


def _deployed(home: Path, plan: dict[str, Any], options: LoadOptions) -> Classifier:
    """Load what defences were learned for: as the plan has it, with what the user vouches for."""
    try:
        then = LoadOptions.restored(plan["model"].get("loading") or {})
        own = dataclasses.replace(then, trust=options.trust, custom_objects=options.custom_objects)
        return store.load(plan["model"]["deployed"], options=own)
    except RobustError as error:
        raise _ChangedError(_has_changed(home, plan)) from error


def _has_changed(home: Path, plan: dict[str, Any], members: Iterable[str] = ()) -> str:
    """Say which network is no longer what it was: a defence's option, or the one it was made of.

    An option of a member's name, such as `background` of `background` or `background2`, tells
    which network the member was made of.
    """
    options = {name: value for each in plan["defenses"] for name, value in each["params"].items()}
    asked = dict.fromkeys(member.rstrip("0123456789") for member in members)
    called = {name: options[name] for name in asked if options.get(name)}
    what = [f"its {name} {_quoted(value)}" for name, value in called.items()]
    if not what:
        what = [f"the network it was made of, {plan['model'].get('deployed')!r},"]
    return (
        f"{home.name}: {' or '.join(what)} has changed or is gone since it was trained; put it "
        f"back, or train {home.name} again"
    )


def _quoted(called: Any) -> str:
    listed = [called] if isinstance(called, str) else called
    return " or ".join(map(repr, listed))


def _answer_alike(network: Classifier, served: Classifier) -> bool:
    """Tell whether what was put together anew is what is served: something else may lie there now.

    Random ones are given the benefit of the doubt.
    """
    if network.image_shape != served.image_shape or network.num_classes != served.num_classes:
        return False
    if network.stochastic or served.stochastic:
        return True
    images = np.random.default_rng(0).uniform(size=(16, *served.image_shape)).astype(np.float32)
    logits, same = np.asarray(network(images)), np.asarray(served(images))
    return bool(agree(logits, same, 1e-3).all())


def network_of(classifier: str, options: LoadOptions = AS_IT_IS) -> Classifier:
    """Load a classifier as `stored_network` does, where the store knows its name.

    Args:
        classifier: a name, a SavedModel folder or a `.keras` file; or a member of one.
        options: what the user says about its files.

    Raises:
        UsageError: there is nothing of that name.
        ClassifierError: it is damaged.
    """
    called, member = split_member(classifier)
    if called not in store.stored():
        return store.load(classifier, options=options)
    network = stored_network(called, options=options)
    if member is None:
        return network
    found = member_of(network, member, called)
    found.source = f"{store.locate(called)}:{member}"  # the network shows layers, this serves
    return found


def trained_on(classifier: str) -> Scenario | None:
    """Open the scenario that a classifier was trained on; `None` if neither plan nor card tells it.

    Args:
        classifier: as for `network_of`.

    Raises:
        UsageError: it is no plugin any more.
    """
    classifier, _ = split_member(classifier)
    if classifier in store.stored():
        plan = read_plan(home_of(classifier, None) / FINISHED / "plan.json")
        if plan is not None:
            return _planned_scenario(plan["scenario"])
    card = store.read_card(store.locate(classifier))
    return open_scenario(card.scenario) if card and card.scenario else None


def _defended_again(
    network: Classifier, home: Path, plan: dict[str, Any], scenario: Scenario | None
) -> Classifier:
    """Apply the defences that the network has not had; what they learned is loaded."""
    planned = [*plan["model"].get("defenses", []), *plan["defenses"]]
    for each in planned[len(network.defenses) :]:
        defense = create("defenses", each["name"], **each["params"])
        if defense.learns:
            file = learned_file(home / FINISHED, len(network.defenses) + 1)
            network = recorded(defense, network, _restored(defense, network, file, home, plan))
        else:
            data = scenario or _planned_scenario(plan["scenario"])
            network = defended(network, untrained([defense]), data, Trainer())
    return network


def _restored(
    defense: Defense, network: Classifier, file: Path, home: Path, plan: dict[str, Any]
) -> Classifier:
    learned = load_keras_file(file)
    try:
        return defense.restore(network, learned)
    except RobustError as error:  # what it learned is sound: the networks are others
        card = store.read_card(home / str(plan["version"]))
        raise _ChangedError(_has_changed(home, plan, card.members if card else ())) from error


def _planned_scenario(planned: dict[str, Any]) -> Scenario:
    """Open the scenario that a plan records."""
    shift = planned.get("shift")
    options = {each["name"]: each["params"] for each in (planned, shift) if each}
    called = f"{planned['name']}+{shift['name']}" if shift else planned["name"]
    return open_scenario(called, options, seed=shift["seed"] if shift else 0)
