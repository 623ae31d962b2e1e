"""What a job needs in order to travel: another process builds it again from its description.

Classifiers hold graphs and variables, which cannot be sent. A job that holds some describes itself
by a job that holds `Parcel`s in their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tfrobust.execution.executor import Job

if TYPE_CHECKING:
    from tfrobust.classifier import Classifier
    from tfrobust.scenario import Scenario


class Parcel(Protocol):
    """A classifier on its way to a worker."""

    def opened(self) -> Classifier:
        """Load the classifier in the worker.

        Raises:
            ClassifierError: the worker loads another one.
        """


class Packer(Protocol):
    """Describes what a job holds, for workers to build it again."""

    def classifier(self, name: str, classifier: Classifier) -> Parcel:
        """Pack a classifier.

        Args:
            name: as results show it.
            classifier: which was loaded from a file.

        Raises:
            UsageError: it cannot travel; the message says what can.
        """

    def plugin(self, kind: str, instance: Any) -> PackedPlugin:
        """Describe a plugin, such as an attack or a detector, by its name and options.

        Raises:
            UsageError: it is not registered.
        """

    def scenario(self, scenario: Scenario) -> PackedScenario:
        """Describe a scenario, with its framing and its shift.

        Raises:
            UsageError: it is not registered.
        """


class PackedPlugin(Protocol):
    """A plugin on its way to a worker."""

    def built(self) -> Any:
        """Build the plugin in the worker."""


class PackedScenario(Protocol):
    """A scenario on its way to a worker."""

    def opened(self) -> Scenario:
        """Open the scenario in the worker."""


@runtime_checkable
class Portable(Protocol):
    """A job that cannot be sent as it is, but can describe itself."""

    def packed(self, packer: Packer) -> Job[Any, Any]:
        """Return a job of plain values that does the same.

        Raises:
            UsageError: something in it cannot travel.
        """
