"""One trace for an attack and a classifier, for all budgets.

Tracing takes a second or two, which an ε-curve would otherwise need at every budget. The options
that an attack declares with `trace="input"`, and the numbers it derives from them, are scalar
inputs of the traced function, so attacks that differ only in them share a trace. So do attacks that
differ in options with `trace="unused"`: the traced code cannot read them. All other options are
constants of the graph; for a third-party attack that declares nothing, all options are.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.asking import asking, beside
from tfrobust.classifiers.traces import Traces
from tfrobust.engine import regions, starts
from tfrobust.engine.counted import Counted
from tfrobust.engine.losses import own_and_best_other
from tfrobust.engine.rounding import CLEAN_SIZES, size_of
from tfrobust.engine.victim import victim_of
from tfrobust.engine.whole_batch import kept_whole
from tfrobust.errors import PluginError
from tfrobust.meter import Meter
from tfrobust.options import derived_names, trace_roles, with_values
from tfrobust.types import Images, Labels

# An evaluation goes through all its attacks for every block of images: a trace that is dropped
# would be made again for each of them.
COMPILED: Traces[tuple[Counted, Callable[..., Any]]] = Traces(most=256)


def compiled(
    attack: Attack, classifier: Classifier, *, begins_at: bool = False
) -> tuple[Counted, Callable[..., Any]]:
    """Trace an attack on a classifier once, for batches of any size and all of its inputs' values.

    Args:
        attack: the attack.
        classifier: whose calls are counted.
        begins_at: whether it is given points to begin at; see `tfrobust.engine.starts`.

    Returns:
        What counts the classifier's calls, and `(images, labels, seeds) -> images`. After the seeds
        come the free pixels of an attack on a region, the points to begin at, and, where the
        classifier has a meter, the numbers of the images.
    """
    inputs = _inputs_of(attack)
    key = _key_of(attack)
    counted, function = COMPILED.of(
        classifier,
        (key, "begins_at") if begins_at else key,
        lambda: _compile(attack, classifier, inputs, begins_at=begins_at),
    )
    return counted, functools.partial(function, inputs)


def _inputs_of(attack: Attack) -> dict[str, np.generic]:
    """Return what enters the trace of an attack: its options of that role and `derived` numbers."""
    if attack.eager:
        return {}
    cls = type(attack)
    options = [name for name, role in trace_roles(cls).items() if role == "input"]
    values = {name: getattr(attack, name) for name in [*options, *derived_names(cls)]}
    return {name: _scalar(value) for name, value in values.items() if value is not None}


def _unused(attack: Attack) -> list[str]:
    """Return the options that attacks which share a trace may differ in unseen."""
    return [name for name, role in trace_roles(type(attack)).items() if role == "unused"]


def _scalar(value: float) -> np.generic:
    """Return a number as TensorFlow rounds it where it meets a tensor."""
    if isinstance(value, int):
        return np.int32(min(value, tf.int32.max))  # more steps than a loop can count
    return np.float32(value)


def _key_of(attack: Attack) -> Hashable:
    """Return what attacks have in common that share a trace."""
    roles = {} if attack.eager else trace_roles(type(attack))
    if not roles:
        return attack
    options = {field.name: getattr(attack, field.name) for field in dataclasses.fields(attack)}  # type: ignore[arg-type]
    constants = tuple((name, value) for name, value in options.items() if name not in roles)
    # An option that may be left out shapes the graph by whether it is there.
    present = tuple(name for name in roles if roles[name] == "input" and options[name] is not None)
    return type(attack), constants, present, attack.needs_boxes


def _compile(
    attack: Attack,
    classifier: Classifier,
    inputs: Mapping[str, np.generic],
    *,
    begins_at: bool,
) -> tuple[Counted, Callable[..., Any]]:
    """Return what counts, and `(inputs, images, labels, seeds[, …]) -> images`."""
    counted = Counted(*victim_of(attack, classifier))
    traced = attack if attack.eager else without_options(attack, _unused(attack))
    confined = regions.Confined(counted)

    def sizes(images: Images, labels: Labels) -> Any:
        """Return what the logits' rounding is measured by, where an attack seeks the boundary."""
        if not attack.minimum_norm or attack.eager:
            return None
        with beside():  # the engine asks for them, and not the attack
            return size_of(*own_and_best_other(counted.inner(images), labels))

    def everywhere(inputs: Any, images: Images, labels: Labels, seeds: Any) -> Images:
        with kept_whole(counted, images), CLEAN_SIZES.held(sizes(images, labels)):
            return with_values(traced, inputs)(counted, images, labels, seed=seeds)

    def within(inputs: Any, images: Images, labels: Labels, seeds: Any, free: Any) -> Images:
        held = regions.held(images, free), CLEAN_SIZES.held(sizes(images, labels))
        with kept_whole(counted, images), held[0], held[1]:
            return with_values(traced, inputs)(confined, images, labels, seed=seeds)

    call: Callable[..., Any] = within if attack.needs_boxes else everywhere
    call = beginning(call) if begins_at else call
    call = call if counted.meter is None else metered(call, counted.meter)
    if attack.eager:
        return counted, call
    signature = [
        {name: tf.TensorSpec((), value.dtype) for name, value in inputs.items()},
        tf.TensorSpec((None, *classifier.image_shape), tf.float32),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((None, 2), tf.int32),
        tf.TensorSpec((None, *classifier.image_shape[:2], 1), tf.bool),
    ][: 5 if attack.needs_boxes else 4]
    if begins_at:
        signature.append(tf.TensorSpec((None, *classifier.image_shape), tf.float32))
    if counted.meter is not None:
        signature.append(tf.TensorSpec((None,), tf.int32))
    # TensorFlow counts the traces of a function's code, which all attacks share here, and would
    # warn of them in every notebook; a partial function has none.
    own = functools.partial(call)
    return counted, tf.function(own, input_signature=signature, autograph=attack.autograph)


def beginning(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call that takes the points to begin at last."""

    def begun(*inputs: Any) -> Images:
        *others, points = inputs
        with starts.held(points):
            return call(*others)

    return begun


def metered(call: Callable[..., Any], meter: Meter) -> Callable[..., Any]:
    """Return a call that takes the numbers of its images last, and spends their queries."""

    def numbered(*inputs: Any) -> Images:
        *others, numbers = inputs
        with asking(numbers, meter.refused):
            return call(*others)

    return numbered


def without_options(attack: Attack, names: Iterable[str]) -> Attack:
    """Return a copy of an attack that raises a PluginError where one of these options is read.

    Example:
        >>> without_options(create("attacks", "deepfool"), ["eps"]).eps
        Traceback (most recent call last):
        ...
        tfrobust.errors.PluginError: option eps is read while the attack is traced, but declared …
    """
    hidden = {name: property(functools.partial(_refuse, name)) for name in names}
    if not hidden:
        return attack
    cls: Any = type(attack)
    same = {name: getattr(cls, name) for name in ("__module__", "__qualname__")}
    # autograph looks plugins up by their hash, which a dataclass would compute from every option.
    identity = {"__eq__": object.__eq__, "__hash__": object.__hash__}
    changed = copy.copy(attack)
    # Past the frozen dataclass. No value could stand in for an option: `is` would not notice it.
    object.__setattr__(
        changed, "__class__", type(cls)(cls.__name__, (cls,), same | identity | hidden)
    )
    return changed


def _refuse(name: str, _: object) -> Any:
    raise PluginError(
        f'option {name} is read while the attack is traced, but declared with trace="unused"; '
        'declare it with trace="constant"'
    )
