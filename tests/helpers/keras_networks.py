"""Keras's own networks, with random weights that keep their activations near 1."""

import keras
import numpy as np
from keras.src.applications import efficientnet, resnet

FUNCTIONS = {
    "resnet50": keras.applications.ResNet50,
    "resnet101": keras.applications.ResNet101,
    "resnet50v2": keras.applications.ResNet50V2,
    "vgg16": keras.applications.VGG16,
    "vgg19": keras.applications.VGG19,
    "mobilenet": keras.applications.MobileNet,
    "efficientnet_b1": keras.applications.EfficientNetB1,
}


def images_of(shape, count=2):
    return np.random.default_rng(1).uniform(size=(count, *shape)).astype(np.float32)


def randomise(model, seed=0):
    """Give every weight a random value that keeps activations near 1."""
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        weights = []
        for variable in layer.weights:
            shape, name = tuple(variable.shape), variable.name
            if "count" in name:
                weights.append(np.array(1))
            elif "variance" in name:
                weights.append(draw.uniform(0.5, 1.5, shape))
            elif len(shape) > 1:
                own = "Depthwise" in type(layer).__name__
                fan = np.prod(shape[:2] if own else shape[:-1])
                values = draw.standard_normal(shape, np.float32)
                weights.append(np.multiply(values, (2 / fan) ** 0.5, out=values))
            else:
                weights.append(draw.normal(1.0 if "gamma" in name else 0.0, 0.1, shape))
        layer.set_weights(weights)
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def undrawn(monkeypatch, kind=keras.initializers.VarianceScaling):
    """Let kernels of this kind begin as zeros: for networks whose weights are replaced."""
    monkeypatch.setattr(
        kind,
        "__call__",
        lambda _, shape, dtype=None, **__: keras.ops.zeros(shape, dtype),
    )


def shallow(monkeypatch):
    """Let Keras build its ResNets and EfficientNets of a few blocks."""
    monkeypatch.setattr(
        resnet, "stack_residual_blocks_v1", _with_blocks(resnet.stack_residual_blocks_v1, 1)
    )
    monkeypatch.setattr(
        resnet, "stack_residual_blocks_v2", _with_blocks(resnet.stack_residual_blocks_v2, 2)
    )
    few = [stage | {"repeats": 1} for stage in efficientnet.DEFAULT_BLOCKS_ARGS[:2]]
    monkeypatch.setattr(efficientnet, "DEFAULT_BLOCKS_ARGS", few)


def _with_blocks(stack, count):
    return lambda x, filters, _, **options: stack(x, filters, count, **options)
