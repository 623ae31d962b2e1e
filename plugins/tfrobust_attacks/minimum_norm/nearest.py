"""The nearest adversarial image that `fmn` and `fab_t` find: what a distance should be measured by.

x* = argmin ‖x′ − x‖ over the images x′ that either attack returns and that are adversarial

Both search for a boundary, each in its own way: `fmn` steps inside a ball that closes in (Pintor et
al. 2021), `fab_t` projects onto the boundary with one class after another (Croce & Hein 2020). Each
ends in a wrong region for some images, and rarely both for the same one. A last run of `fmn` starts
from the nearer image with γ₀ = 0.3: the ball opens wide enough to leave the region of that image.

Threat: white-box, minimum norm; Linf, L2 or L1. Departures: the combination is in neither paper.
`fmn` gets three times `steps`, and the last run `steps`, which is still a small part of the cost: 9
classes cost `fab_t` 27 passes for each of `steps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import tensorflow as tf

from tfrobust.attack import Attack, GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend
from tfrobust.engine.losses import is_adversarial
from tfrobust.norms import ball
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.types import Images, Labels
from tfrobust_attacks.minimum_norm.fmn_steps import closing_run, start

_LONGER = 3  # how many times `steps` fmn takes
_WIDE = 0.3  # γ₀ of the last run


@plugin
class Nearest(GradientAttack):
    """The nearer of the images that `fmn` and `fab_t` find."""

    minimum_norm = True

    eps: float | None = option(
        "budget of the evaluation; none: any distance", default=None, ge=0, trace="unused"
    )
    norm: Literal["linf", "l2", "l1"] = option("norm to minimise", default="linf")
    steps: int = option("steps of fab_t per class, and a third of fmn's", default=100, ge=1)
    target_classes: int = option("number of other classes to consider", default=9, ge=1)

    @property
    def threat(self) -> Threat:
        """White-box, minimum norm."""
        return Threat("white-box", self.norm)

    def attacks(self) -> Sequence[Attack]:
        """Return the attacks that search; region and samples are this attack's."""
        shared: dict[str, Any] = {"norm": self.norm, "target_classes": self.target_classes}
        return [
            create("attacks", "fmn", steps=_LONGER * self.steps, **shared),
            create("attacks", "fab_t", steps=self.steps, **shared),
        ]

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where none was found. See `Attack`."""
        best = images
        wrong = is_adversarial(classifier(images), labels, targeted=False)
        distance = tf.where(wrong, 0.0, float("inf"))
        for attack in self.attacks():
            crafted = attack(classifier, images, labels, seed=seed)
            reached = ball(self.norm).distance(crafted, images)
            # An attack returns the clean image where it found nothing.
            nearer = (reached > 0) & (reached < distance)
            best = blend(nearer, crafted, best)
            distance = tf.where(nearer, reached, distance)
        found = start(images, labels)._replace(
            best=best, best_distance=distance, done=wrong | tf.math.is_inf(distance)
        )
        return closing_run(classifier, found, norm=self.norm, steps=self.steps, gamma=_WIDE).best
