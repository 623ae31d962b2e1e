"""`keras.applications`' networks, for any classes and channels, from images in [0, 1].

Departures: batch normalisation's moving averages have momentum 0.9 instead of 0.99, which would
lag behind for hundreds of steps; at inference and in the gradients that changes nothing.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tfrobust.errors import DataError, one_line
from tfrobust.types import ImageShape, KerasLayer, KerasModel
from tfrobust_models.kernels import for_channels
from tfrobust_models.pixels import PixelRange

MOMENTUM = 0.9
SMALLEST = 32  # what keras.applications takes
IMAGENET_CLASSES = 1000


def application(
    function: Callable[..., Any],
    image_shape: ImageShape,
    num_classes: int,
    pixels: PixelRange,
    name: str,
) -> KerasModel:
    """Return an untrained network of `keras.applications` that gives logits.

    Args:
        function: the public function that builds it, such as `keras.applications.VGG16`.
        image_shape: `(height, width, channels)`, 32×32 or larger.
        num_classes: how many logits.
        pixels: what its first layer reads.
        name: of the model.
    """
    images, x = pixels.entrance(image_shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*usually expects 1 or 3 input channels")
        built = function(
            weights=None,
            input_tensor=x,
            input_shape=tuple(x.shape[1:]),
            classes=num_classes,
            classifier_activation=None,
        )
    model = keras.Model(images, built.outputs[0], name=name)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    return model


def draw_he_normal(model: KerasModel) -> None:
    """Draw new kernels, He-normal, as in the networks built here.

    Each ReLU halves the variance that Keras's Glorot keeps: after VGG-19's layers all images look
    the same, and plain SGD does not get going.
    """
    for layer in model.layers:
        if hasattr(layer, "kernel"):  # a Keras layer that convolves or is dense
            layer.kernel.assign(keras.initializers.HeNormal()(layer.kernel.shape))


def take_imagenet(
    model: KerasModel,
    function: Callable[..., Any],
    *,
    side: int = 224,
    whole: bool = True,
    new_head: bool = False,
    blue_first: bool = False,
) -> None:
    """Give a network of `application` the weights that `keras.applications` has for ImageNet.

    Args:
        model: made by the same function.
        function: the public function that builds it.
        side: of the images whose weights are wanted.
        whole: with the dense layers; otherwise they keep their random weights.
        new_head: leave the last layer's weights.
        blue_first: the weights were made for blue, green and red, and the model reads red first.

    Raises:
        DataError: the weights are not on this computer and cannot be downloaded.
    """
    donor = _donor(function, model.name, side=side, whole=whole)
    layers = [layer for layer in donor.layers if layer.weights]
    first = next(layer for layer in layers if hasattr(layer, "kernel"))
    for layer in layers[:-1] if whole and new_head else layers:
        weights = layer.get_weights()
        if _is_normalization(layer):
            _take_normalization(model, donor)
            continue
        if layer is first:
            kernel = weights[0][:, :, ::-1] if blue_first else weights[0]
            weights[0] = for_channels(kernel, model.get_layer(layer.name).kernel.shape[2])
        model.get_layer(layer.name).set_weights(weights)


def _take_normalization(model: KerasModel, donor: Any) -> None:
    """Carry over the mean and variance by which EfficientNet normalises pixels.

    With ImageNet's weights Keras scales once more right after it; both scales go into the variance.
    """
    target = next(layer for layer in model.layers if _is_normalization(layer))
    at = next(k for k, layer in enumerate(donor.layers) if _is_normalization(layer))
    mean, variance, count = donor.layers[at].get_weights()
    variance = variance / np.asarray(donor.layers[at + 1].scale) ** 2
    channels = target.weights[0].shape[0]
    if channels != len(mean):  # all of them share the three numbers' mean
        mean, variance = (np.full(channels, statistic.mean()) for statistic in (mean, variance))
    target.set_weights([mean, variance, count])
    target.finalize_state()


def _is_normalization(layer: KerasLayer) -> bool:
    return isinstance(layer, keras.layers.Normalization)


def _donor(function: Callable[..., Any], name: str, *, side: int, whole: bool) -> KerasModel:
    try:
        with contextlib.redirect_stdout(_Progress()):
            return function(
                weights="imagenet",
                include_top=whole,
                input_shape=(side, side, 3),
                classifier_activation=None,
            )
    except Exception as error:  # the network, the disk, a checksum: all end here
        raise DataError(
            f"weights: those of {name} for ImageNet are not in ~/.keras/models and cannot be "
            f"downloaded ({one_line(error, 200)}); connect to the network, put the file there, "
            "or leave weights none"
        ) from error


class _Progress(io.TextIOBase):
    """Passes on to stderr how far Keras's download is.

    The first line, "Downloading data from …", comes before Keras knows whether it can: it is held
    back until something follows it.
    """

    def __init__(self) -> None:
        self._held: str | None = ""

    def write(self, text: str) -> int:
        """Print it, or hold it back."""
        if self._held is not None:
            self._held += text
            if "\n" not in self._held.rstrip("\n"):
                return len(text)
            sys.stderr.write(self._held)
            self._held = None
        else:
            sys.stderr.write(text)
        return len(text)
