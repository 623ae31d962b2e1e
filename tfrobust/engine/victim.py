"""The classifier as an attack sees it: counted, averaged if random, smoothed if it has steps."""

from __future__ import annotations

import dataclasses
import itertools
import math
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrobust.attack import Attack, WrappedAttack
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.engine.gradients import without_gradients
from tfrobust.engine.whole_batch import of_whole_batch
from tfrobust.errors import UsageError
from tfrobust.registry import name_of
from tfrobust.types import Images, Logits

SAMPLES = 20  # as every gradient attack's option has it


@dataclasses.dataclass(frozen=True)
class FirstGradients:
    """What the first gradient of each image was like.

    Attributes:
        images: how many first gradients were looked at; 0 for an attack that computes none.
        zero: those where it was zero in every pixel: no direction leads anywhere.
        non_finite: those where a pixel of it was NaN or infinite.
    """

    images: int = 0
    zero: int = 0
    non_finite: int = 0


NONE_SEEN = FirstGradients()


class Counted(Wrapped):
    """Counts forward passes and gradients, an image each; attacks need not know.

    The first gradients of every batch are looked at as well: an attack that meets zeros or NaN
    fails because there is no gradient, and not because the classifier is robust.

    Args:
        inner: whose calls are counted.
        calls: what one call counts for, where the inner classifier makes several.

    Attributes:
        queries: forward passes.
        gradients: backward passes.
        first: images whose first gradient was looked at.
        zero: those of them where it was zero in every pixel.
        non_finite: those where a pixel of it was NaN or infinite.
    """

    def __init__(self, inner: Classifier, calls: int = 1) -> None:
        super().__init__(inner)
        self.calls = calls
        self.queries, self.gradients, self.first, self.zero, self.non_finite = (
            tf.Variable(0, dtype=tf.int64, trainable=False) for _ in range(5)
        )
        self._fresh = tf.Variable(True, trainable=False)  # no gradient of this batch yet
        self._watched = _watching(self)

    def __call__(self, images: Images) -> Logits:
        """Return the logits, and count."""
        self.queries.assign_add(self.calls * tf.shape(images, tf.int64)[0])
        images = of_whole_batch(images)
        return self.inner(tf.ensure_shape(self._watched(images), images.shape))

    def reset(self) -> None:
        """Start again from zero."""
        for count in (self.queries, self.gradients, self.first, self.zero, self.non_finite):
            count.assign(0)
        self.begin_batch()

    def first_gradients(self) -> FirstGradients:
        """Return what the first gradients since the last `reset` were like."""
        counts = self.first, self.zero, self.non_finite
        return FirstGradients(*(int(count.numpy()) for count in counts))

    def begin_batch(self) -> None:
        """Look at the next gradients: they are the first ones of a batch."""
        self._fresh.assign(True)

    def count_gradient(self, gradient: Images) -> Images:
        """Return a gradient as it is, once it is counted; look at the first one of each batch."""
        images = tf.shape(gradient, tf.int64)[0]

        def look() -> Any:
            flat = tf.reshape(gradient, (images, math.prod(self.image_shape)))
            zero = tf.reduce_all(tf.equal(flat, 0.0), axis=1)
            broken = tf.reduce_any(~tf.math.is_finite(flat), axis=1)
            return tf.stack([images, *map(tf.math.count_nonzero, (zero, broken))])

        first, zero, broken = tf.unstack(tf.cond(self._fresh, look, lambda: tf.zeros(3, tf.int64)))
        with tf.control_dependencies([first]):
            counted = [self._fresh.assign(False)]
        counted += [
            self.gradients.assign_add(self.calls * images),
            self.first.assign_add(first),
            self.zero.assign_add(zero),
            self.non_finite.assign_add(broken),
        ]
        # A backward pass that becomes a function of its own runs only what its result depends on.
        with tf.control_dependencies(counted):
            gradient = tf.identity(gradient)
        # Several backward passes of one forward pass follow one another by control edges. When
        # TensorFlow inlines the functions they become, such an edge waits only for what a function
        # lists here; without it all of them, or any number, would find the batch fresh.
        tf.compat.v1.get_default_graph().control_outputs.append(gradient.op)
        return gradient


_GRADIENT = "TfrobustCounted"  # in TensorFlow's registry, where it is one for all classifiers
_COUNTED: weakref.WeakValueDictionary[str, Counted] = weakref.WeakValueDictionary()
_NUMBERS = itertools.count()


@tf.RegisterGradient(_GRADIENT)
def _count(operation: Any, upstream: Images) -> Images:
    return _COUNTED[operation.name].count_gradient(upstream)


