"""NES: projected gradient ascent along gradients that natural evolution strategies estimate.

g = mean_j (L(x + σ u_j) − L(x − σ u_j)) / 2σ · u_j,  u_j ~ N(0, I);  x ← Π_ε(x + η · steepest(m))
with the momentum m ← μ m + (1 − μ) g

Ilyas, Engstrom, Athalye & Lin, "Black-box adversarial attacks with limited queries and
information" (2018): its query-limited attack. Threat: score-based; Linf, and L2 as an addition.
Departures: all images of a step try the same u_j. Every iterate is judged, the clean image too, so
that a step costs `samples_per_step` + 1 queries. The loss is the margin unless `loss` names
another (the paper: cross-entropy), and the step size stays as it is (the paper's code halves it on
a plateau). The last adversarial iterate is returned, and else the last iterate.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.norms import Region, ball
from tfrobust.options import derived, option, plugin
from tfrobust.random import image_seeds, run_seed
from tfrobust.types import Flags, Images, Labels
from tfrobust_attacks.score.spsa import affordable, slopes_along
from tfrobust_attacks.shared.scored import ScoreSearch


class _State(NamedTuple):
    region: Region
    labels: Labels
    current: Images
    momentum: Images
    adversarial: Images  # the last adversarial iterate
    fooled: Flags  # whether there is one
    done: Flags


@plugin
class NaturalEvolution(ScoreSearch):
    """Ascent on gradients estimated from pairs of Gaussian probes."""

    eps: float = option(
        "radius of the ball, in the unit of the norm", default=0.1, ge=0, trace="input"
    )
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")
    samples_per_step: int = option(
        "probes per estimate, an even number", default=50, ge=2, multiple_of=2
    )
    sigma: float = option("σ: size of a probe in every pixel", default=1e-3, gt=0)
    step_size: float | None = option(
        "η, in the unit of the norm; none: eps / 10", default=None, gt=0, trace="unused"
    )
    momentum: float = option("μ: share of the old direction", default=0.9, ge=0, lt=1)

    @property
    def threat(self) -> Threat:
        """Score-based, within the ball."""
        return Threat("score", self.norm, self.targeted)

    @derived
    def step_length(self) -> float:
        """Return the length of a step."""
        return self.eps / 10.0 if self.step_size is None else self.step_size

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        fooled = self.ask(classifier, images, labels).fooled
        state = _State(
            region=ball(self.norm).region(images, self.eps),
            labels=labels,
            current=images,
            momentum=tf.zeros_like(images),
            adversarial=images,
            fooled=fooled,
            done=fooled if self.early_stop else tf.zeros_like(fooled),
        )
        shared = run_seed(image_seeds(seed, tf.shape(images)[0]))
        state = iterate(
            lambda state, number: self._step(classifier, state, tf.stack([shared, number])),
            state,
            steps=affordable(tf.int32.max, self.samples_per_step + 1, self.queries),
            early_stop=self.early_stop,
            outcome=("adversarial", "fooled"),
        )
        return blend(state.fooled, state.adversarial, state.current)

    def _step(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        """Estimate the gradient, follow it, and judge where that leads."""
        gradient = self._estimate(classifier, state, seed)
        momentum = self.momentum * state.momentum + (1.0 - self.momentum) * gradient
        moved = ball(self.norm).step(state.current, momentum, self.step_length, state.region)
        fooled = self.ask(classifier, moved, state.labels).fooled & ~state.done
        return state._replace(
            current=moved,
            momentum=momentum,
            adversarial=blend(fooled, moved, state.adversarial),
            fooled=state.fooled | fooled,
            done=state.done | fooled if self.early_stop else state.done,
        )

    def _estimate(self, classifier: Classifier, state: _State, seed: Any) -> Images:
        pairs = self.samples_per_step // 2
        directions = tf.random.stateless_normal((pairs, *classifier.image_shape), seed)
        slopes = slopes_along(
            classifier,
            state.current,
            lambda first, last: directions[first:last],
            count=pairs,
            score=lambda logits, copies: self.judge(logits, tf.tile(state.labels, [copies])).loss,
            reach=self.sigma,
        )
        return tf.tensordot(slopes, directions, [[0], [0]]) / pairs
