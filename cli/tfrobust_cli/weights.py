"""What a training starts from: an architecture, weights from a file, or a finished classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.errors import UsageError
from tfrobust.registry import Entry, checked, entries, find
from tfrobust_cli.arguments import Parameters
from tfrobust_cli.console import log
from tfrobust_cli.load_options import notices

if TYPE_CHECKING:
    from tfrobust.model import ModelBuilder
    from tfrobust.pipeline.deployed import Deployed
    from tfrobust.scenario import Scenario


def with_weights(param: list[str] | None, model: str, weights: str | None) -> list[str]:
    """Return the `-p` options, with the model's option `weights` where `--weights` is given.

    Raises:
        UsageError: the model has no such option, or is given two.
    """
    pairs = list(param or ())
    if weights is None:
        return pairs
    if not _takes_weights(find("models", model)):
        able = [entry.name for entry in map(checked, entries("models")) if _takes_weights(entry)]
        raise UsageError(
            f"--weights: {model} cannot start from a file; these can: {', '.join(able) or 'none'}"
        )
    for pair in pairs:
        if pair.partition("=")[0] in {"weights", f"{model}.weights"}:
            raise UsageError(f"--weights: given twice, as {weights!r} and as -p {pair}")
    return [*pairs, f"{model}.weights={weights}"]


def _takes_weights(entry: Entry) -> bool:
    """Tell whether a model can start from a file; one that is broken cannot."""
    from tfrobust.option_tables import describe

    if entry.problem:
        return False
    return any(option.name == "weights" for option in describe(entry.load()))


def starting_point(
    model: str,
    scenario: Scenario,
    params: Parameters,
    *,
    alone: bool,
    loading: LoadOptions | None,
) -> ModelBuilder | Deployed:
    """Return what the training starts from.

    Args:
        model: a model plugin, or a finished classifier.
        scenario: the data.
        params: with the options of the plugin.
        alone: a defence alone is trained, and what it starts from stays as it is.
        loading: how the classifier is loaded; `None`: it is a plugin, and is built.
    """
    from tfrobust.pipeline.deployed import Deployed, as_built
    from tfrobust.pipeline.reload import network_of

    if loading is None:
        builder: ModelBuilder = params.build("models", model)
        return as_built(builder, scenario) if alone else builder
    network = network_of(model, loading.for_images(scenario.image_shape))
    for line in notices({model: network}):
        log(line)
    return Deployed(model, network)
