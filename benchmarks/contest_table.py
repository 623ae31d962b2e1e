"""Which attacks are compared, on which network, with which parameters. Data, no code.

Where the two implementations name a parameter differently, the values mean the same. The boundary
attacks have no common parameter (ART proposes 20 candidates for each of two moves per step): both
get about the same number of queries, which the table shows. ART's AutoAttack has parts of its own
(APGD with five restarts on two losses, DeepFool, Square with five restarts) and runs with its
defaults. There are few images where a peer attacks them one by one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.peers.task import TITLES


@dataclasses.dataclass(frozen=True)
class Contest:
    """One attack of ours against one of a peer's.

    Attributes:
        attack: our plugin.
        options: ours.
        peer: whose, a key of `TITLES`.
        peers_attack: its class or function there.
        peers_options: the same parameters in its words.
        images: how many.
        bar: how many times faster ours must be, or `None`.
        figure: what the attack minimises, such as `median_l2`; `None` for a fixed budget.
        equal: accuracies must agree; otherwise ours may be lower.
        black_box: forward passes are all it asks for, so that the table shows their number.
        unfit: why the peer cannot be run here; the row says so.
    """

    attack: str
    options: Mapping[str, Any]
    peer: str
    peers_attack: str
    peers_options: Mapping[str, Any]
    images: int
    bar: float | None = None
    figure: str | None = None
    equal: bool = False
    black_box: bool = False
    unfit: str = ""

    def __str__(self) -> str:
        options = " ".join(
            f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in self.options.items()
        )
        return f"`{self.attack}` {options} against {TITLES[self.peer]}"


def _pgd(eps: float, step: float, images: int) -> tuple[Contest, ...]:
    ours = {"eps": eps, "steps": 40, "step_size": step}
    art = {"eps": eps, "eps_step": step, "max_iter": 40, "num_random_init": 1}
    clever = {"eps": eps, "eps_iter": step, "nb_iter": 40, "norm": np.inf}
    foolbox = {"eps": eps, "steps": 40, "abs_stepsize": step}
    return (
        Contest("pgd", ours, "foolbox", "LinfPGD", foolbox, images),
        Contest("pgd", ours, "art", "ProjectedGradientDescent", art, images),
        Contest("pgd", ours, "cleverhans", "projected_gradient_descent", clever, images),
    )


def _minimum_norm(images: int, rounds: int, steps: int) -> tuple[Contest, ...]:
    carlini = {"binary_search_steps": rounds, "steps": steps, "initial_const": 0.1}
    carlini["learning_rate"] = 0.05
    foolbox = {"binary_search_steps": rounds, "steps": steps, "initial_const": 0.1}
    foolbox |= {"stepsize": 0.05, "abort_early": True}
    return (
        *(
            Contest(
                "deepfool",
                {"norm": norm, "steps": 50, "overshoot": 0.02},
                "foolbox",
                kind,
                {"steps": 50, "overshoot": 0.02},
                images,
                bar=3,
                figure=f"median_{norm}",
            )
            for norm, kind in (("l2", "L2DeepFoolAttack"), ("linf", "LinfDeepFoolAttack"))
        ),
        Contest(
            "cw_l2",
            carlini,
            "foolbox",
            "L2CarliniWagnerAttack",
            foolbox,
            images,
            figure="median_l2",
        ),
        Contest(
            "ddn",
            {"steps": 100},
            "foolbox",
            "DDNAttack",
            {"steps": 100},
            images,
            figure="median_l2",
        ),
        *(
            Contest(
                "fmn",
                {"norm": norm, "steps": 100},
                "foolbox",
                kind,
                {"steps": 100},
                images,
                figure=f"median_{norm}",
            )
            for norm, kind in (("l2", "L2FMNAttack"), ("linf", "LInfFMNAttack"))
        ),
    )


def _black_box(eps: float, queries: int, steps: int, images: int) -> tuple[Contest, ...]:
    hops = {"max_iter": 10, "max_eval": 500, "init_eval": 100}
    return (
        Contest(
            "square",
            {"norm": "linf", "eps": eps, "queries": queries},
            "art",
            "SquareAttack",
            {"eps": eps, "max_iter": queries, "p_init": 0.8},
            100,
            bar=5,
            black_box=True,
        ),
        Contest(
            "boundary",
            {"steps": 30 * steps},
            "art",
            "BoundaryAttack",
            {"targeted": False, "max_iter": steps},
            images,
            bar=5,
            figure="median_l2",
            black_box=True,
        ),
        Contest(
            "hopskipjump",
            {"steps": 10, "initial_gradient_eval_steps": 100, "max_gradient_eval_steps": 500},
            "art",
            "HopSkipJump",
            hops,
            images,
            bar=5,
            figure="median_l2",
            black_box=True,
        ),
    )


def _jsma(gamma: float, images: int, unfit: str = "") -> Contest:
    ours = {"theta": 1.0, "gamma": gamma, "targeted": True}
    theirs = {"theta": 1.0, "gamma": gamma}
    return Contest(
        "jsma",
        ours,
        "art",
        "SaliencyMapMethod",
        theirs,
        images,
        bar=5,
        figure="mean_l0",
        unfit=unfit,
    )


def _autoattack(images: int, art: float, original: float) -> tuple[Contest, ...]:
    """Return both contests, each with a budget: ART's Square takes minutes for what holds out."""

    def ours(eps: float) -> dict[str, Any]:
        return {"norm": "linf", "eps": eps, "version": "standard"}

    theirs = {"eps": art, "eps_step": art / 4}
    torch = {"norm": "Linf", "eps": original}
    return (
        Contest("autoattack", ours(art), "art", "AutoAttack", theirs, 20, bar=5),
        Contest(
            "autoattack", ours(original), "autoattack", "standard", torch, images, bar=1, equal=True
        ),
    )


_CRASH = "ART's attack ends the process in TensorFlow's eager gradient (memory fault)"

CONTESTS: dict[str, tuple[Contest, ...]] = {
    "lenet": (
        *_pgd(0.3, 0.01, 500),
        *_minimum_norm(100, rounds=4, steps=100),
        *_black_box(eps=0.2, queries=1000, steps=50, images=50),
        _jsma(0.1, 50),
        *_autoattack(200, art=0.1, original=0.1),
    ),
    "resnet": (
        *_pgd(8 / 255, 2 / 255, 100),
        *_minimum_norm(50, rounds=4, steps=50),
        *_black_box(eps=4 / 255, queries=300, steps=25, images=20),
        _jsma(0.02, 10, unfit=_CRASH),
        *_autoattack(100, art=8 / 255, original=1 / 255),
    ),
}
