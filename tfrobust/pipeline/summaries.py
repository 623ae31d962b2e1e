"""What a stored classifier consists of: its parts, or the layers of its network."""

from __future__ import annotations

from typing import Any

from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.members import split_member
from tfrobust.classifiers.summary import summarized_parts
from tfrobust.defense import Stage
from tfrobust.errors import UsageError
from tfrobust.model import Summary, summarized
from tfrobust.pipeline.defense_order import defense_of
from tfrobust.pipeline.reload import why_served
from tfrobust.registry import create, find
from tfrobust.store.cards import read_card
from tfrobust.store.layout import locate


def classifier_summary(name: str, network: Classifier) -> Summary:
    """Return the parts of a classifier; the layers of one that is a single network.

    Args:
        name: what it was loaded by.
        network: as `tfrobust.pipeline.reload.network_of` loads it.

    Raises:
        UsageError: it is a SavedModel that shows no parts, and no card names its architecture.

    Example:
        >>> classifier_summary("d1", network_of("d1")).totals["parameters"]
        '44,426'
    """
    if network.meter is not None:
        return _endpoint(network)
    summary = summarized_parts(network, name) or _layers(name, network)
    for applied in network.defenses:
        if defense := defense_of(applied):
            summary.totals.update(defense.summary_totals(network, applied.found))
    summary.totals.update(_imitated(name))
    return summary


def _imitated(name: str) -> dict[str, str]:
    """Return the line of a surrogate: what it imitates, and how often both agree."""
    card = read_card(locate(split_member(name)[0]))
    if card is None or card.imitates is None:
        return {}
    copied = card.imitates
    agreement = f", the same class for {copied.agreement[-1]:.1%} of images held out"
    return {"imitates": copied.of + (agreement if copied.held_out else "")}


def _endpoint(network: Classifier) -> Summary:
    """Return what is known of an endpoint, which shows no layers."""
    height, width, channels = network.image_shape
    rows: list[tuple[str, ...]] = [
        ("images", f"{height}×{width}×{channels}"),
        ("classes", str(network.num_classes)),
    ]
    rows += [("note", line) for line in network.notices]
    sent = network.meter.count.sent if network.meter else 0
    return Summary(network.source, ("what", "is"), rows, {"queries spent": str(sent)})


def _layers(name: str, network: Classifier) -> Summary:
    """Return the layers of a network; of a SavedModel, those of the model it was built from."""
    base, member = split_member(name)
    card = read_card(locate(base))
    if isinstance(network, KerasClassifier) and (member or card is None):
        return summarized(network.model)
    if member or network.members or _has_trained_defense(network):
        raise UsageError(
            why_served(network)
            or f"{name}: a SavedModel does not show its parts; name what the store keeps, "
            "without a version"
        )
    architecture = (card.model if card else None) or {}
    if card is None or "name" not in architecture:
        raise UsageError(
            f"{name}: nothing tells which model it was built from; name a model plugin "
            "(`tfrobust plugins models` lists them)"
        )
    builder = create("models", architecture["name"], **architecture["params"])
    summary: Summary = builder.summary(card.image_shape, len(card.class_names))
    return summary


def _has_trained_defense(network: Classifier) -> bool:
    """Tell whether a defence around a network has trained weights of its own."""
    plugins: list[Any] = [find("defenses", defense.name).load() for defense in network.defenses]
    return any(plugin.stage is Stage.AUXILIARY for plugin in plugins)
