"""Classifiers as certifiers need them: as the networks that were trained, with their layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfrobust.classifier import Classifier
    from tfrobust.classifiers.loading import LoadOptions


def load_networks(
    classifiers: Sequence[str], options: LoadOptions, log: Callable[[str], None]
) -> dict[str, Classifier]:
    """Load classifiers, those of the store as their Keras networks with their defences.

    Args:
        classifiers: as on the command line.
        options: how they are loaded.
        log: is called with a line for each that can only be loaded as it is served.

    Returns:
        The classifiers, by the names that results show.

    Raises:
        UsageError: an unknown name, or one that is given twice.
        ClassifierError: a file is damaged.
    """
    from tfrobust.pipeline.reload import why_served
    from tfrobust.pipeline.stored_networks import StoredNetworks

    networks = StoredNetworks.named(classifiers, options)
    loaded = {name: networks.open(name) for name in networks.given}
    for name, network in loaded.items():
        if network.model is None and (why := why_served(network)):
            log(f"{networks.given[name]}: loaded as it is served, without its layers: {why}")
    return loaded
