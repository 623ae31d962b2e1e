"""The classifier as an attack sees it: averaged if random, smoothed if it has steps."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

from tfrobust.attack import Attack, WrappedAttack
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.engine.gradients import without_gradients
from tfrobust.errors import UsageError
from tfrobust.registry import name_of
from tfrobust.types import Images, Logits

SAMPLES = 20  # as every gradient attack's option has it


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
