"""The settings of a certification."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol, TypedDict, get_args

from tfrobust.certifier import Certifier, check_radius
from tfrobust.classifier import Classifier
from tfrobust.data.reading import check_fits
from tfrobust.errors import PluginError, UsageError
from tfrobust.registry import name_of
from tfrobust.scenario import Scenario
from tfrobust.types import Norm


class Progress(Protocol):
    """Shows how far long work is, such as a progress bar."""

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Show that `done` of `total` steps of `what` are finished."""


class CertificationOptions(TypedDict, total=False):
    """The options of `CertificationSettings` that have a default, as keyword arguments."""

    split: str
    limit: int | None
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class CertificationSettings:
    """What is certified, and how.

    Attributes:
        classifiers: name → classifier, one or more.
        scenario: where the images come from.
        certifiers: with their options, one or more.
        eps: radii at which certified accuracy is told, in the unit of each certifier's norm.
        split: of the scenario.
        limit: only the first `limit` images; `None`: all.
        seed: decides everything random.

    Raises:
        UsageError: there is no classifier, no certifier or no radius, or a radius is not above 0.

    Example:
        >>> CertificationSettings(classifiers={"d1": load("d1")}, eps=[0.1],
        ...                       scenario=create("scenarios", "digits"),
        ...                       certifiers=[create("certifiers", "crown")])
    """

    classifiers: Mapping[str, Classifier]
    scenario: Scenario
    certifiers: Sequence[Certifier]
    eps: Sequence[float]
    split: str = "test"
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("classifiers", "certifiers", "eps"):
            if not getattr(self, name):
                raise UsageError(f"{name}: expected one or more; received: none")
        for eps in self.eps:
            if not eps > 0:
                raise UsageError(f"eps: expected a radius above 0; received: {eps:g}")
        object.__setattr__(self, "eps", tuple(sorted(set(self.eps))))


def check_all(settings: CertificationSettings) -> None:
    """Refuse what does not fit together, before anything is computed.

    Raises:
        ClassifierError: a classifier does not fit the scenario.
        UsageError: a certifier cannot certify a classifier, or a radius is larger than any two
            images are apart.
    """
    for name, classifier in settings.classifiers.items():
        check_fits(classifier, settings.scenario, name)
        for certifier in settings.certifiers:
            check_certifiable(certifier, name, classifier)
            for eps in settings.eps:
                check_radius(certifier, classifier, eps)


def check_certifiable(certifier: Certifier, name: str, classifier: Classifier) -> None:
    """Let a certifier refuse a classifier, by its name.

    Raises:
        UsageError: what the certifier says.
        PluginError: its norm is none, or its confidence no probability.
    """
    label, confidence = name_of(certifier), certifier.confidence
    for what, value, known in (
        ("norm", certifier.norm, certifier.norm in get_args(Norm)),
        ("confidence", confidence, confidence is None or 0.0 < confidence < 1.0),
    ):
        if not known:
            expected = (
                f"one of {', '.join(get_args(Norm))}" if what == "norm" else "none, or 0 to 1"
            )
            raise PluginError(
                f"certifier {label} broke its contract: {what}: expected {expected}; "
                f"received: {value!r}"
            )
    try:
        certifier.check(classifier)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
