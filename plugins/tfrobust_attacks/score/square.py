"""Square: random search whose steps are square windows of decreasing size.

x̂ ← x̂ + δ if L(clip(x̂ + δ), y) rises, δ zero outside a window of p · height · width pixels. In
Linf a window takes one corner of the ball a channel, ±ε; the start is vertical stripes of ±ε. In L2
a window takes a pyramid of two halves of opposite sign, and the perturbation of a second window.

Andriushchenko, Croce, Flammarion & Hein, "Square attack: a query-efficient black-box adversarial
attack via random search" (2020). Threat: score-based; Linf or L2.
Departures: all images of a step try the same window with the same signs, as in AutoAttack's
version, and each image accepts or rejects it on its own. Where the signs drawn for Linf change
nothing, the opposite ones are tried (the paper draws again). `queries` counts all forward passes of
an image: the first classifies the clean image, which is returned if it is misclassified. The
paper's schedule for p is made for 10,000 queries. In Linf it is scaled to `queries`; in L2 it is
kept as it is, as in AutoAttack, whose attack by itself scales it in both norms. With 600 queries in
L2 that leaves 43 of 100 digits instead of 47 (a network trained on PGD, 0.8) and 38 of 60 MNIST
images instead of 42 (1.5); with 3,000, 40 digits both ways; in Linf it changes nothing.
Windows may touch the lower and the right border too.
Targeted attacks use the margin unless `loss` names another loss (the paper: cross-entropy). On a
linear classifier, the attack reaches the inner maximum in Linf but not in L2, where the sides of
windows are at least 3 pixels long. All images share the windows, which may lie anywhere: windows
outside of a region change nothing.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import RegionalAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import iterate
from tfrobust.engine.losses import LossName, is_adversarial, loss_and_slope
from tfrobust.norms import Region
from tfrobust.options import derived, option, plugin
from tfrobust.random import fold, image_seeds, run_seed
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.score.square_windows import MOVES, Point

_START = 1  # folded into the seeds for the start; the windows have the others


class _State(NamedTuple):
    region: Region
    labels: Labels
    best: Point
    loss: PerImage  # of the best
    done: Flags


@plugin
class Square(RegionalAttack):
    """Random search in square windows, from logits alone."""

    eps: float = option(
        "radius of the ball, in the unit of the norm", default=0.1, ge=0, trace="input"
    )
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")
    queries: int = option("hard limit of forward passes per image", default=5000, ge=1)
    p_init: float = option("p: share of the pixels in the first window", default=0.8, gt=0, le=1)
    loss: LossName = option("loss to maximise: ce, margin (C&W) or dlr", default="margin")
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)
    early_stop: bool = option("stop on an image once it is adversarial", default=True)

    @property
    def threat(self) -> Threat:
        """Score-based, within the ball."""
        return Threat("score", self.norm, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        loss, fooled = self._judge(classifier, images, labels)
        if self.queries == 1:
            return images  # the one query is spent
        seeds = image_seeds(seed, tf.shape(images)[0])
        steps = self.queries - 2  # after the clean image and the start
        moves = MOVES[self.norm](classifier.image_shape, max(1, steps), self.p_init)
        region = moves.region(images, self.radius)
        windows = moves.windows(run_seed(seeds))
        state = _State(region, labels, Point(images, tf.zeros_like(loss)), loss, fooled)

        def step(state: _State, number: Any) -> _State:
            candidate = moves.move(state.best, state.region, windows.at(number))
            return self._try(classifier, state, candidate)

        # The start is worse than the clean image more often than not, and is taken all the same.
        low = state._replace(loss=tf.where(fooled, loss, -float("inf")))
        return iterate(
            step,
            self._try(classifier, low, moves.start(region, fold(seeds, _START))),
            steps=steps,
            early_stop=self.early_stop,
            outcome=("loss",),  # a row that is done takes nothing, and so keeps its best
        ).best.images

    @derived
    def radius(self) -> float:
        """Return the radius that the windows keep to: shorter by what float32 sums may be off."""
        return self.eps * MOVES[self.norm].margin

    def _try(self, classifier: Classifier, state: _State, candidate: Point) -> _State:
        """Go where the loss is higher, never back from an adversarial image to another."""
        loss, fooled = self._judge(classifier, candidate.images, state.labels)
        rises = loss > state.loss
        # The first adversarial image counts even where cross-entropy is lower there.
        better = (rises | fooled) & ~state.done
        if not self.early_stop:
            better |= rises & fooled
        rows = tf.where(better)
        images, spent = (tf.gather(new, rows[:, 0]) for new in candidate)
        return state._replace(
            best=Point(
                # A few rows are all that changes: blending whole images takes longer.
                images=tf.tensor_scatter_nd_update(state.best.images, rows, images),
                spent=tf.tensor_scatter_nd_update(state.best.spent, rows, spent),
            ),
            loss=tf.where(better, loss, state.loss),
            done=state.done | fooled,
        )

    def _judge(
        self, classifier: Classifier, images: Images, labels: Labels
    ) -> tuple[PerImage, Flags]:
        logits = classifier(images)
        loss, _ = loss_and_slope(logits, labels, targeted=self.targeted, loss=self.loss)
        return loss, is_adversarial(logits, labels, targeted=self.targeted)
