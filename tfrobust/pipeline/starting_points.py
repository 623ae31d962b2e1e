"""What a training starts from: an architecture that is built, or a finished classifier."""

from __future__ import annotations

from collections.abc import Callable

from tfrobust.classifiers.loading import AS_IT_IS, LoadOptions
from tfrobust.model import ModelBuilder
from tfrobust.pipeline.deployed import Deployed, as_built
from tfrobust.pipeline.reload import network_of
from tfrobust.scenario import Scenario


def starting_point(
    model: ModelBuilder | str,
    scenario: Scenario,
    *,
    alone: bool = False,
    loading: LoadOptions = AS_IT_IS,
    note: Callable[[str], object] = lambda _: None,
) -> ModelBuilder | Deployed:
    """Return what a training starts from, for `TrainingPlan`.

    Args:
        model: an architecture, or the name of a finished classifier.
        scenario: the data of the training.
        alone: a defence alone is trained, and what it starts from stays as it is: an architecture
            is then built, with the weights that its option names, and is finished.
        loading: what the user says about the classifier's files.
        note: receives a line for everything that was converted when it was loaded.

    Raises:
        UsageError: there is no such classifier.
        ClassifierError: it is damaged.
        DataError: the architecture's weights cannot be read, or do not fit.

    Example:
        >>> start = starting_point("d1", digits)
        >>> plan = TrainingPlan(start, digits, [create("defenses", "calibrater")])
    """
    if isinstance(model, str):
        network = network_of(model, loading.for_images(scenario.image_shape))
        for line in network.notices:
            note(f"{model}: {line}")
        return Deployed(model, network)
    return as_built(model, scenario) if alone else model
