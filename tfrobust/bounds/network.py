"""A Keras model as the operations that bounds know, in the order in which they are computed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.bounds.activations import ACTIVATIONS, falls, leak_of, name_of, why_unknown
from tfrobust.bounds.affine import ELEMENTWISE, WEIGHED
from tfrobust.bounds.operations import (
    Arrangement,
    Largest,
    Linear,
    Monotone,
    Operation,
    Rectifier,
    Shape,
)
from tfrobust.bounds.windows import windows
from tfrobust.classifiers.keras.graph import Call, called_on, calls, inlined, is_functional
from tfrobust.errors import UsageError
from tfrobust.types import KerasLayer, KerasModel

# Of keras.ops: sums, moves, and functions that never fall. Others bear a known layer's name.
_OPERATIONS = frozenset({"Add", "Concatenate", "Reshape", "Relu", "Relu6", "LeakyRelu"})
_IDLE = frozenset(
    {"Identity", "Dropout", "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "AlphaDropout"}
    | {"ActivityRegularization"}
)
_MOVES = frozenset(
    {"Flatten", "Reshape", "Permute", "ZeroPadding2D", "Cropping2D", "Concatenate"} | _IDLE
)
_SUMS = frozenset({"Add", "Average", "AveragePooling2D", "GlobalAveragePooling2D"})
_MAXIMA = frozenset({"MaxPooling2D", "GlobalMaxPooling2D"})
_KNOWN = (
    "Dense, Conv2D, DepthwiseConv2D, SeparableConv2D, BatchNormalization, Normalization, "
    "Rescaling, max, average and global pooling, Add, Average, Concatenate, Flatten, Reshape, "
    "Permute, ZeroPadding2D, Cropping2D and dropout"
)


class Network:
    """The operations of a functional or sequential model, of either generation of Keras.

    Weights are those of the model: bounds follow a training. They are bounds of the model in
    inference mode: dropout is off, batch normalisation uses its running statistics.

    Args:
        model: with one input of known size; nested models are looked into.
        asking: who wants bounds, for messages.

    Attributes:
        operations: in the order of their computation. Tensor 0 is the image, tensor k what
            operation k − 1 gives.
        output: the number of the tensor of logits.
        classes: how many there are.

    Raises:
        UsageError: names the layer or activation whose bounds are not known, and those that are.

    Example:
        >>> [type(o).__name__ for o in Network(lenet, asking="crown").operations][:3]
        ['Linear', 'Rectifier', 'Largest']
    """

    def __init__(self, model: KerasModel, *, asking: str) -> None:
        self.operations: list[Operation] = []
        self._asking = asking
        if not is_functional(model):
            raise self._unknown("a subclassed model, whose layers are not known")
        flat = inlined(model)
        self._image_shape = _shape(flat.inputs[0])
        numbers = {id(flat.inputs[0]): 0}
        for call in calls(flat):
            if call.given:
                read = list({id(t): t for t in call.given}.values())
                number = self._add(call, read, tuple(numbers[id(t)] for t in read))
                numbers[id(call.results[0])] = number
        self.output = numbers[id(flat.outputs[0])]
        self.classes = int(flat.outputs[0].shape[-1])

    def shape(self, number: int) -> Shape:
        """Return the shape of a tensor, without the batch."""
        return self.operations[number - 1].shape if number else self._image_shape

    def _add(self, call: Call, read: Sequence[Any], reads: tuple[int, ...]) -> int:
        """Append the operations of a call; return the number of what it gives."""
        self._check(call)
        layer, kind = call.layer, type(call.layer).__name__
        given, shape = tuple(map(_shape, read)), _shape(call.results[0])
        if kind in WEIGHED:
            return self._add_weighed(layer, reads[0], given[0], shape)
        if kind in ACTIVATIONS:
            return self._add_activation(layer, reads[0], shape)
        run = functools.partial(_run, call, read)
        if kind in _MAXIMA:
            places = windows(layer, given[0])
            largest = Largest(
                reads=reads, given=given, shape=shape, call=lambda x: run([x]), places=places
            )
            return self._append(largest)
        arrangement = Arrangement(
            reads=reads,
            given=given,
            shape=shape,
            call=_first if kind in _IDLE else run,
            constant=len(call.given) < len(_operands(call)),
            mixes=kind in _SUMS,
        )
        self._check_batch(arrangement, kind)
        return self._append(arrangement)

    def _add_weighed(self, layer: KerasLayer, read: int, given: Shape, shape: Shape) -> int:
        """Append a layer with weights, and its activation."""
        shapes = [given, shape]
        if hasattr(layer, "pointwise_kernel"):  # two convolutions
            shapes.insert(1, (*shape[:2], int(layer.pointwise_kernel.shape[2])))
        for place, function in enumerate(WEIGHED[type(layer).__name__]):
            linear = Linear(
                reads=(read,),
                given=(shapes[place],),
                shape=shapes[place + 1],
                weighed=functools.partial(function, layer),
                mixes=function not in ELEMENTWISE,
            )
            read = self._append(linear)
        return self._add_activation(layer, read, shape)

    def _add_activation(self, layer: KerasLayer, read: int, shape: Shape) -> int:
        """Append the activation of a layer, or the layer that is one."""
        if name_of(layer) == "linear":
            return read
        call = layer.activation if hasattr(layer, "activation") else layer
        if falls(call):
            raise self._unknown(f"the activation {name_of(layer)}, which falls somewhere")
        leak = leak_of(call)
        if leak is None:
            return self._append(Monotone(reads=(read,), given=(shape,), shape=shape, call=call))
        return self._append(
            Rectifier(reads=(read,), given=(shape,), shape=shape, call=call, leak=leak)
        )

    def _append(self, operation: Operation) -> int:
        self.operations.append(operation)
        return len(self.operations)

    def _check(self, call: Call) -> None:
        """Refuse a layer whose bounds are not known."""
        layer, kind = call.layer, type(call.layer).__name__
        library, *rooms = type(layer).__module__.split(".")
        own = library in ("keras", "tf_keras")
        if not own or kind not in {*WEIGHED, *ACTIVATIONS, *_MOVES, *_SUMS, *_MAXIMA}:
            raise self._unknown(f"a layer {kind}; known layers are: {_KNOWN}")
        if "layers" not in rooms and kind not in _OPERATIONS:
            known = ", ".join(sorted(_OPERATIONS))
            raise self._unknown(f"an operation {kind} of keras.ops; known ones are: {known}")
        if refused := why_unknown(layer):
            raise self._unknown(refused)
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            raise self._unknown(f"a layer {kind} with channels first")
        if getattr(layer, "quantization_mode", None):
            raise self._unknown(f"a layer {kind} with quantized weights")
        if (computes := getattr(layer, "compute_dtype", "float32")) != "float32":
            raise self._unknown(f"a layer {kind} that computes in {computes}")
        if call.kwargs.get("training"):
            raise self._unknown(f"a layer {kind} that is called as in training")
        axis = np.ravel(getattr(layer, "axis", -1))
        if kind == "BatchNormalization" and axis[0] not in (-1, len(call.given[0].shape) - 1):
            raise self._unknown("a layer BatchNormalization of another axis than the last")

    def _check_batch(self, arrangement: Arrangement, kind: str) -> None:
        """Refuse what joins or moves images of a batch, or has a constant of its own for each."""
        for batch in (1, 2):
            images = [tf.zeros((batch, *shape)) for shape in arrangement.given]
            try:
                apart = tuple(arrangement.call(images).shape) == (batch, *arrangement.shape)
            except (tf.errors.InvalidArgumentError, ValueError):  # it needs another batch
                apart = False
            if not apart:
                raise self._unknown(f"a layer {kind} across the images of a batch")

    def _unknown(self, received: str) -> UsageError:
        return UsageError(
            f"{self._asking}: expected a functional or sequential Keras model of known layers; "
            f"received: {received}"
        )


def _run(call: Call, read: Sequence[Any], inputs: Sequence[Any]) -> Any:
    """Repeat a call on other tensors, one for each that it read."""
    now = {id(old): new for old, new in zip(read, inputs, strict=True)}
    if type(call.layer).__name__ == "Concatenate":
        call = _with_constants_for(call, tf.shape(inputs[0])[0])
    return called_on(call, [now[id(tensor)] for tensor in call.given])[0]


def _with_constants_for(call: Call, batch: Any) -> Call:
    """Repeat the constants among what is joined for each image: joining does not broadcast."""
    own = {id(tensor) for tensor in call.given}

    def repeated(value: Any) -> Any:
        if id(value) in own or len(getattr(value, "shape", ())) == 0 or value.shape[0] != 1:
            return value
        return tf.repeat(tf.convert_to_tensor(value), batch, axis=0)

    args, kwargs = tf.nest.map_structure(repeated, (call.args, call.kwargs))
    return dataclasses.replace(call, args=args, kwargs=kwargs)


def _first(inputs: Sequence[Any]) -> Any:
    return inputs[0]


def _operands(call: Call) -> list[Any]:
    """Return what a sum adds up: tensors and constants."""
    return [value for value in tf.nest.flatten((call.args, call.kwargs)) if value is not None]


def _shape(tensor: Any) -> Shape:
    return tuple(int(side) for side in tensor.shape[1:])
