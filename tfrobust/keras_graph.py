"""The graph of a functional Keras model, of either generation: where to cut it.

A model is cut where randomness begins: what stands before gives the same for every pass, and has
to run only once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrobust.errors import ClassifierError
from tfrobust.keras_models import keras_of
from tfrobust.types import Images


def is_functional(model: Any) -> bool:
    """Tell whether a model's graph is known: functional, or sequential and built."""
    outputs: Any = getattr(model, "outputs", None)
    return bool(outputs) and hasattr(outputs[0], "_keras_history")


def producer(tensor: Any) -> tuple[Any, list[Any]]:
    """Return the layer that gives a symbolic tensor, and the tensors it was given."""
    layer, index, _ = tensor._keras_history
    node = layer._inbound_nodes[index]
    given = node.keras_inputs if hasattr(node, "keras_inputs") else node.input_tensors
    return layer, list(given)


def hidden(model: Any) -> Callable[[Images], Any]:
    """Return a function from images to what the model's last layer reads, `(batch, units)`.

    Raises:
        ClassifierError: the model's graph is not known, or it has a single layer.
    """
    if not is_functional(model):
        raise ClassifierError(
            "the hidden layers of a subclassed Keras model are not known; build it as a "
            "functional or sequential model"
        )
    last, given = producer(model.outputs[0])
    if not given or not producer(given[0])[1]:
        raise ClassifierError("the model has no hidden layer: its last layer reads the images")
    before = keras_of(model).Model(model.inputs[0], given[0])
    inner = hidden(last) if is_functional(last) else tf.identity

    def features(images: Images) -> Any:
        read = inner(before(images, training=False))
        return tf.reshape(tf.cast(read, tf.float32), (tf.shape(images)[0], -1))

    return features


def split(model: Any, draws: Callable[[Any], bool]) -> tuple[Any, Any]:
    """Cut a functional model where randomness begins.

    Args:
        model: functional or sequential, of either generation.
        draws: tells whether a layer is random.

    Returns:
        The part before, images → tensors, `None` where the first layer draws already; and the part
        from there on, those tensors → logits.
    """
    random: dict[int, bool] = {}
    edge: dict[int, Any] = {}

    def visit(tensor: Any) -> bool:
        """Tell whether a tensor is random; where it is, note the sure ones it was made of."""
        if id(tensor) not in random:
            layer, given = producer(tensor)
            drawn = [visit(each) for each in given]
            random[id(tensor)] = bool(given) and (any(drawn) or draws(layer))
            if random[id(tensor)]:
                sure = [each for each, is_drawn in zip(given, drawn, strict=True) if not is_drawn]
                edge.update({id(each): each for each in sure})
        return random[id(tensor)]

    visit(model.outputs[0])
    cut = list(edge.values())
    if all(not producer(each)[1] for each in cut):
        return None, model
    keras = keras_of(model)
    between = cut[0] if len(cut) == 1 else cut
    return keras.Model(model.inputs[0], between), keras.Model(between, model.outputs[0])
