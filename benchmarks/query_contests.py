"""The black-box attacks whose queries are counted, and the peers' of the same name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.query_recorder import PeerAttack
from tfrobust.types import Norm

_UNITS = {"linf": "L∞", "l2": "L2", "l0": "L0"}


@dataclasses.dataclass(frozen=True)
class Contest:
    """One of our attacks, and what it is compared with.

    Attributes:
        name: in the tables.
        attack: the name of our attack.
        norm: in which it is measured.
        options: of our attack.
        budgets: network → the radius within which accuracy is measured; none: the median distance.
        within: whether the attack itself gets that radius.
        peers: the same attack of other libraries.
    """

    name: str
    attack: str
    norm: Norm
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    budgets: Mapping[str, float] = dataclasses.field(default_factory=dict)
    within: bool = True
    peers: tuple[PeerAttack, ...] = ()

    def eps_on(self, network: str) -> float | None:
        """Return the budget on a network, if there is one."""
        return self.budgets.get(network)

    def options_on(self, network: str) -> dict[str, Any]:
        """Return our attack's options on a network."""
        eps = self.eps_on(network)
        budget = {} if eps is None or not self.within else {"eps": eps}
        return {**self.options, **budget}

    def measure_on(self, network: str) -> str:
        """Return what is measured."""
        eps, unit = self.eps_on(network), _UNITS[self.norm]
        if self.budgets is _ANY:
            return "accuracy"
        return f"median {unit}" if eps is None else f"accuracy, {unit} ≤ {eps:g}"


_LINF = {"mnist": 0.2, "digits": 0.1}
_L2 = {"mnist": 3.0, "digits": 0.8}
_L0 = {"mnist": 20.0, "digits": 2.0}
_ANY = {"mnist": 1.0, "digits": 1.0}  # no image is farther: of an attack without a norm


def _art(name: str, **options: Any) -> PeerAttack:
    return PeerAttack("art", name, options)


def _foolbox(name: str, **options: Any) -> PeerAttack:
    return PeerAttack("foolbox", name, options)


def _simba(**options: Any) -> PeerAttack:
    named = {"epsilon": 0.2, "max_iter": 2000, **options}
    return PeerAttack("art", "SimBA", named, probabilities=True)


def _geoda(norm: Any) -> PeerAttack:
    """Return ART's with half of the frequencies, as ours, and a finer search than its default."""
    options = {"norm": norm, "sub_dim": 14, "bin_search_tol": 1e-3}
    return PeerAttack("art", "GeoDA", options, "max_iter", least=500)


CONTESTS = (
    Contest(
        "square",
        "square",
        "linf",
        budgets=_LINF,
        peers=(
            PeerAttack(
                "art", "SquareAttack", {"norm": np.inf, "eps": 0.2, "nb_restarts": 1}, "max_iter"
            ),
        ),
    ),
    Contest("sign_hunter", "sign_hunter", "linf", budgets=_LINF),
    Contest("bandits", "bandits", "linf", budgets=_LINF),
    Contest("nes", "nes", "linf", budgets=_LINF),
    Contest("spsa", "spsa", "linf", {"steps": 1000, "samples_per_step": 50}, budgets=_LINF),
    Contest(
        "simba, pixels",
        "simba",
        "l2",
        budgets=_L2,
        within=False,
        peers=(_simba(attack="px"),),
    ),
    Contest(
        "simba, waves",
        "simba",
        "l2",
        {"basis": "dct"},
        budgets=_L2,
        within=False,
        peers=(_simba(attack="dct", freq_dim=14),),
    ),
    Contest("sparse_rs, pixels", "sparse_rs", "l0", budgets=_L0),
    Contest(
        "square, L2",
        "square",
        "l2",
        {"norm": "l2"},
        budgets=_L2,
        peers=(
            PeerAttack(
                "art", "SquareAttack", {"norm": 2, "eps": 3.0, "nb_restarts": 1}, "max_iter"
            ),
        ),
    ),
    Contest(
        "zoo",
        "zoo",
        "l2",
        budgets=_L2,
        within=False,
        peers=(_art("ZooAttack", max_iter=100, use_resize=False, use_importance=False),),
    ),
    Contest(
        "spatial",
        "spatial",
        "linf",
        {"max_translation": 3 / 28},
        budgets=_ANY,
        within=False,
        peers=(_foolbox("SpatialAttack", max_translation=3, num_rotations=31),),
    ),
    Contest(
        "salt_and_pepper",
        "salt_and_pepper",
        "l0",
        peers=(PeerAttack("foolbox", "SaltAndPepperNoiseAttack", {}, "steps"),),
    ),
    Contest(
        "pointwise",
        "pointwise",
        "l0",
        peers=(
            PeerAttack(
                "foolbox",
                "PointwiseAttack",
                {"l2_binary_search": False},
                alone=True,
                start_steps=50,
            ),
        ),
    ),
    Contest("rays", "rays", "linf"),
    Contest(
        "geoda, L∞",
        "geoda",
        "linf",
        {"norm": "linf"},
        peers=(_geoda(np.inf),),
    ),
    Contest(
        "hopskipjump, L∞",
        "hopskipjump",
        "linf",
        {"norm": "linf"},
        peers=(_art("HopSkipJump", norm=np.inf, max_iter=64),),
    ),
    Contest("surfree", "surfree", "l2"),
    Contest(
        "geoda, L2",
        "geoda",
        "l2",
        peers=(_geoda(2),),
    ),
    Contest(
        "hopskipjump, L2",
        "hopskipjump",
        "l2",
        peers=(
            _art("HopSkipJump", norm=2, max_iter=64),
            _foolbox("HopSkipJumpAttack", steps=64),
        ),
    ),
    Contest(
        "boundary",
        "boundary",
        "l2",
        peers=(
            _art("BoundaryAttack", max_iter=2000, sample_size=20, targeted=False),
            _foolbox("BoundaryAttack", steps=2000),
        ),
    ),
)
