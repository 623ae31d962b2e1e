"""The fast adaptive boundary attack: project onto the linearised boundary, lean towards the image.

x ← clip((1 − α)(x + η δ) + α (x₀ + η δ₀)), where δ and δ₀ lead from the iterate x and from the
clean image x₀ to the boundary linearised at x, and α ≤ α_max grows with the iterate's distance
from it. An adversarial point is pulled back towards x₀ by the factor β, and the search continues.

Croce & Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack"
(2020); the targeted variant, `fab_t`, is that of AutoAttack. Threat: white-box, minimum norm; Linf,
L2 or L1.
Departures: the untargeted `fab` considers only the `target_classes` most likely other classes. The
search on the line to the image is DeepFool's (`tfrobust_attacks.minimum_norm.line_search`), and
ends every run that found a nearer image. Random starts lie within half of the best distance so
far, or half of `eps` where that is less; for an image that has neither, within half of the largest
distance in [0, 1]. After the last restart the nearest images are brought nearer along the boundary
by small steps of FMN's kind (`closing_run`), which take 30 % of `steps` gradients more.
"""

from __future__ import annotations

import abc
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import class_gradients
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import clearly_adversarial, is_adversarial, margin
from tfrobust.engine.regions import confined
from tfrobust.norms import PIXELS, ball
from tfrobust.norms.distances import widest
from tfrobust.options import option, plugin
from tfrobust.random import fold, image_seeds
from tfrobust.types import Flags, Images, Labels, PerImage, Seeds
from tfrobust_attacks.minimum_norm.fmn_steps import closing_run, start
from tfrobust_attacks.minimum_norm.line_search import Line, nearest_on_line
from tfrobust_attacks.shared.rivals import likely_rivals, nearest_boundary, runs_of, slopes_towards

_CLOSING = 30  # gradients of the closing run, per cent of `steps`
_FINAL_STEPS = 3  # of the search on the line to the image, as in the paper


class _State(NamedTuple):
    clean: Images
    labels: Labels
    rivals: Labels  # (batch, target_classes)
    seeds: Seeds
    lead: PerImage  # the label's defeat at the clean image, in logits
    current: Images
    best: Images
    distance: PerImage  # of `best`; infinite until there is one
    done: Flags


