"""`tfrobust streams`: how much each stream of a fusion weighs, and what an attack does to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.errors import UsageError
from tfrobust_cli.arguments import Parameters, check_known, scenario_plugins
from tfrobust_cli.console import Reporter, log, start_tensorflow
from tfrobust_cli.opening import opened
from tfrobust_cli.options.declared import (
    MOST,
    Force,
    Json,
    Out,
    Params,
    Scenario,
    Seed,
    names_of,
)
from tfrobust_cli.options.declared import (
    Classifier as ClassifierName,
)
from tfrobust_cli.options.load import loads_classifiers, notices
from tfrobust_cli.tables.stream import print_streams

if TYPE_CHECKING:
    from tfrobust.classifier import Classifier


@loads_classifiers
def streams(
    classifier: ClassifierName,
    out: Out,
    scenario: Scenario = "digits",
    attack: Annotated[
        str, typer.Option(help="An attack plugin.", autocompletion=names_of("attacks"))
    ] = "fgsm",
    crafted_on: Annotated[
        str | None,
        typer.Option(help="Stream that the attack sees; default: the whole classifier."),
    ] = None,
    param: Params = None,
    images: Annotated[
        int, typer.Option(help="Maximum number, from the first five classes.", min=3, max=MOST)
    ] = 150,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    *,
    loading: LoadOptions,
) -> None:
    """Show the streams of a fused classifier.

    Writes streams.svg: each stream's features in two dimensions, clean and attacked.

    Example: [bold]tfrobust streams fused --scenario digits_in_places --attack box_blur
    --out runs/streams[/]
    """
    plugins = [("attacks", attack), *scenario_plugins(scenario)]
    check_known(plugins)
    start_tensorflow()
    from tfrobust import evaluation

    params = Parameters(param, plugins)
    built = params.build("attacks", attack)
    network = _loaded(classifier, loading)
    settings = evaluation.StreamSettings(
        name=classifier, classifier=network, scenario=opened(scenario, params, seed=seed),
        attack=built, crafted_on=crafted_on, images=images, seed=seed,
    )  # fmt: skip
    with Reporter() as reporter:
        shown = evaluation.run_streams(settings, out, force=force, progress=reporter)
    print_streams(shown, as_json=as_json)


def _loaded(classifier: str, loading: LoadOptions) -> Classifier:
    """Return the network, not the SavedModel of it, which shows no streams."""
    from tfrobust.evaluation.streams.features import Streamed
    from tfrobust.pipeline.reload import network_of, why_served

    network = network_of(classifier, loading)
    for line in notices({classifier: network}):
        log(line)
    if not isinstance(network, Streamed) and (why := why_served(network)):
        raise UsageError(why)
    return network


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("streams")(streams)
