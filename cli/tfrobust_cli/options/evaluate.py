"""What was typed after `tfrobust evaluate`, checked, and as settings of the library."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import TYPE_CHECKING, Any

from tfrobust import suites
from tfrobust.errors import UsageError
from tfrobust_cli.arguments import Parameters, scenario_plugins
from tfrobust_cli.options.declared import (
    Adaptive,
    Attacks,
    Baselines,
    BatchSize,
    BlockSize,
    Classifiers,
    CleanOnly,
    Counts,
    CraftedOn,
    Detectors,
    Json,
    Limit,
    NormaliseBy,
    Params,
    Reattack,
    Scenario,
    Seed,
    Split,
    SuiteName,
    Sweeps,
    Target,
    TargetRule,
    WarmStart,
    WithDiagnosis,
)
from tfrobust_cli.options.declared import (
    Budgets as TypedBudgets,
)
from tfrobust_cli.options.fitting import check_fitting
from tfrobust_cli.options.groups import option_group
from tfrobust_cli.options.sweeps import budgets, swept

if TYPE_CHECKING:
    from tfrobust.attack import Attack
    from tfrobust.certifier import Certifier
    from tfrobust.classifier import Classifier
    from tfrobust.classifiers.loading import LoadOptions
    from tfrobust.evaluation.settings import EvaluationSettings
    from tfrobust.types import Budgets, Norm

CORRUPTIONS = "corruptions"  # the suite that attacks nothing


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluatedOptions:
    """What is evaluated, and how: the options that `plan evaluate` shares."""

    classifier: Classifiers
    scenario: Scenario = "digits"
    attack: Attacks = None
    suite: SuiteName = None
    param: Params = None
    eps: TypedBudgets = None
    sweep: Sweeps = None
    count: Counts = None
    detector: Detectors = None
    baselines: Baselines = True
    crafted_on: CraftedOn = None
    reattack: Reattack = False
    adaptive: Adaptive = False
    clean_only: CleanOnly = False
    diagnosis: WithDiagnosis = True
    normalise_by: NormaliseBy = None
    warm_start: WarmStart = False
    split: Split = "test"
    limit: Limit = None
    target: Target = TargetRule.LEAST_LIKELY
    seed: Seed = 0
    batch_size: BatchSize = 128
    block_size: BlockSize = 1024
    as_json: Json = False

    @property
    def under_corruptions(self) -> bool:
        """Whether classifiers are measured under corruptions, and not attacked."""
        return self.suite == CORRUPTIONS

    @property
    def attacks(self) -> list[str]:
        """The names of the attacks: those that were typed, then those of the suite."""
        in_suite = (
            [] if self.suite is None or self.under_corruptions else suites.names_in(self.suite)
        )
        return list(dict.fromkeys([*(self.attack or []), *in_suite]))

    @property
    def plugins(self) -> list[tuple[str, str]]:
        """Kind and name of every plugin that the command uses."""
        named = [("attacks", name) for name in self.attacks]
        named += [("detectors", name) for name in self.detector or []]
        return [*named, *scenario_plugins(self.scenario)]

    def check(self) -> None:
        """Refuse options that have no use for one another; see `fitting`.

        Raises:
            UsageError: names them.
        """
        check_fitting(self)

    def built_attacks(self, params: Parameters) -> list[Attack]:
        """Return the attacks, each at every budget and at every value of a sweep.

        Raises:
            UsageError: an option that none of them has, or a value out of range.
        """
        from tfrobust.evaluation.curves.sweeps import at_budgets, at_values

        defaults = suites.options_in(self.suite) if self.suite else {}
        built = [
            params.build("attacks", name, defaults=defaults.get(name)) for name in self.attacks
        ]
        if isinstance(by_norm := self._budgets, dict):
            built = at_budgets(built, by_norm)
        for (name, option), values in self._sweeps().items():
            if (name, option) == (None, "eps"):
                built = at_budgets(built, values)
            else:
                built = at_values(built, option, values, only=name)
        return built

    def settings(self, loading: LoadOptions) -> EvaluationSettings:
        """Return the settings of the library, with the classifiers loaded.

        Args:
            loading: how classifiers are loaded.

        Raises:
            UsageError: an option that no plugin has, or a value out of range.
            StoreError, ClassifierError: a classifier cannot be loaded.
        """
        from tfrobust import evaluation, store
        from tfrobust.data.names import open_scenario

        params = Parameters(self.param, self.plugins)
        attacks = self.built_attacks(params)
        detectors = [params.build("detectors", name) for name in self.detector or []]
        scenario = open_scenario(self.scenario, params.all(), seed=self.seed)
        loading = loading.for_images(scenario.image_shape, scenario.class_names)
        classifiers = self.load_classifiers(loading)
        crafted_on = None
        if self.crafted_on:
            crafted_on = self.crafted_on, store.load(self.crafted_on, options=loading)
        return evaluation.EvaluationSettings(
            classifiers=classifiers,
            scenario=scenario,
            attacks=attacks,
            split=self.split,
            limit=self.limit,
            crafted_on=crafted_on,
            baselines=None if self.baselines else (),
            detectors=detectors,
            targets=self.target.value,
            seed=self.seed,
            batch_size=self.batch_size,
            block_size=self.block_size,
            adaptive=self._adaptive_budgets,
            diagnosis=self.diagnosis,
            warm_start=self.warm_start,
            certifiers=self.built_certifiers(params),
        )

    def load_classifiers(self, loading: LoadOptions) -> dict[str, Classifier]:
        """Return the classifiers as they are served, by the names that results show."""
        from tfrobust import store

        return store.load_all(self.classifier, options=loading)

    def built_certifiers(self, params: Parameters) -> list[Certifier]:
        """Return the certifiers; of a plan none."""
        return []

    @property
    def _budgets(self) -> list[float] | dict[Norm, list[float]]:
        """The budgets of the attacks; none where they are those of adaptive attacks alone."""
        return [] if self._only_adaptive else budgets(self.eps or [])

    @property
    def _only_adaptive(self) -> bool:
        """Whether the budgets are those of adaptive attacks alone."""
        return self.adaptive and not self.attacks

    @property
    def _adaptive_budgets(self) -> Budgets | None:
        """The budgets of adaptive attacks, of none those of the other attacks; `None`: no such."""
        if not self.adaptive:
            return None
        return budgets(self.eps) if self._only_adaptive and self.eps else ()

    def _sweeps(self) -> dict[tuple[str | None, str], list[Any]]:
        """Return the values of each swept option of an attack, or of all attacks (`None`).

        Raises:
            UsageError: an option is swept for all attacks and for one of them.
        """
        sweeps: dict[tuple[str | None, str], list[Any]] = {}
        if self._budgets and not isinstance(self._budgets, dict):
            sweeps[None, "eps"] = list(self._budgets)
        for text in self.sweep or []:
            name, option, values = swept(text)
            sweeps.setdefault((name, option), []).extend(values)
        for name, option in sweeps:
            if (name, option) == (None, "eps") and isinstance(self._budgets, dict):
                raise UsageError("--sweep eps: every budget is given by norm; give all by --eps")
            for_all = (None, option) in sweeps or (option == "eps" and bool(self._budgets))
            if name and for_all:
                raise UsageError(
                    f"--sweep {name}.{option}: {option} is given for every attack too; give "
                    f"{option} for each attack by its name, or once for all"
                )
        return sweeps


def declared(options: type[EvaluatedOptions]) -> dict[str, tuple[Any, Any]]:
    """Return the options in the order that the help shows: the required ones first."""
    types = typing.get_type_hints(options, include_extras=True)
    fields = dataclasses.fields(options)
    return {
        field.name: (
            types[field.name],
            inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
        )
        for field in sorted(fields, key=lambda field: field.default is not dataclasses.MISSING)
    }


plans = option_group("options", declared(EvaluatedOptions), EvaluatedOptions)