@plugin
class _Boundary(GradientAttack):
    """The common part of the two variants, which differ in the boundary they project onto."""

    minimum_norm = True

    eps: float | None = option(
        "budget of the evaluation; none: any distance", default=None, ge=0, trace="input"
    )
    norm: Literal["linf", "l2", "l1"] = option("norm to minimise", default="linf")
    steps: int = option("N_iter: steps per run", default=100, ge=1, trace="input")
    restarts: int = option(
        "runs per image and target; the first starts at the image", default=1, ge=1, trace="input"
    )
    target_classes: int = option("number of other classes to consider", default=9, ge=1)
    alpha_max: float = option(
        "α_max: maximum weight of the clean image", default=0.1, ge=0, le=1, trace="input"
    )
    eta: float = option(
        "η: overshoot factor of every projection", default=1.05, ge=1, trace="input"
    )
    beta: float = option(
        "β: share of the distance kept in the step back to the image",
        default=0.9,
        gt=0,
        lt=1,
        trace="input",
    )
    early_stop: bool = option("stop on an image once it is within eps", default=False)

    @property
    def threat(self) -> Threat:
        """White-box, minimum norm."""
        return Threat("white-box", self.norm)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where none was found. See `Attack`."""
        logits = classifier(images)
        wrong = is_adversarial(logits, labels, targeted=False)
        state = _State(
            clean=images,
            labels=labels,
            rivals=likely_rivals(logits, labels, self.target_classes),
            seeds=image_seeds(seed, tf.shape(images)[0]),
            lead=margin(logits, labels),
            current=images,
            best=images,
            distance=tf.where(wrong, 0.0, tf.fill(tf.shape(labels), float("inf"))),
            done=wrong,
        )
        state = iterate(
            lambda state, number: self._run(classifier, state, number),
            state,
            steps=runs_of(self.restarts, self._targets(state)),
        )
        return self._close_in(classifier, state)

    def _close_in(self, classifier: Classifier, state: _State) -> Images:
        """Bring the nearest images nearer, along the boundary that they ended on."""
        found = start(state.clean, state.labels)._replace(
            best=state.best,
            best_distance=state.distance,
            done=state.done | tf.math.is_inf(state.distance),
        )
        return closing_run(
            classifier,
            found,
            norm=self.norm,
            steps=self.steps * _CLOSING // 100,
            enough=self._limit(),
        ).best

    @abc.abstractmethod
    def _targets(self, state: _State) -> int:
        """Return the number of targets per restart."""

    @abc.abstractmethod
    def _boundary(self, classifier: Classifier, state: _State, run: Any) -> tuple[Images, PerImage]:
        """Return the linearised boundary at the current point: its normal and its gap."""

    def _run(self, classifier: Classifier, state: _State, run: Any) -> _State:
        """Search from one start, towards one target or all of them."""
        ended = iterate(
            lambda state, _: self._step(classifier, state, run),
            state._replace(current=self._start(state, run // self._targets(state))),
            steps=self.steps,
            outcome=("best", "distance"),
        )
        return self._shorten(classifier, ended, ended.distance < state.distance)

    def _shorten(self, classifier: Classifier, state: _State, fresh: Flags) -> _State:
        """Move the new points towards their clean images as far as they stay adversarial."""
        line = Line(
            clean=state.clean,
            labels=state.labels,
            perturbation=state.best - state.clean,
            adversarial=state.best,
            low=tf.zeros_like(state.lead),
            high=tf.ones_like(state.lead),
            low_lead=state.lead,
            high_lead=margin(classifier(state.best), state.labels),
            done=~fresh,
        )
        best = nearest_on_line(classifier, line, _FINAL_STEPS)
        distance = ball(self.norm).distance(best, state.clean)
        distance = tf.where(fresh, distance, state.distance)
        return state._replace(
            best=best, distance=distance, done=state.done | self._enough(distance)
        )

    def _enough(self, distance: PerImage) -> Flags:
        """Return which distances end an image's search: those within eps, with `early_stop`."""
        return distance <= self._limit()

    def _limit(self) -> Any:
        return self.eps if self.early_stop and self.eps is not None else -1.0

    def _start(self, state: _State, restart: Any) -> Images:
        """Return the image itself; at later restarts, a random point within half the distance."""
        geometry = ball(self.norm)
        most = widest(self.norm, state.clean.shape[1:]) if self.eps is None else self.eps
        reach = 0.5 * tf.minimum(state.distance, most)[:, None, None, None]

        def draw() -> Images:
            noise = geometry.draw(fold(state.seeds, restart), tf.shape(state.clean)[1:], 1.0)
            return tf.clip_by_value(state.clean + reach * confined(noise), 0.0, 1.0)

        return tf.cond(restart > 0, draw, lambda: state.clean)

    def _step(self, classifier: Classifier, state: _State, run: Any) -> _State:
        """Move towards the boundary; keep points beyond it, and move back from there."""
        geometry = ball(self.norm)
        normal, gap = self._boundary(classifier, state, run)
        away = state.current - state.clean
        own = geometry.cross(state.current, normal, gap)
        rest = gap + tf.reduce_sum(normal * away, PIXELS)
        cleans = geometry.cross(state.clean, normal, rest)
        far = geometry.distance(own, state.current)
        near = geometry.distance(cleans, state.clean)
        lean = tf.minimum(far / tf.maximum(far + near, 1e-8), self.alpha_max)[:, None, None, None]
        ahead = state.current + self.eta * (own - state.current)
        beside = state.clean + self.eta * (cleans - state.clean)
        moved = tf.clip_by_value(ahead + lean * (beside - ahead), 0.0, 1.0)
        return self._keep(classifier, state._replace(current=moved))

    def _keep(self, classifier: Classifier, state: _State) -> _State:
        """Keep the current point where it is adversarial and nearer than any before."""
        fooled = clearly_adversarial(classifier(state.current), state.labels, targeted=False)
        distance = ball(self.norm).distance(state.current, state.clean)
        nearer = fooled & (distance < state.distance)
        back = state.clean + self.beta * (state.current - state.clean)
        distance = tf.where(nearer, distance, state.distance)
        return state._replace(
            current=blend(fooled, back, state.current),
            best=blend(nearer, state.current, state.best),
            distance=distance,
            done=state.done | self._enough(distance),
        )


@plugin
class FastAdaptiveBoundary(_Boundary):
    """Projections onto the nearest of the linearised boundaries."""

    def _targets(self, state: _State) -> int:
        return 1

    def _boundary(self, classifier: Classifier, state: _State, run: Any) -> tuple[Images, PerImage]:
        boundary = nearest_boundary(
            classifier,
            state.current,
            state.labels,
            norm=self.norm,
            candidates=self.target_classes + 1,
        )
        return boundary.normal, boundary.gap


@plugin
class FastAdaptiveBoundaryTargeted(_Boundary):
    """Projections onto the boundary with one class after another."""

    def _targets(self, state: _State) -> int:
        return int(state.rivals.shape[1])

    def _boundary(self, classifier: Classifier, state: _State, run: Any) -> tuple[Images, PerImage]:
        target = tf.gather(state.rivals, [run % self._targets(state)], axis=1)
        slope = slopes_towards(target, state.labels, classifier.num_classes)
        logits, normals = class_gradients(classifier, state.current, lambda _: slope)
        return normals[0], -tf.reduce_sum(slope[0] * logits, axis=1)
