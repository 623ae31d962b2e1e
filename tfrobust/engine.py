"""Runs an attack over many images: batches, seeds, counting, one trace."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier, Counted
from tfrobust.errors import PluginError, UsageError, one_line
from tfrobust.random import content_seeds
from tfrobust.registry import name_of
from tfrobust.scenario import check_images
from tfrobust.seen import seen_by
from tfrobust.types import Images, Labels

TargetRule = Literal["least_likely", "next", "random"]
BATCH_SIZE = 128


@dataclasses.dataclass(frozen=True)
class Crafted:
    """What an attack made, and what it cost.

    Attributes:
        images: float32 `(n, height, width, channels)`, as the attack returned them: not audited.
        targets: int64 `(n,)`: the classes to reach, or `None` for an untargeted attack.
        gradients: gradients computed, an image each, over all images.
        queries: forward passes, an image each, over all images.
        seconds: wall-clock time, tracing included.
    """

    images: Images
    targets: Labels | None
    gradients: int
    queries: int
    seconds: float


def run_attack(
    attack: Attack,
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    targets: Labels | TargetRule = "least_likely",
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    on_progress: Callable[[int], None] | None = None,
) -> Crafted:
    """Attack every image; results do not depend on the batch size.

    Args:
        attack: the attack.
        classifier: whom to fool; must be differentiable for a white-box attack.
        images: float32 `(n, height, width, channels)` in [0, 1].
        labels: int64 `(n,)`: the true classes.
        targets: for a targeted attack the classes to reach, `(n,)`, or the rule that picks them:
            the classifier's `least_likely` class, the class `next` to the label, a `random` one.
        seed: decides everything random.
        batch_size: images at a time; memory grows with it and with nothing else.
        on_progress: called with the number of images done after each batch.

    Returns:
        The images the attack returned and what they cost.

    Raises:
        UsageError: targets that are the true classes or missing, a batch size below 1, options
            that do not fit the classifier, or a white-box attack on one without gradients that
            declares no surrogate.
        DataError: images or labels break the contract.
        PluginError: the attack raises, or returns images of the wrong shape.

    Example:
        >>> crafted = run_attack(create("attacks", "fgsm", eps=0.1), classifier, images, labels)
        >>> crafted.images.shape == images.shape
        True
    """
    if batch_size < 1:
        raise UsageError(f"batch_size: expected 1 or more; received: {batch_size}")
    check_images(images, labels, classifier.num_classes)
    _check_attack(attack, classifier)
    aims = None
    if attack.threat.targeted:
        aims = choose_targets(targets, classifier, images, labels, seed=seed, batch_size=batch_size)
    goal = labels if aims is None else aims
    counted, call = _compiled(attack, classifier)
    counted.reset()
    crafted = np.empty_like(images)
    began = time.perf_counter()
    size = max(1, batch_size // counted.calls)  # the calls of one gradient share the memory
    for start in range(0, len(images), size):
        rows = slice(start, start + size)
        seeds = content_seeds(seed, images[rows])
        crafted[rows] = _one_batch(attack, call, images[rows], goal[rows], seeds)
        if on_progress:
            on_progress(min(start + size, len(images)))
    return Crafted(
        images=crafted,
        targets=aims,
        gradients=int(counted.gradients.numpy()),
        queries=int(counted.queries.numpy()),
        seconds=time.perf_counter() - began,
    )


def predict(classifier: Classifier, images: Images, batch_size: int = BATCH_SIZE) -> np.ndarray:
    """Return the logits of all images, float32 `(n, classes)`."""
    call = _forward(classifier)
    starts = range(0, len(images), batch_size)
    return np.concatenate([call(images[s : s + batch_size]).numpy() for s in starts])


@functools.lru_cache(maxsize=16)
def _compiled(attack: Attack, classifier: Classifier) -> tuple[Counted, Callable[..., Any]]:
    """Trace `attack` on `classifier` once, for batches of any size."""
    counted = Counted(*seen_by(attack, classifier))

    def call(images: Any, labels: Any, seeds: Any) -> Any:
        return attack(counted, images, labels, seed=seeds)

    if attack.eager:
        return counted, call
    signature = [
        tf.TensorSpec((None, *classifier.image_shape), tf.float32),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((None, 2), tf.int32),
    ]
    return counted, tf.function(call, input_signature=signature)


@functools.lru_cache(maxsize=16)
def _forward(classifier: Classifier) -> Callable[..., Any]:
    spec = tf.TensorSpec((None, *classifier.image_shape), tf.float32)
    return tf.function(classifier.__call__, input_signature=[spec])


def _one_batch(attack: Attack, call: Any, images: Any, labels: Any, seeds: Any) -> np.ndarray:
    name = name_of(attack)
    try:
        crafted = np.asarray(
            call(tf.constant(images), tf.constant(labels, tf.int64), tf.constant(seeds))
        )
    except (KeyboardInterrupt, UsageError, MemoryError):
        raise
    except Exception as error:  # a stranger's attack may raise anything
        raise PluginError(f"attack {name} failed: {_cause(error)}") from error
    if crafted.shape != images.shape or crafted.dtype != images.dtype:
        raise PluginError(
            f"attack {name} broke its contract: expected images {images.dtype} {images.shape}; "
            f"received: {crafted.dtype} {crafted.shape}"
        )
    return crafted


def _cause(error: Exception) -> str:
    """Return an error's kind and first line; of a traced function's, what stands below the code."""
    kind = type(error).__name__
    for line in str(error).splitlines():
        if line.strip().startswith(f"{kind}: "):
            return one_line(line)
    return f"{kind}: {one_line(error)}"


def _check_attack(attack: Attack, classifier: Classifier) -> None:
    try:
        hash(attack)
    except TypeError as error:
        raise PluginError(
            f"attack {name_of(attack)} broke its contract: its options cannot be hashed "
            f"({one_line(error)}); declare tuples instead of lists and dicts"
        ) from error
    attack.check(classifier)


def choose_targets(
    targets: Labels | TargetRule,
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> Labels:
    """Return the class each image of a targeted attack must reach, int64 `(n,)`.

    Args:
        targets: the classes themselves, or the rule: see `run_attack`.
        classifier: asked for its `least_likely` classes.
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`, never chosen.
        seed: for the rule `random`.
        batch_size: images at a time.

    Raises:
        UsageError: no targets, an unknown rule, classes out of range, or a true class as target.
    """
    classes = classifier.num_classes
    if targets is None:
        raise UsageError(
            "targets: a targeted attack needs the classes to reach, or a rule: least_likely, next "
            "or random; received: none"
        )
    if not isinstance(targets, str):
        return _given_targets(np.asarray(targets, np.int64), labels, classes)
    if targets == "least_likely":
        logits = predict(classifier, images, batch_size)
        logits[np.arange(len(labels)), labels] = np.inf
        return logits.argmin(axis=1).astype(np.int64)
    if targets == "next":
        return (labels + 1) % classes
    if targets == "random":
        step = np.random.default_rng(seed).integers(1, classes, size=len(labels))
        return (labels + step) % classes
    raise UsageError(f"target: expected least_likely, next or random; received: {targets!r}")


def _given_targets(targets: Labels, labels: Labels, classes: int) -> Labels:
    if targets.shape != labels.shape or targets.min() < 0 or targets.max() >= classes:
        raise UsageError(
            f"targets: expected {labels.shape} classes from 0 to {classes - 1}; "
            f"received: {targets.shape} from {targets.min()} to {targets.max()}"
        )
    if np.any(targets == labels):
        raise UsageError(
            f"targets: image {int(np.argmax(targets == labels))} has its true class as target; "
            "a targeted attack needs another one"
        )
    return targets
