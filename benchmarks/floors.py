"""The time of every attack relative to its own gradients and forward passes, on both networks.

Fixed-budget attacks run without early stopping, all others with their defaults. Attacks with
thousands of steps run with few: the ratio is that of a step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import networks
from benchmarks.gradient_floor import BATCH, Floor, ratios, row
from benchmarks.networks import Network
from benchmarks.plan import Plan
from tfrobust import Attack, create, run_attack
from tfrobust.errors import RobustError


@dataclasses.dataclass(frozen=True)
class Case:
    """One attack and its bar.

    Attributes:
        attack: the plugin.
        options: all but the budget, which depends on the network.
        bar: the largest ratio allowed, or `None`.
        bare: whether the floor is the gradients alone, without the other forward passes.
        images: number of images, per network.
    """

    attack: str
    options: Mapping[str, Any]
    bar: float | None
    bare: bool = False
    images: Mapping[str, int] = dataclasses.field(
        default_factory=lambda: {"lenet": 200, "resnet": 100}
    )

    def __str__(self) -> str:
        return " ".join([f"`{self.attack}`", *(f"{k}={v}" for k, v in self.options.items())])


_FEW = {"lenet": 100, "resnet": 100}

CASES = (
    Case("fgsm", {}, 1.05, images={"lenet": 1000, "resnet": 100}),
    Case("bim", {"steps": 40}, 1.05),
    Case("pgd", {"norm": "linf", "steps": 40}, 1.05),
    Case("pgd", {"norm": "l2", "steps": 40}, 1.05),
    Case("pgd", {"norm": "l1", "steps": 40}, 1.05),
    Case("mim", {"steps": 40}, 1.05),
    *(
        Case(attack, {"norm": norm, "steps": 40}, 1.05)
        for attack in ("apgd_ce", "apgd_dlr")
        for norm in ("linf", "l2", "l1")
    ),
    Case("apgd_t", {"norm": "linf", "steps": 20}, 1.05, images=_FEW),
    Case("cw_l2", {"binary_search_steps": 4, "steps": 50}, 1.15, images=_FEW),
    Case("ead", {"binary_search_steps": 4, "steps": 50}, None, images=_FEW),
    Case("ddn", {"steps": 100}, 1.15, images=_FEW),
    *(
        Case("fmn", {"norm": n, "steps": 100}, 1.15, images=_FEW)
        for n in ("linf", "l2", "l1", "l0")
    ),
    Case("deepfool", {"norm": "l2"}, 1.3, bare=True),
    Case("deepfool", {"norm": "linf"}, 1.3, bare=True),
    Case("fab_t", {"norm": "linf", "steps": 20}, None, images=_FEW),
    Case("jsma", {"gamma": 0.02}, None, images=_FEW),
    Case("square", {"norm": "linf", "queries": 500}, 1.3, images=_FEW),
    Case("square", {"norm": "l2", "queries": 500}, 1.3, images=_FEW),
    Case("boundary", {"steps": 500}, 1.3, images=_FEW),
    Case(
        "hopskipjump",
        {"steps": 4, "max_gradient_eval_steps": 200},
        1.3,
        images={"lenet": 50, "resnet": 20},
    ),
)


def measure(plan: Plan, name: str) -> Iterator[dict[str, Any]]:
    """Yield one row per attack, on the network of this name."""
    network = networks.network(name)
    for case in CASES:
        if plan.wants(case.attack):
            yield _measured(plan, case, network, min(case.images[name], plan.images))


def _measured(plan: Plan, case: Case, network: Network, count: int) -> dict[str, Any]:
    what = f"{case}; {network.title}, {count} images ÷ floor"
    images, labels = network.first(count)

    def run() -> Any:
        return run_attack(attack, network.classifier, images, labels, batch_size=BATCH)

    try:
        attack = _built(case, network)
        crafted = run()  # traces, and counts
    except RobustError as error:
        return {"what": what, "measured": f"failed: {error}", "bar": "–", "holds": False}
    floor = Floor.of(network.classifier, images, labels, crafted)
    if case.bare:
        floor = dataclasses.replace(floor, queries=floor.differentiated)
    times = ratios(floor, {"attack": run}, plan.turns)
    return row(what, times["attack"], case.bar, of=f" {floor}")


def _built(case: Case, network: Network) -> Attack:
    attack = create("attacks", case.attack, **case.options)
    changes: dict[str, Any] = {}
    if not attack.minimum_norm and attack.threat.norm in network.budgets:
        changes["eps"] = network.budgets[attack.threat.norm]
        if attack.early_stop:
            changes["early_stop"] = False
    return dataclasses.replace(attack, **changes)  # type: ignore[type-var]
