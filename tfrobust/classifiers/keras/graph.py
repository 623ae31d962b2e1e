"""The graph of a functional Keras model, of either generation: laid open, and cut.

Nested models are looked into: what is asked of a graph is answered in one level, with the layers of
a nested model where the model stood.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

import tensorflow as tf

from tfrobust.classifiers.keras.models import expected_draws, keras_of
from tfrobust.errors import ClassifierError
from tfrobust.types import Images, ImageShape, KerasLayer, KerasModel


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer in a model's graph.

    Attributes:
        layer: the layer or operation.
        given: the symbolic tensors it reads; none for an input.
        results: the symbolic tensors it gives.
        args: what it is called with, tensors among it.
        kwargs: by name.
    """

    layer: KerasLayer
    given: list[Any]
    results: list[Any]
    args: Any
    kwargs: dict[str, Any]


def is_functional(model: KerasModel) -> bool:
    """Tell whether a model's graph is known: functional, or sequential and built."""
    outputs: Any = getattr(model, "outputs", None)
    return bool(outputs) and hasattr(outputs[0], "_keras_history")


def call_of(tensor: Any) -> Call:
    """Return the call that gives a symbolic tensor."""
    layer, index, _ = tensor._keras_history
    node = layer._inbound_nodes[index]
    results = tf.nest.flatten(node.outputs)
    if hasattr(node, "keras_inputs"):  # Keras 2
        return Call(layer, list(node.keras_inputs), results, node.call_args, node.call_kwargs)
    arguments = node.arguments
    return Call(layer, list(node.input_tensors), results, arguments.args, arguments.kwargs)


def calls(model: KerasModel) -> list[Call]:
    """Return the calls of a functional model's own layers, each after those it reads from."""
    by_tensor: dict[int, Call] = {}  # by result
    ordered = []
    waiting = [call_of(tensor) for tensor in model.outputs]
    while waiting:  # a deep network would be too much for recursion
        call = waiting[-1]
        missing = [tensor for tensor in call.given if id(tensor) not in by_tensor]
        if missing:
            waiting.extend(map(call_of, missing))
            continue
        waiting.pop()
        if id(call.results[0]) not in by_tensor:
            by_tensor |= {id(tensor): call for tensor in call.results}
            ordered.append(call)
    return ordered


def inlined(model: KerasModel, replaced: Callable[[Any], Callable[..., Any]] | None = None) -> Any:
    """Return a model around the same layers, in one level.

    Only a nested model that is called as in training stays: its layers would behave differently.

    Args:
        model: functional or sequential, of either generation.
        replaced: gives what is called instead of a layer, on the same symbolic tensors. `None`:
            the layers themselves.
    """
    if replaced is None and not any(map(_is_nested, calls(model))):
        return model
    outputs = _called_again(model, model.inputs, replaced or (lambda layer: layer))
    return keras_of(model).Model(model.inputs[0], outputs[0], name=model.name)


def rebuilt(
    model: KerasModel, image_shape: ImageShape, before: Callable[[Any], Any] | None = None
) -> Any:
    """Return a model around the same layers that takes images of a fixed size.

    Args:
        model: of either generation, of one input and one output. A subclassed one is called whole.
        image_shape: of the images.
        before: a layer that is put first.
    """
    keras = keras_of(model)
    images = keras.layers.Input(tuple(image_shape))
    shown = before(images) if before else images
    if is_functional(model):
        [logits] = _called_again(model, [shown], lambda layer: layer)
    else:
        logits = model(shown)
    return keras.Model(images, logits, name=model.name)


def _is_nested(call: Call) -> bool:
    return is_functional(call.layer) and not call.kwargs.get("training")


def _called_again(
    model: KerasModel, inputs: Sequence[Any], replaced: Callable[[Any], Any]
) -> list[Any]:
    """Call what stands for a model's layers on other inputs; return the outputs."""
    now = {id(old): new for old, new in zip(model.inputs, inputs, strict=True)}
    for call in calls(model):
        if not call.given:
            continue
        given = [now.get(id(tensor), tensor) for tensor in call.given]
        if _is_nested(call):
            results = _called_again(call.layer, given, replaced)
        else:
            results = called_on(call, given, replaced(call.layer))
        now |= {id(old): new for old, new in zip(call.results, results, strict=True)}
    return [now[id(tensor)] for tensor in model.outputs]


def called_on(call: Call, given: Sequence[Any], layer: KerasLayer = None) -> list[Any]:
    """Repeat a call on other tensors, of the same or another layer; return its results."""
    now = {id(old): new for old, new in zip(call.given, given, strict=True)}

    def current(value: Any) -> Any:
        return now.get(id(value), value)

    args, kwargs = tf.nest.map_structure(current, (call.args, call.kwargs))
    return tf.nest.flatten((layer or call.layer)(*args, **kwargs))