def _watching(counted: Counted) -> Callable[[Images], Images]:
    """Return the identity, whose gradients are counted.

    `tf.custom_gradient` would register a gradient of its own for every trace, and TensorFlow's
    registry never frees what a gradient refers to, including the classifier and its variables. One
    registered gradient finds its counter by the operation's name.
    """
    name = f"counted_{next(_NUMBERS)}"
    _COUNTED[name] = counted

    @tf.function(input_signature=[tf.TensorSpec((None, *counted.image_shape), tf.float32)])
    def watched(images: Images) -> Images:
        with tf.compat.v1.get_default_graph().gradient_override_map({"Identity": _GRADIENT}):
            return tf.identity(images, name=name)

    return watched


class Expected(Wrapped):
    """The mean logits of `samples` calls, and so the mean of the gradients of every logit.

    Expectation over transformation: Athalye, Carlini & Wagner, "Obfuscated gradients give a false
    sense of security" (2018). A loss is that of the mean logits, where AutoAttack's `rand` averages
    the losses of the single calls. The calls are separate, because a classifier may draw once a
    call (for example its weights) and not once an image.

    Args:
        inner: a stochastic classifier.
        samples: calls, 1 or more.
    """

    def __init__(self, inner: Classifier, samples: int) -> None:
        super().__init__(inner)
        self.samples = samples

    def __call__(self, images: Images) -> Logits:
        """Return the mean of the inner classifier's logits."""
        total = tf.zeros((tf.shape(images)[0], self.num_classes))
        _, total = tf.while_loop(
            lambda number, _: number < self.samples,
            lambda number, total: (number + 1, total + self.inner(images)),
            (0, total),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, self.num_classes])),
            parallel_iterations=1,
        )
        return total / self.samples


class Surrogate(Wrapped):
    """Forward pass of one classifier, gradient of another.

    Backward pass differentiable approximation: Athalye, Carlini & Wagner (2018).

    Args:
        inner: a classifier whose gradients mean nothing.
        backward: a differentiable one of the same shapes that is close to it.
    """

    def __init__(self, inner: Classifier, backward: Classifier) -> None:
        super().__init__(inner, differentiable=True)
        self.backward = backward

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits with the other's gradient."""
        near = self.backward(images)
        return tf.stop_gradient(self.inner(images)) + (near - tf.stop_gradient(near))


def victim_of(attack: Attack, classifier: Classifier) -> tuple[Classifier, int]:
    """Return the classifier that an attack is given, and how many calls one of its calls costs.

    An attack that needs gradients gets the declared surrogate of a classifier without any, and of
    a stochastic one the mean over `samples` draws, or over 20 where it has no such option; one
    whose calls average several draws themselves is called less often. Other attacks get the
    classifier itself, unless they have the option.

    Raises:
        UsageError: a white-box attack, no gradients, and no surrogate.
    """
    victim: Classifier = classifier
    if attack.needs_gradients and not classifier.differentiable:
        if classifier.surrogate is None:
            raise without_gradients(name_of(attack), asked=classifier.meter is not None)
        victim = Surrogate(classifier, classifier.surrogate)
    samples = attack.samples or (SAMPLES if attack.needs_gradients else 1)
    calls = math.ceil(samples / classifier.passes) if classifier.stochastic else 1
    return (victim if calls == 1 else Expected(victim, calls)), calls


def check_knowledge(attack: Attack, classifier: Classifier) -> None:
    """Refuse an attack that needs to know more than the classifier tells.

    Raises:
        UsageError: what it needs, and which attacks do without.
    """
    if attack.needs_gradients and not classifier.differentiable and classifier.surrogate is None:
        raise without_gradients(name_of(attack), asked=classifier.meter is not None)
    if attack.threat.knowledge == "score" and classifier.decisions_only:
        raise UsageError(
            f"{name_of(attack)} reads scores, and this classifier tells its predicted class alone; "
            "choose a decision-based attack, such as hopskipjump or boundary"
        )


def has_gradients(classifier: Classifier, images: Images) -> bool:
    """Tell whether logits can be differentiated by the images at all.

    They cannot where the classifier casts the images to integers, for example. Rounding has a
    gradient, which is zero: see `Counted`. A classifier that cannot be called counts as having one.
    """
    images = tf.convert_to_tensor(images)
    try:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = classifier(images)
        return tape.gradient(logits, images) is not None
    except Exception:  # a third-party classifier may raise anything; the next call reports it
        return True


def persistent(attack: Attack, classifier: Classifier) -> Attack:
    """Return the attack; on a stochastic classifier, without early stopping.

    An image may look adversarial under one lucky draw and not under the next. An attack that stops
    there misses images that a few more steps break.
    """
    if classifier.stochastic and attack.early_stop:
        if isinstance(attack, WrappedAttack):
            return dataclasses.replace(attack, wrapped=persistent(attack.wrapped, classifier))
        return dataclasses.replace(attack, early_stop=False)  # type: ignore[type-var]
    return attack
