"""`tfrobust diagnose`: tells whether an attack fails for the wrong reason."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.errors import MaskedError
from tfrobust_cli.arguments import Parameters, check_known, scenario_plugins
from tfrobust_cli.console import Reporter, start_tensorflow
from tfrobust_cli.options.declared import (
    BatchSize,
    Classifier,
    Force,
    Json,
    Out,
    Params,
    Scenario,
    Seed,
    Split,
)
from tfrobust_cli.options.load import loads_classifiers
from tfrobust_cli.options.remote import Remote, asks_endpoints
from tfrobust_cli.options.trackers import (
    TrackerNames,
    built_trackers,
    tracked,
    tracker_plugins,
)
from tfrobust_cli.tables.diagnosis import print_diagnosis

if TYPE_CHECKING:
    from tfrobust.results.diagnosis import Diagnosis

_Eps = Annotated[float, typer.Option(help="Radius ε of the ball, in the unit of the norm.")]
_Norm = Annotated[str, typer.Option(help="Norm of the ball: linf, l2 or l1.")]
_Attack = Annotated[
    str | None, typer.Option(help="Attack whose figure is in doubt; default: PGD, 40 steps.")
]
_Detector = Annotated[
    str | None, typer.Option(help="Detector that rejects images: it is attacked too.")
]
_Images = Annotated[int, typer.Option(help="First images of the split.", min=20)]
_Thorough = Annotated[bool, typer.Option("--thorough", help="Make all checks, on all images.")]
_Strict = Annotated[bool, typer.Option("--strict", help="Exit with 3 if something is masked.")]


@loads_classifiers
@asks_endpoints
def diagnose(
    classifier: Classifier,
    eps: _Eps,
    out: Out,
    norm: _Norm = "linf",
    attack: _Attack = None,
    detector: _Detector = None,
    scenario: Scenario = "digits",
    param: Params = None,
    images: _Images = 200,
    split: Split = "test",
    thorough: _Thorough = False,
    strict: _Strict = False,
    seed: Seed = 0,
    batch_size: BatchSize = 128,
    tracker: TrackerNames = None,
    force: Force = False,
    as_json: Json = False,
    *,
    loading: LoadOptions,
    remote: Remote,
) -> None:
    """Check whether the accuracy that an attack leaves is real, or whether the attack fails.

    Looks for random answers, missing or wrong gradients, attacks that stop too early, and weaker
    attacks that find more. Runs the attacks that its findings call for, and writes diagnosis.json
    and diagnosis.html.

    Example: [bold]tfrobust diagnose d1 --eps 0.1 --norm linf --out runs/d1-diagnosis[/]
    """
    plugins = [("attacks", attack), ("detectors", detector)]
    named = [*((k, v) for k, v in plugins if v), *scenario_plugins(scenario)]
    named += tracker_plugins(tracker)
    check_known(named)
    start_tensorflow()
    from tfrobust import diagnosis, serving, store
    from tfrobust.data.names import open_scenario
    from tfrobust.files.output_folders import check_output
    from tfrobust.tracking.runs import track_diagnosis

    params = Parameters([*(param or []), *_budget(attack, eps, norm, param)], named)
    check_output(out, force=force)
    built = params.build("attacks", attack) if attack else None
    data = open_scenario(scenario, params.all(), seed=seed)
    loading = remote.applied(loading, out).for_images(data.image_shape, data.class_names)
    loaded = store.load_all([classifier], options=loading)
    ((name, victim),) = loaded.items()
    guards = params.build("detectors", detector) if detector else None
    told = {
        "classifier": classifier, "eps": eps, "norm": norm, "attack": attack, "detector": detector,
        "scenario": scenario, "images": images, "split": split, "thorough": thorough, "seed": seed,
        "param": param,
    }  # fmt: skip
    trackers = built_trackers(tracker, params)
    with (
        Reporter() as reporter,
        tracked(trackers, "diagnose", out.name, told, reporter.log) as tracking,
    ):
        settings = diagnosis.DiagnosisSettings(
            eps=eps, norm=norm, attack=built, images=images, split=split, thorough=thorough,  # type: ignore[arg-type]
            seed=seed, batch_size=batch_size, on_check=_shown_by(reporter),
        )  # fmt: skip
        if guards:
            gradients = victim.differentiable or victim.surrogate is not None
            learned_from = built or diagnosis.default_attack(settings, gradients=gradients)
            victim = serving.with_rejection(victim, guards, learned_from, data, seed=seed)
        found = diagnosis.run(victim, data, settings, out, name=name, force=force)
        track_diagnosis(tracking, found, out)
    print_diagnosis(found, out, as_json=as_json)
    _refuse_masked(found, strict=strict)


def _budget(attack: str | None, eps: float, norm: str, param: list[str] | None) -> list[str]:
    """Return the budget and the norm as options of the attack, unless they were typed."""
    from tfrobust.options import option_names
    from tfrobust.registry import find

    if attack is None:
        return []
    known = option_names(find("attacks", attack).load())
    typed = {text.partition("=")[0].rpartition(".")[2] for text in param or []}
    wanted = {"eps": f"{eps!r}", "norm": norm}
    return [f"{attack}.{k}={v}" for k, v in wanted.items() if k in known and k not in typed]


def _shown_by(reporter: Reporter) -> Callable[[str], None]:
    """Return what tells the reporter which check is made."""
    from tfrobust.diagnosis.diagnosing import CHECKS

    done = itertools.count()
    return lambda check: reporter(f"check: {check}", next(done), len(CHECKS))


def _refuse_masked(found: Diagnosis, *, strict: bool) -> None:
    """Fail where something is masked, if the user asked for that.

    Raises:
        MaskedError: names the causes.
    """
    if strict and found.verdict == "masked":
        raise MaskedError(
            f"{found.classifier}: masked ({'; '.join(found.causes)}): {found.attack} leaves "
            f"{found.attacked.accuracy:.1%}, and an attacker who knows {found.lowest.accuracy:.1%}"
        )


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("diagnose")(diagnose)
