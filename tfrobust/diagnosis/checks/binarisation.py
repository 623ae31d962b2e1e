"""Plants an adversarial image for each image: the attack must find what is surely there.

The features of the network get a head of two classes: points inside a smaller ball are on one side,
and a few points on the sphere, one of which at least lies on the other side, are what the attack
has to find. Zimmermann, Brendel, Tramèr & Carlini, "Increasing confidence in adversarial robustness
evaluations" (2022). Departures: a head per image is fitted in closed form (a ridge-regularised
linear discriminant of the planted point against the inner ones), and all images are attacked in one
batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifiers.random_state import reseed
from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine, percent
from tfrobust.diagnosis.checks.gradients import radius_in_pixels
from tfrobust.diagnosis.victims import Planted, features_of
from tfrobust.engine.run import run_attack
from tfrobust.norms import ball
from tfrobust.norms.distances import distances, within_budget
from tfrobust.options import has_option
from tfrobust.results.findings import Verdict
from tfrobust.types import Flags, Images, Labels

_IMAGES = 32
_INNER = 64  # points that must stay on the image's own side
_BORDER = 16  # points of which one is planted
_NEARER = 0.9  # the radius of the inner points, of ε
_RIDGE = 0.1  # of the largest variance, added to all: a head of tiny directions cannot be attacked
_ENOUGH = 0.9  # of the planted images
_RANDOM = 200  # random points tried


def _make(bench: Bench) -> Result:
    rows = bench.right[:_IMAGES]
    images = bench.images[rows]
    head = _plant(bench, images)
    by_chance = _random_search(bench, head, images)
    found = _attacked(bench, head, images)
    success, chance = float(found.mean()), float(by_chance.mean())
    if success >= _ENOUGH:
        return fine(
            f"the attack finds {percent(success)} of the planted images, random search "
            f"{percent(chance)}",
            success,
            _ENOUGH,
        )
    return Result(
        verdict=Verdict.SUSPECT if success > chance else Verdict.MASKED,
        cause="planted images are not found",
        says=f"the attack finds {percent(success)} of the images planted in its ball, random "
        f"search {percent(chance)}: it is too weak for these features",
        figure=success,
        threshold=_ENOUGH,
        calls=(Call(bench.in_ball("apgd_ce", steps=200)),),
    )


def _plant(bench: Bench, images: Images) -> Planted:
    """Return the classifier whose head tells the planted point from the inner ones."""
    draw = _drawing(bench, images, _NEARER)
    inner = [_features(bench, draw(number)) for number in range(_INNER)]
    border = [_features(bench, _corner(bench, images, number)) for number in range(_BORDER)]
    weights, bias = _heads(np.array(inner), np.array(border))
    return Planted(bench.victim, weights, bias)


def _heads(inner: np.ndarray, border: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a direction and a bias for each image, so that one border point is beyond all inner.

    Args:
        inner: `(points, n, units)`.
        border: `(candidates, n, units)`.
    """
    count, units = inner.shape[1:]
    weights, bias = np.zeros((count, units), np.float32), np.zeros(count, np.float32)
    for image in range(count):
        own, others = inner[:, image].astype(np.float64), border[:, image].astype(np.float64)
        weights[image], bias[image] = _head(own, others)
    return weights, bias


def _head(inner: np.ndarray, border: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the head that leaves most room between its planted point and the inner ones."""
    mean = inner.mean(axis=0)
    _, values, axes = np.linalg.svd(inner - mean, full_matrices=False)
    variance = values**2 / len(inner)
    floor = _RIDGE * max(float(variance[0]), 1e-24)
    best: tuple[float, np.ndarray, float] | None = None
    for point in border:
        away = point - mean
        within = axes @ away  # the part in directions in which the inner points spread
        direction = away - axes.T @ (within * variance / (variance + floor))
        length = float(np.linalg.norm(direction))
        if not length > 0:
            continue
        direction /= length
        top, reached = float((inner @ direction).max()), float(point @ direction)
        room = (reached - top) / max(abs(reached), abs(top), 1e-12)
        if best is None or room > best[0]:
            best = room, direction, top + 0.5 * (reached - top)
    if best is None:
        return np.zeros(inner.shape[1]), -1.0
    scale = 1.0 / max(float((border @ best[1]).max()) - best[2], 1e-9)
    return best[1] * scale, -best[2] * scale


def _features(bench: Bench, images: Images) -> np.ndarray:
    reseed(bench.classifier, bench.settings.seed, "features")
    bench.queries += len(images)
    return np.asarray(features_of(bench.victim, tf.constant(images)))


def _drawing(bench: Bench, images: Images, share: float) -> Callable[[int], Images]:
    """Return what draws random points of the ball of a share of ε, within [0, 1]."""
    settings = bench.settings
    geometry = ball(settings.norm)

    @tf.function
    def draw(number: Any) -> Images:
        seeds = tf.stack([tf.range(len(images)), tf.fill([len(images)], number)], axis=1)
        drawn = geometry.draw(seeds, images.shape[1:], share * settings.eps)
        return tf.clip_by_value(images + drawn, 0.0, 1.0)

    return lambda number: draw(tf.constant(1000 * settings.seed + number))


def _corner(bench: Bench, images: Images, number: int) -> Images:
    """Return random points on the border of the ball, within [0, 1]."""
    draw = np.random.default_rng((bench.settings.seed, number))
    signs = draw.choice([-1.0, 1.0], size=images.shape).astype(np.float32)
    return np.clip(images + radius_in_pixels(bench) * signs, 0.0, 1.0).astype(np.float32)


def _random_search(bench: Bench, head: Planted, images: Images) -> Flags:
    draw = _drawing(bench, images, 1.0)
    found = np.zeros(len(images), bool)
    call = tf.function(head)
    for number in range(_RANDOM):
        found |= np.asarray(call(draw(_INNER + number)))[:, 1] > 0
    bench.queries += _RANDOM * len(images)
    return found


def _attacked(bench: Bench, head: Planted, images: Images) -> Flags:
    """Return which planted images the attack finds: the label is the image's own side."""
    attack = bench.attack
    if has_option(attack, "loss"):  # with two classes all losses are the margin
        attack = dataclasses.replace(attack, loss="margin")  # type: ignore[type-var]
    labels: Labels = np.zeros(len(images), np.int64)
    crafted = run_attack(
        attack, head, images, labels, seed=bench.settings.seed, batch_size=len(images)
    )
    bench.gradients += crafted.gradients
    bench.queries += crafted.queries
    near = within_budget(distances(images, crafted.images)[bench.settings.norm], bench.settings.eps)
    answers = np.asarray(head(tf.constant(crafted.images)))[:, 1] > 0
    return np.asarray(near & answers)


BINARISATION = Check(
    name="binarisation", source="Zimmermann et al. 2022", make=_make, gradients=True
)