def last_weighed(model: KerasModel) -> list[Call]:
    """Return the calls of the last layers with a kernel, dense or convolutional.

    What follows them only normalises, scales, activates or adds. A model in one level is expected.
    """
    weighed: dict[int, Call] = {}
    waiting = [call_of(tensor) for tensor in model.outputs]
    while waiting:
        call = waiting.pop()
        if has_kernel(call):
            weighed[id(call.results[0])] = call
        else:
            waiting.extend(map(call_of, call.given))
    return list(weighed.values())


def has_kernel(call: Call) -> bool:
    """Tell whether a layer weighs its inputs against each other, and not each for itself.

    It has a `kernel`, or a weight of no fewer axes than its input: the weights that scale and shift
    single units or channels have no axis for the batch.
    """
    if hasattr(call.layer, "kernel"):
        return True
    weights = getattr(call.layer, "weights", [])
    return bool(call.given) and any(len(w.shape) >= len(call.given[0].shape) for w in weights)


def hidden(model: KerasModel) -> Callable[[Images], Any]:
    """Return a function from images to what the last layer with a kernel reads, `(batch, units)`.

    What normalises, scales or activates the logits is passed over. Dropout is off, and weights that
    are drawn at each call are replaced by their mean.

    Raises:
        ClassifierError: the model's graph is not known, or it has a single layer.
    """
    images, read = _read_last(model)
    before = keras_of(model).Model(images, read)

    def features(images: Images) -> Any:
        with expected_draws(before):
            given = tf.nest.flatten(before(images, training=False))
        flat = [tf.reshape(tf.cast(g, tf.float32), (tf.shape(images)[0], -1)) for g in given]
        return flat[0] if len(flat) == 1 else tf.concat(flat, axis=1)

    return features


def trunk(model: KerasModel) -> Any:
    """Return a Keras model around the same layers that gives what `hidden` gives.

    Args:
        model: of either generation, without weights that are drawn at inference.

    Raises:
        ClassifierError: as `hidden`.
    """
    layers = keras_of(model).layers
    images, read = _read_last(model)
    # A model on top of a trunk, such as a stream's own classifier, has such layers already.
    taken = {call.layer.name for call in calls(inlined(model))}
    names = [_unused(f"features_{k}", taken) for k in range(len(read))]
    flat = [layers.Flatten(name=name)(tensor) for name, tensor in zip(names, read, strict=True)]
    joined = flat[0]
    if len(flat) > 1:
        joined = layers.Concatenate(name=_unused("features", taken))(flat)
    return keras_of(model).Model(images, joined, name=f"{model.name}_trunk")


def _unused(name: str, taken: Collection[str]) -> str:
    """Return a layer's name, with underscores behind it if a model has such a layer already."""
    while name in taken:
        name += "_"
    return name


def _read_last(model: KerasModel) -> tuple[Any, list[Any]]:
    """Return a model's input, and the tensors that its last layers with a kernel read."""
    if not is_functional(model):
        raise ClassifierError(
            "the hidden layers of a subclassed Keras model are not known; build it as a "
            "functional or sequential model"
        )
    model = inlined(model)
    last = last_weighed(model) or [call_of(model.outputs[0])]
    read = {id(tensor): tensor for call in last for tensor in call.given if call_of(tensor).given}
    if not read:
        raise ClassifierError("the model has no hidden layer: its last layer reads the images")
    return model.inputs[0], list(read.values())


def split(model: KerasModel, draws: Callable[[Call], bool]) -> tuple[Any, Any]:
    """Cut a functional model where randomness begins.

    Args:
        model: functional or sequential, of either generation, in one level (see `inlined`).
        draws: tells whether a call is random, whatever it is given.

    Returns:
        The part before, images → tensors, `None` where the first layer draws already; and the part
        from there on, those tensors → logits.
    """
    random: set[int] = set()
    edge: dict[int, Any] = {}  # what is sure, and read where it is random
    for call in calls(model):
        sure = [tensor for tensor in call.given if id(tensor) not in random]
        if call.given and (len(sure) < len(call.given) or draws(call)):
            random |= {id(tensor) for tensor in call.results}
            edge |= {id(tensor): tensor for tensor in sure}
    cut = list(edge.values())
    if all(not call_of(tensor).given for tensor in cut):
        return None, model
    keras = keras_of(model)
    between = cut[0] if len(cut) == 1 else cut
    return keras.Model(model.inputs[0], between), keras.Model(between, model.outputs[0])
