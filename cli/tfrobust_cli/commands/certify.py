"""`tfrobust certify`: how far from each image nothing changes the answer."""

from __future__ import annotations

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust_cli.arguments import Parameters, check_known, scenario_plugins
from tfrobust_cli.console import Reporter, start_tensorflow
from tfrobust_cli.networks import load_networks
from tfrobust_cli.opening import opened
from tfrobust_cli.options.declared import (
    Certifiers,
    Classifiers,
    Force,
    Json,
    Limit,
    Out,
    Params,
    Radii,
    Scenario,
    Seed,
    Split,
)
from tfrobust_cli.options.load import loads_classifiers, notices
from tfrobust_cli.options.trackers import (
    TrackerNames,
    built_trackers,
    tracked,
    tracker_plugins,
)
from tfrobust_cli.options.worker import Spread, uses_workers
from tfrobust_cli.tables.certification import print_certifications


@loads_classifiers
@uses_workers
def certify(
    classifier: Classifiers,
    certifier: Certifiers,
    eps: Radii,
    out: Out,
    scenario: Scenario = "digits",
    param: Params = None,
    split: Split = "test",
    limit: Limit = None,
    seed: Seed = 0,
    tracker: TrackerNames = None,
    force: Force = False,
    as_json: Json = False,
    *,
    loading: LoadOptions,
    spread: Spread,
) -> None:
    """Certify how far from each image no attack can change the answer.

    Writes certificates.json, radii.npz and report.html. Names in the store are loaded as the
    networks that were trained, with their layers.

    Example: [bold]tfrobust certify d1 --certifier smoothing -p sigma=0.25 --eps 0.25
    --out runs/d1-certified[/]
    """
    named = [*(("certifiers", name) for name in certifier), *scenario_plugins(scenario)]
    named += tracker_plugins(tracker)
    check_known(named)
    spread.prepare()
    start_tensorflow()
    from tfrobust import certification
    from tfrobust.files.output_folders import check_output
    from tfrobust.pipeline.stored_networks import StoredNetworks
    from tfrobust.tracking.runs import track_certification

    params = Parameters(param, named)
    check_output(out, force=force)
    built = [params.build("certifiers", name) for name in dict.fromkeys(certifier)]
    told = {
        "classifier": classifier, "certifier": certifier, "scenario": scenario, "eps": eps,
        "split": split, "limit": limit, "seed": seed, "param": param,
    }  # fmt: skip
    trackers = built_trackers(tracker, params)
    with Reporter() as reporter:
        data = opened(scenario, params, seed=seed, log=reporter.log)
        loading = loading.for_images(data.image_shape)
        networks = load_networks(classifier, loading, reporter.log)
        for line in notices(networks):
            reporter.log(line)
        settings = certification.CertificationSettings(
            classifiers=networks, scenario=data, certifiers=built, eps=eps, split=split,
            limit=limit, seed=seed,
        )  # fmt: skip
        again = StoredNetworks.named(classifier, loading)
        with (
            tracked(trackers, "certify", out.name, told, reporter.log) as tracking,
            spread.executor(out, reporter, in_flight=1, reopening=again) as executor,
        ):
            results = certification.run(
                settings, out, force=force, progress=reporter, executor=executor
            )
            track_certification(tracking, results, out)
    print_certifications(results, out, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("certify")(certify)
