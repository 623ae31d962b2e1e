"""The step of `fmn`, and the run from the best image that ends `fmn` and `fab_t`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import pulled_back
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import clearly_adversarial, loss_and_slope, own_and_best_other
from tfrobust.engine.rounding import size_of
from tfrobust.norms import L2
from tfrobust.types import Flags, Images, Labels, Logits, PerImage
from tfrobust_attacks.minimum_norm.fmn_balls import BALLS, BallState, slopes_of

Loss = Callable[[Logits, Labels], tuple[PerImage, Logits]]  # the loss, and its slope by the logits

_CLEARLY = 2e-5  # how far beyond the boundary the first phase aims, as a share of both logits
_GAMMA, _LAST_GAMMA = 0.05, 0.001  # of the run from the best image
_SIZE, _LAST_SIZE = 1.0, 0.01


def ball_step(
    classifier: Classifier,
    state: BallState,
    *,
    norm: str,
    gamma: Any,
    size: Any,
    loss_of: Loss,
    targeted: bool = False,
) -> BallState:
    """Evaluate the current image, adapt ε to the verdict, and step inside the new ball.

    Args:
        classifier: a differentiable classifier.
        state: whose current image is evaluated.
        norm: `linf`, `l2`, `l1` or `l0`.
        gamma: γ, the relative change of ε.
        size: α, the length of the step in units of `state.scale`.
        loss_of: the loss L to raise.
        targeted: whether the labels are to be reached.
    """
    geometry = BALLS[norm]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(state.current)
        logits = classifier(state.current)
    loss, slope = loss_of(logits, state.labels)
    gradient = pulled_back(tape, logits, state.current, slope)
    state, adversarial = judged(state, logits, targeted=targeted)
    # On the boundary itself no image is clearly adversarial yet, and ε would not change.
    gap = tf.abs(loss) + _CLEARLY * size_of(*own_and_best_other(logits, state.labels))
    slopes = slopes_of(gradient)
    closer, farther = geometry.radii(state, gamma, gap, slopes)
    state = state._replace(radius=tf.where(adversarial, closer, farther))
    stepped: BallState = geometry.project(state, state.current + slopes.step(size * state.scale))
    return stepped


def margin_of(*, targeted: bool) -> Loss:
    """Return the loss of the paper: max_{i≠y} z_i − z_y, or its negative for targets."""
    return lambda logits, labels: loss_and_slope(logits, labels, targeted=targeted, loss="margin")


def judged(state: BallState, logits: Logits, *, targeted: bool = False) -> tuple[BallState, Flags]:
    """Keep the current image if it is the nearest adversarial one; tell which are adversarial."""
    adversarial = clearly_adversarial(logits, state.labels, targeted=targeted)
    better = adversarial & (state.distance < state.best_distance)
    state = state._replace(
        best=blend(better, state.current, state.best),
        best_distance=tf.where(better, state.distance, state.best_distance),
    )
    return state, adversarial


def start(images: Images, labels: Labels) -> BallState:
    """Return the state in which nothing has been found."""
    zeros = tf.zeros_like(labels, tf.float32)
    return BallState(
        clean=images,
        labels=labels,
        radius=zeros,
        scale=zeros + 1.0,
        threshold=zeros,
        current=images,
        distance=zeros,
        best=images,
        best_distance=zeros + float("inf"),
        done=tf.zeros_like(labels, tf.bool),
    )


def from_clean(state: BallState) -> BallState:
    """Start a run from the clean image, in the ball of the best distance so far."""
    found = tf.where(tf.math.is_finite(state.best_distance), state.best_distance, 0.0)
    return state._replace(current=state.clean, distance=tf.zeros_like(state.distance), radius=found)


def from_best(state: BallState) -> BallState:
    """Start a run from the best image; where there is none, go on from the current one."""
    found = tf.math.is_finite(state.best_distance)
    length = L2().distance(state.best, state.clean)
    return state._replace(
        current=blend(found, state.best, state.current),
        distance=tf.where(found, state.best_distance, state.distance),
        radius=tf.where(found, state.best_distance, state.radius),
        scale=tf.where(found, length, 1.0),
    )


def closing_run(
    classifier: Classifier,
    state: BallState,
    *,
    norm: str,
    steps: Any,
    gamma: float = _GAMMA,
    enough: Any = -1.0,
) -> BallState:
    """Bring the best images nearer, along the boundary on which they lie.

    Where two linear pieces of a network meet, projections onto one of them jump between the two;
    small steps inside a ball that closes in do not.

    Args:
        classifier: a differentiable classifier.
        state: with `best` and `best_distance`; rows that are done are left alone.
        norm: which distance is to shrink: `linf`, `l2` or `l1`.
        steps: gradients an image, an integer or a scalar tensor.
        gamma: γ₀; where it is large, the ball opens wide enough to leave the region of the best.
        enough: a distance that ends an image's run.
    """
    count = tf.maximum(tf.cast(steps, tf.float32), 1.0)

    def step(state: BallState, number: Any) -> BallState:
        turn = 0.5 * (1.0 + tf.cos(math.pi * tf.cast(number, tf.float32) / count))
        state = ball_step(
            classifier,
            state,
            norm=norm,
            gamma=_LAST_GAMMA + (gamma - _LAST_GAMMA) * turn,
            size=_LAST_SIZE + (_SIZE - _LAST_SIZE) * turn,
            loss_of=margin_of(targeted=False),
        )
        return state._replace(done=state.done | (state.best_distance <= enough))

    outcome = ("best", "best_distance")
    return iterate(step, from_best(state), steps=steps, outcome=outcome)
