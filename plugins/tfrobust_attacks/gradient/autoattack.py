"""AutoAttack: four diverse attacks without parameters to tune, one after the other.

Croce & Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks" (2020). Threat: white-box; Linf, L2 or L1.

| version | parts |
|---|---|
| `standard` | `apgd_ce`, `apgd_t`, `fab_t`, `square` |
| `plus` | `apgd_ce` and `apgd_dlr` with 5 restarts, `fab` with 5, `square`, `apgd_t`, `fab_t` |
| `rand` | `apgd_ce`, `apgd_dlr`, on gradients averaged over `samples`: for random classifiers |

Departures: `rand` attacks the mean of the logits, not the mean of the losses. In L1 there is no
`square`, `apgd_ce` runs once instead of five times, and `apgd_t` tries 9 classes instead of 5: as
many runs together, each from larger balls (`apgd_schedule`). The parts' own departures are in
their files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from tfrobust.attack import Attack, GradientAttack, Threat
from tfrobust.engine.ensemble import Ensemble
from tfrobust.options import option, plugin
from tfrobust.registry import create


@plugin
class AutoAttack(Ensemble, GradientAttack):
    """The standard evaluation: an image that it does not break is likely to be robust."""

    eps: float = option("radius of the ball, in the unit of the norm", default=0.1, ge=0)
    norm: Literal["linf", "l2", "l1"] = option("norm of the ball", default="linf")
    version: Literal["standard", "plus", "rand"] = option(
        "attacks to run: standard, plus or rand", default="standard"
    )
    steps: int = option("steps of each gradient attack, per run", default=100, ge=1)
    queries: int = option("queries of square, per image", default=5000, ge=1)
    target_classes: int = option("target classes of the targeted attacks", default=9, ge=1)

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm)

    def attacks(self) -> Sequence[Attack]:
        """Return the attacks of this version in their order."""
        parts = {"standard": self._standard, "plus": self._plus, "rand": self._rand}
        return parts[self.version]()

    def _standard(self) -> list[Attack]:
        return [
            self._gradient("apgd_ce"),
            self._gradient("apgd_t", target_classes=self.target_classes),
            self._boundary("fab_t"),
            *self._square(),
        ]

    def _plus(self) -> list[Attack]:
        return [
            self._gradient("apgd_ce", restarts=5),
            self._gradient("apgd_dlr", restarts=5),
            self._boundary("fab", restarts=5),
            *self._square(),
            self._gradient("apgd_t", target_classes=self.target_classes),
            self._boundary("fab_t"),
        ]

    def _rand(self) -> list[Attack]:
        return [self._gradient("apgd_ce"), self._gradient("apgd_dlr")]

    def _gradient(self, name: str, **options: Any) -> Attack:
        return self._make(name, steps=self.steps, samples=self.samples, **options)

    def _boundary(self, name: str, **options: Any) -> Attack:
        options |= {"target_classes": self.target_classes, "early_stop": True}
        return self._gradient(name, **options)

    def _square(self) -> list[Attack]:
        return [] if self.norm == "l1" else [self._make("square", queries=self.queries)]

    def _make(self, name: str, **options: Any) -> Attack:
        options |= {"eps": self.eps, "norm": self.norm, "region": self.region}
        attack: Attack = create("attacks", name, **options)
        return attack
