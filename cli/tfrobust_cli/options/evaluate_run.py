"""What was typed after `tfrobust evaluate`, beyond what `plan evaluate` shares."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tfrobust.errors import UsageError
from tfrobust_cli.arguments import Parameters
from tfrobust_cli.console import log
from tfrobust_cli.networks import load_networks
from tfrobust_cli.options.declared import BesideCertifiers, Force, Out
from tfrobust_cli.options.evaluate import EvaluatedOptions, declared
from tfrobust_cli.options.groups import option_group
from tfrobust_cli.options.trackers import (
    TrackerNames,
    built_trackers,
    tracked,
    tracker_plugins,
)

if TYPE_CHECKING:
    from tfrobust.certifier import Certifier
    from tfrobust.classifier import Classifier
    from tfrobust.classifiers.loading import LoadOptions
    from tfrobust.execution.reopening import Reopening
    from tfrobust.results.records import Results

_TOLD = (
    "classifier scenario split limit attack suite detector certifier adaptive crafted_on param eps "
    "sweep seed"
)  # to trackers


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions(EvaluatedOptions):
    """What is evaluated, how, where the results go, and what is certified beside the attacks."""

    out: Out
    certifier: BesideCertifiers = None
    tracker: TrackerNames = None
    force: Force = False

    @property
    def plugins(self) -> list[tuple[str, str]]:
        """Kind and name of every plugin that the command uses."""
        certifiers = (("certifiers", name) for name in self.certifier or [])
        return [*super().plugins, *certifiers, *tracker_plugins(self.tracker)]

    def check(self) -> None:
        """Refuse options that have no use for one another.

        Raises:
            UsageError: names them.
        """
        attacked = self.attacks or self.adaptive
        if self.certifier and (self.reattack or self.under_corruptions or not attacked):
            raise UsageError(
                "--certifier: tells what is proven at the budgets of attacks; give --attack, "
                "without --reattack, or use `tfrobust certify`"
            )
        super().check()

    def load_classifiers(self, loading: LoadOptions) -> dict[str, Classifier]:
        """Return the classifiers; certifiers need the layers and the noise of those in the store.

        Args:
            loading: how they are loaded.
        """
        if self.certifier:
            return load_networks(self.classifier, loading, log)
        return super().load_classifiers(loading)

    def reopening(self, loading: LoadOptions) -> Reopening | None:
        """Return what opens the classifiers in workers; `None`: they are loaded from their files.

        Args:
            loading: how they are loaded.
        """
        if not self.certifier:
            return None
        from tfrobust.pipeline.stored_networks import StoredNetworks

        return StoredNetworks.named(self.classifier, loading)

    def built_certifiers(self, params: Parameters) -> list[Certifier]:
        """Return the certifiers with their options."""
        names = dict.fromkeys(self.certifier or [])
        return [params.build("certifiers", name) for name in names]

    @contextlib.contextmanager
    def tracking(self) -> Iterator[Callable[[Results], Results]]:
        """Open the run of the trackers; yield what tells them the results, and returns these."""
        from tfrobust.tracking.runs import track_evaluation

        trackers = built_trackers(self.tracker, Parameters(self.param, self.plugins))
        settings = {name: getattr(self, name) for name in _TOLD.split()}
        with tracked(trackers, "evaluate", self.out.name, settings, log) as tracking:

            def told(results: Results) -> Results:
                track_evaluation(tracking, results, self.out)
                return results

            yield told


evaluates = option_group("options", declared(EvaluateOptions), EvaluateOptions)
