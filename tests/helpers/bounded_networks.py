"""Networks that bounds are tried on, and images near images."""

import keras
import numpy as np

from tfrobust.norms import ball
from tfrobust.random import image_seeds

SHAPE = (8, 8, 1)


def of_every_layer(kind=keras, seed=4):
    """A network of every layer that has linear bounds, with weights as after a training."""
    layers, shown = kind.layers, kind.layers.Input(SHAPE)
    x = layers.Rescaling(2.0, -1.0)(shown)
    x = layers.Conv2D(4, 3, 2, padding="same", activation="relu")(layers.ZeroPadding2D(1)(x))
    y = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x)))
    y = layers.Conv2D(4, 3, padding="same", groups=2)(y)
    y = layers.SeparableConv2D(4, 3, padding="same")(layers.MaxPooling2D(3, 1, padding="same")(y))
    x = layers.LeakyReLU()(layers.Add()([x, y]))
    inner = kind.Sequential([layers.Input(x.shape[1:]), layers.MaxPooling2D(2), layers.Flatten()])
    pooled = [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x), inner(x)]
    pooled += [layers.Flatten()(layers.AveragePooling2D(2)(x))]
    x = layers.Dense(6, activation="relu")(layers.Dropout(0.5)(layers.Concatenate()(pooled)))
    return with_drawn_weights(kind.Model(shown, layers.Dense(4)(layers.Reshape((6,))(x))), seed)


def dense_network(*units, kind=keras, seed=4, shape=(3, 3, 1)):
    """A network of dense layers and ReLU, whose classes are about as frequent as one another."""
    layers = [kind.layers.Input(shape), kind.layers.Flatten()]
    layers += [kind.layers.Dense(width, activation="relu") for width in units[:-1]]
    model = with_drawn_weights(kind.Sequential([*layers, kind.layers.Dense(units[-1])]), seed)
    bias = model.layers[-1].bias
    bias.assign(bias - np.asarray(model(some_images(200, shape))).mean(axis=0))
    return model


def with_drawn_weights(model, seed):
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        if "float" in str(weight.dtype):
            drawn = draw.normal(0, 0.4, weight.shape)
            path = getattr(weight, "path", weight.name)
            weight.assign(np.abs(drawn) + 0.5 if "variance" in path else drawn)
    return model


def some_images(count=5, shape=SHAPE, seed=1):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype(np.float32)


def images_near(images, eps, norm, times, seed=0):
    """Yield images on the edge of the ball and inside it, within [0, 1]."""
    around = ball(norm)
    region = around.region(images, eps)
    for number in range(times):
        seeds = image_seeds(1000 * seed + number, len(images))
        drawn = around.draw(seeds, images.shape[1:], eps)
        yield np.asarray(around.project(images + (number % 3 + 0.5) * drawn, region))
