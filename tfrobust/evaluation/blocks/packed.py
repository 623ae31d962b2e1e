"""Settings of an evaluation as plain values, from which a worker builds them again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tfrobust.classifier import Classifier
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.execution.portable import PackedPlugin, PackedScenario, Packer, Parcel

_REBUILT = ("classifiers", "scenario", "attacks", "baselines", "detectors", "crafted_on")


class ParcelShelf:
    """Parcels of classifiers: one that several settings name is packed, and loaded, once.

    Args:
        packer: packs them.
    """

    def __init__(self, packer: Packer) -> None:
        self._packer = packer
        self._places: dict[Classifier, int] = {}
        self.parcels: list[Parcel] = []

    def place(self, name: str, classifier: Classifier) -> int:
        """Return the place of a classifier's parcel."""
        if classifier not in self._places:
            self._places[classifier] = len(self.parcels)
            self.parcels.append(self._packer.classifier(name, classifier))
        return self._places[classifier]


@dataclasses.dataclass(frozen=True)
class PackedSettings:
    """An `EvaluationSettings` without its graphs.

    Attributes:
        classifiers: name → place among the parcels.
        scenario: by name and options.
        plugins: attacks, baselines and detectors by name and options; `None`: as in the settings.
        crafted_on: name and place of the one classifier that attacks see, if there is one.
        rest: every other setting.
    """

    classifiers: dict[str, int]
    scenario: PackedScenario
    plugins: dict[str, Sequence[PackedPlugin] | None]
    crafted_on: tuple[str, int] | None
    rest: dict[str, Any]

    @classmethod
    def of(cls, settings: EvaluationSettings, shelf: ParcelShelf, packer: Packer) -> PackedSettings:
        """Pack settings.

        Raises:
            UsageError: something in them cannot travel.
        """
        crafted_on = settings.crafted_on
        kinds = {"attacks": "attacks", "baselines": "attacks", "detectors": "detectors"}
        given: dict[str, Sequence[Any] | None] = {
            "attacks": settings.attacks,
            "baselines": settings.baselines,
            "detectors": settings.detectors,
        }
        return cls(
            {name: shelf.place(name, c) for name, c in settings.classifiers.items()},
            packer.scenario(settings.scenario),
            {
                field: None
                if plugins is None
                else [packer.plugin(kinds[field], p) for p in plugins]
                for field, plugins in given.items()
            },
            (crafted_on[0], shelf.place(*crafted_on)) if crafted_on else None,
            {
                field.name: getattr(settings, field.name)
                for field in dataclasses.fields(settings)
                if field.name not in _REBUILT
            },
        )

    def unpacked(self, classifiers: Sequence[Classifier]) -> EvaluationSettings:
        """Return the settings.

        Args:
            classifiers: opened from the parcels, in their places.
        """
        plugins: dict[str, Any] = {
            field: None if records is None else [record.built() for record in records]
            for field, records in self.plugins.items()
        }
        crafted_on = self.crafted_on
        return EvaluationSettings(
            classifiers={name: classifiers[place] for name, place in self.classifiers.items()},
            scenario=self.scenario.opened(),
            crafted_on=(crafted_on[0], classifiers[crafted_on[1]]) if crafted_on else None,
            **plugins,
            **self.rest,
        )
