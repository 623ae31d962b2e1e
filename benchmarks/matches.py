"""Our attack for each entry of `../shared/reference/peers.json`. Mostly data."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Match:
    """Our attack for an entry of `peers.json`.

    Attributes:
        attack: the plugin.
        options: the peer's parameters, under our names.
        figure: the entry's field that the attack minimises, such as `median_l2`; `None` for a
            fixed budget.
        seeds: number of runs whose median is compared, where one random start or window decides.
    """

    attack: str
    options: Mapping[str, Any]
    figure: str | None = None
    seeds: int = 1


_PGD = {"steps": 40, "random_start": True}
_SEEDS = 5
_CW = {"binary_search_steps": 9, "steps": 1000, "learning_rate": 0.01, "initial_const": 1e-3}

MATCHES = {
    "fgsm_linf": Match("fgsm", {"eps": 0.1}),
    "pgd_linf_0.1": Match("pgd", _PGD | {"eps": 0.1, "step_size": 0.01}, seeds=_SEEDS),
    "pgd_linf_0.2": Match("pgd", _PGD | {"eps": 0.2, "step_size": 0.02}, seeds=_SEEDS),
    "pgd_l2_2.0": Match("pgd", _PGD | {"eps": 2.0, "step_size": 0.2, "norm": "l2"}, seeds=_SEEDS),
    "deepfool_l2": Match("deepfool", {"steps": 50, "overshoot": 0.02}, "median_l2"),
    "deepfool_linf": Match(
        "deepfool", {"steps": 50, "overshoot": 0.02, "norm": "linf"}, "median_linf"
    ),
    "cw_l2": Match("cw_l2", _CW, "median_l2"),
    "ead_l1": Match("ead", {"binary_search_steps": 9, "steps": 500}, "mean_l0"),
    "boundary_l2_5000": Match("boundary", {"steps": 5000}, "median_l2"),
    "hopskipjump_l2": Match(
        "hopskipjump", {"steps": 32, "max_gradient_eval_steps": 1000}, "median_l2"
    ),
    "salt_and_pepper": Match("salt_and_pepper", {"steps": 1000}, "mean_l0"),
    "jsma_targeted_0.1": Match("jsma", {"theta": 1.0, "gamma": 0.1, "targeted": True}, "mean_l0"),
    "square_linf_0.2_1000": Match("square", {"eps": 0.2, "queries": 1000}, seeds=_SEEDS),
}

# AutoAttack's parts with the options its standard version gives them.
PARTS = {
    "apgd-ce": Match("apgd_ce", {"steps": 100, "restarts": 1, "rho": 0.75}),
    "apgd-t": Match("apgd_t", {"steps": 100, "restarts": 1, "rho": 0.75, "target_classes": 9}),
    "fab-t": Match("fab_t", {"steps": 100, "restarts": 1, "target_classes": 9}),
    "square": Match("square", {"queries": 5000}, seeds=3),
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row: the peer's figures, and our attack with its options."""

    key: str
    peer: Mapping[str, Any]
    match: Match


def entries(peers: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield every entry of `peers.json`, AutoAttack's parts after the whole.

    Raises:
        KeyError: an entry that `MATCHES` does not know.
    """
    for key, peer in peers.items():
        if not isinstance(peer, Mapping):
            continue  # the clean accuracy
        ensemble = re.fullmatch(r"autoattack_standard_(\w+)_([\d.]+)", key)
        if not ensemble:
            yield Entry(key, peer, MATCHES[key])
            continue
        ball = {"norm": ensemble[1].lower(), "eps": float(ensemble[2])}
        yield Entry(key, peer, Match("autoattack", ball | {"version": "standard"}))
        for name, alone in peer["alone"].items():
            part = PARTS[name]
            match = dataclasses.replace(part, options={**part.options, **ball})
            yield Entry(f"{key}/{name}", {"peer": peer["peer"], **alone}, match)
