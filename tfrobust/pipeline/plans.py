"""Plans of trainings: what is to be trained, as a record that tells one training from another."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic

from tfrobust.classifiers.identity import weights_digest
from tfrobust.classifiers.members import split_member
from tfrobust.data.names import open_scenario, scenario_record
from tfrobust.defense import Defense
from tfrobust.environment.versions import onednn, threads
from tfrobust.errors import RobustError, StoreError, one_line
from tfrobust.files.atomic import atomic_write
from tfrobust.files.reading import checked_record, parse_json, read_bytes
from tfrobust.files.record_types import Seed, Text
from tfrobust.model import ModelBuilder
from tfrobust.options import record
from tfrobust.pipeline.deployed import Deployed
from tfrobust.pipeline.distillation import Distillation
from tfrobust.registry import create, signature
from tfrobust.scenario import Scenario
from tfrobust.store.cards import read_card
from tfrobust.store.layout import home_of, locate, stored, training_folder
from tfrobust.training.options import TrainingOptions

THREADS = "threads"  # in a plan: how many the training ran with
ONEDNN = "onednn"  # in a plan: whether it ran with the kernels of oneDNN


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """What is to be trained.

    Attributes:
        model: the architecture, or a finished classifier.
        scenario: the data.
        defenses: in the order in which they are applied.
        scenario_name: the scenario as the user wrote it, for the card: `digits+b2`.
        distilled: what the model imitates instead of learning the scenario's labels.

    Example:
        >>> TrainingPlan(create("models", "lenet"), open_scenario("digits+b2"),
        ...              scenario_name="digits+b2")
    """

    model: ModelBuilder | Deployed
    scenario: Scenario
    defenses: Sequence[Defense] = ()
    scenario_name: str | None = None
    distilled: Distillation | None = None

    def recorded(self, options: TrainingOptions) -> dict[str, Any]:
        """Return the plan as plain JSON values, with the options of its training."""
        plan = {
            "model": _model_record(self.model),
            "scenario": {"called": self.scenario_name, **scenario_record(self.scenario)},
            "defenses": [signature(defense) for defense in self.defenses],
            "training": record(options),
            THREADS: threads(),
            ONEDNN: onednn(),
        }
        if self.distilled is not None:
            plan["distilled"] = {"of": self.distilled.name, **record(self.distilled.options)}
        return plan


def _model_record(model: ModelBuilder | Deployed) -> dict[str, Any]:
    """Return what identifies the network that is trained, or the one that is deployed."""
    if isinstance(model, ModelBuilder):
        files = dict(model.files)  # they are read whole for it
        return signature(model) | ({"files": files} if files else {})
    source = model.classifier.source
    card = read_card(Path(source)) if source else None
    defenses = [
        {"name": defense.name, "params": defense.params} for defense in model.classifier.defenses
    ]
    architecture = card.model if card and card.model else {}
    identity: dict[str, Any] = {"deployed": model.known_as or source}
    options = model.classifier.loaded_with
    if options and (loading := options.recorded()):
        identity["loading"] = loading
    if weights := weights_digest(model.classifier):
        identity["weights_sha256"] = weights  # another one may have its name when this is resumed
    return architecture | identity | ({"defenses": defenses} if defenses else {})


class _Plugin(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    name: Text
    params: dict[str, Any]


class _Shift(_Plugin):
    seed: Seed


class _Scenario(_Plugin):
    shift: _Shift | None = None


class _Model(pydantic.BaseModel):
    deployed: Text | None = None
    defenses: list[_Plugin] = []


class _PlanRecord(pydantic.BaseModel):
    """What a plan must hold, whoever wrote it."""

    model: _Model
    scenario: _Scenario
    defenses: list[_Plugin]
    training: dict[str, Any]
    threads: int | None = pydantic.Field(default=None, ge=0, strict=True)
    onednn: bool | None = None


class _FinishedRecord(_PlanRecord):
    """The plan of a finished training names the version that came out."""

    version: int = pydantic.Field(ge=0, lt=10**18, strict=True)


def read_plan(path: Path) -> dict[str, Any] | None:
    """Return the record of a plan; `None` if there is no file.

    Raises:
        StoreError: it is damaged.
    """
    if not path.exists():
        return None
    kind = _FinishedRecord if path.parent.name.endswith("training") else _PlanRecord
    try:
        text = read_bytes(path)
        checked_record(kind, text)
        plan: dict[str, Any] = parse_json(text)
        return plan
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: cannot be read ({one_line(error)}); start over with --force"
        ) from error


def planned_scenario(planned: dict[str, Any]) -> Scenario:
    """Open the scenario that a plan records."""
    shift = planned.get("shift")
    options = {plugin["name"]: plugin["params"] for plugin in (planned, shift) if plugin}
    name = f"{planned['name']}+{shift['name']}" if shift else planned["name"]
    return open_scenario(name, options, seed=shift["seed"] if shift else 0)


def trained_on(classifier: str) -> Scenario | None:
    """Open the scenario that a classifier was trained on; `None` if neither plan nor card tells it.

    Args:
        classifier: as for `network_of`.

    Raises:
        UsageError: it is no plugin any more.
    """
    classifier, _ = split_member(classifier)
    if classifier in stored():
        plan = read_plan(training_folder(home_of(classifier, None)) / "plan.json")
        if plan is not None:
            return planned_scenario(plan["scenario"])
    card = read_card(locate(classifier))
    return open_scenario(card.scenario) if card and card.scenario else None


def write_plan(path: Path, plan: dict[str, Any]) -> None:
    """Write the record of a plan.

    Raises:
        StoreError: the disk refuses.
    """
    text = json.dumps(plan, indent=1) + "\n"
    atomic_write(path, lambda file: file.write_text(text, encoding="utf-8"))


def requested(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what of a plan the user asked for."""
    return {name: value for name, value in plan.items() if name not in (THREADS, ONEDNN)}


def decides_weights(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what of a plan decides the weights: all but last defences that train nothing."""
    defenses = list(plan["defenses"])
    while defenses and not _trains(defenses[-1]):
        defenses.pop()
    return requested(plan) | {"defenses": defenses}


def _trains(defense: dict[str, Any]) -> bool:
    try:
        return create("defenses", defense["name"], **defense["params"]).fits
    except RobustError:
        return True  # it is not installed: nobody knows


def difference(
    before: dict[str, Any], now: dict[str, Any], where: tuple[str, str] = ("then", "now")
) -> str:
    """Name the first option that differs: `training.epochs: 5 then, 10 now`.

    Args:
        before: the record of a plan.
        now: another one.
        where: what tells the two apart.
    """
    for key in {**before, **now}:
        if before.get(key) == now.get(key):
            continue
        old, new = _by_name(before.get(key)), _by_name(now.get(key))
        if old == new:
            return f"{key}: in another order"
        if isinstance(old, dict) and isinstance(new, dict):
            return f"{key}.{difference(old, new, where)}"
        return f"{key}: {old} {where[0]}, {new} {where[1]}"
    return "nothing differs"


def _by_name(value: Any) -> Any:
    """Return a list of plugins as name → options, so that a difference is found by a name."""
    if not isinstance(value, list) or not all(isinstance(plugin, dict) for plugin in value):
        return value
    names = [plugin["name"] for plugin in value]
    return {
        name if names.count(name) == 1 else f"{name} ({place})": plugin["params"]
        for place, (name, plugin) in enumerate(zip(names, value, strict=True), 1)
    }
