"""The calibrater's network: images in, what the classifier is shown out.

multiply: x′ = clip(x ⊙ (1 + G(x)), 0, 1);  add: x′ = clip(x + G(x), 0, 1);  G = 0 at first
factor:   x′ = x ⊙ G(x), the paper's equation (3): nothing is cut, and G begins at random

G halves the image three times, applies residual blocks and doubles it three times. A side that is
not a multiple of 8 is padded with zeros at its end, and the output is cropped.

Ye, Tan, Xu, Wang, Bao & Ma, "Brain-inspired reverse adversarial examples" (2019), section 4.1.
Departures: `multiply` and `add` begin as the identity and cut their images to [0, 1]; `factor` has
no departure that is known, but the paper does not say how G begins or what its last layer is: ours
begins like its other layers, and is linear. The paper does not give the width of the outer layers
either: ours have at most 32, 64 and 128 filters, which with the paper's two blocks of 18 channels
gives about the size that it reports for MobileNet.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import keras

from tfrobust.types import KerasModel

Merge = Literal["multiply", "add", "factor"]

HALVINGS = 3
WIDEST = 32  # filters of the first convolution; each halving doubles them
_BLOCKS = 2  # the paper's for MobileNet, and the least unless the size leaves room for one only
_TRUNK = 0.7  # share of the size that the outer layers may take
_MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True)
class Size:
    """How large a generator is.

    Attributes:
        base: filters of the first convolution; the next have twice and four times as many.
        channels: inside a residual block.
        blocks: how many of them.
    """

    base: int
    channels: int
    blocks: int

    def parameters(self, image_channels: int) -> int:
        """Return how many parameters it has, the normalisation's averages too.

        Example:
            >>> Size(base=32, channels=18, blocks=2).parameters(3)
            271443
        """
        return _trunk(self.base, image_channels) + self.blocks * _block(self.base, self.channels)


def size_for(parameters: float, image_channels: int) -> Size:
    """Return the size that comes nearest to a number of parameters without exceeding it.

    The outer layers take 70 % of them at most. Below about 300 there is nothing smaller to choose.

    Example:
        >>> size_for(320_000, 3)
        Size(base=32, channels=28, blocks=2)
    """
    bases = [WIDEST >> halved for halved in range(WIDEST.bit_length())]
    fitting = [base for base in bases if _trunk(base, image_channels) <= _TRUNK * parameters]
    base = fitting[0] if fitting else 1
    room = parameters - _trunk(base, image_channels)
    blocks = _BLOCKS
    while room / blocks > _block(base, 4 * base):  # as wide inside as outside is wide enough
        blocks += 1
    fixed, per_block = _block(base, 0), _block(base, 1) - _block(base, 0)
    return Size(base, max(1, int((room / blocks - fixed) / per_block)), blocks)


def _trunk(base: int, image_channels: int) -> int:
    """Return the parameters of the outer convolutions and their normalisations."""
    kernels = 9 * (2 * image_channels * base + 2 * 2 * base**2 + 2 * 8 * base**2)
    return kernels + 4 * (base + 2 * base + 4 * base + 2 * base + base) + image_channels


def _block(base: int, channels: int) -> int:
    return 9 * 2 * 4 * base * channels + 4 * (channels + 4 * base)


def generator(image_shape: tuple[int, ...], size: Size, merge: Merge, *, seed: int) -> Any:
    """Return the Keras model, `(batch, height, width, channels)` in [0, 1] to the same shape.

    Args:
        image_shape: `(height, width, channels)`.
        size: of the network.
        merge: how the perturbation goes into the image. What comes out is in [0, 1], with `factor`
            any number.
        seed: of its random weights.
    """
    layers = _Layers(seed)
    images = keras.Input(image_shape, name="images")
    spare = [-side % 2**HALVINGS for side in image_shape[:2]]
    margins = tuple((0, pixels) for pixels in spare)
    x = keras.layers.ZeroPadding2D(margins, name="pad")(images) if any(spare) else images
    widths = [size.base << step for step in range(HALVINGS)]
    for step, filters in enumerate(widths, 1):
        x = layers.activated(layers.halved(x, filters, f"down{step}"), f"down{step}")
    for number in range(1, size.blocks + 1):
        x = layers.block(x, size.channels, f"block{number}")
    for step, filters in enumerate(widths[-2::-1], 1):
        x = layers.activated(layers.doubled(x, filters, f"up{step}"), f"up{step}")
    x = layers.perturbation(x, image_shape[2], zero=merge != "factor")
    x = keras.layers.Cropping2D(margins, name="crop")(x) if any(spare) else x
    return keras.Model(images, _merged(images, x, merge), name="calibrater")


def _merged(images: Any, x: Any, merge: Merge) -> Any:
    """Return what the classifier is shown; its layer is called `calibrated`."""
    if merge == "factor":
        return keras.layers.Multiply(name="calibrated")([images, x])
    if merge == "multiply":
        factor = keras.layers.Rescaling(1.0, offset=1.0, name="factor")(x)
        merged = keras.layers.Multiply(name="multiply")([images, factor])
    else:
        merged = keras.layers.Add(name="add")([images, x])
    return keras.layers.ReLU(max_value=1.0, name="calibrated")(merged)


def merge_of(model: KerasModel) -> Merge:
    """Return how a generator's model merges its perturbation."""
    names = {layer.name for layer in model.layers}
    return "multiply" if "multiply" in names else "add" if "add" in names else "factor"


def uncut(model: KerasModel) -> Any:
    """Return a generator's model up to where its images are cut to [0, 1], if they are."""
    calibrated = model.get_layer("calibrated")
    end = calibrated.output if merge_of(model) == "factor" else calibrated.input
    return keras.Model(model.input, end, name="uncut")


def change(model: KerasModel) -> Any:
    """Return a generator's model up to its perturbation alone, 0 where it changes nothing.

    It is x′ − x before the cut where it is added, and the factor less 1 where it multiplies.
    """
    merge, calibrated = merge_of(model), model.get_layer("calibrated")
    layer = model.get_layer(merge) if merge != "factor" else calibrated
    perturbation = layer.input[1]
    if merge != "add":
        perturbation = keras.layers.Rescaling(1.0, offset=-1.0, name="change")(perturbation)
    return keras.Model(model.input, perturbation, name="perturbation")


class _Layers:
    """Convolutions with weights of their own seeds."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def halved(self, x: Any, filters: int, name: str) -> Any:
        return keras.layers.Conv2D(filters, 3, 2, **self._options(), name=name)(x)

    def doubled(self, x: Any, filters: int, name: str, **more: Any) -> Any:
        options = self._options() | more
        return keras.layers.Conv2DTranspose(filters, 3, 2, **options, name=name)(x)

    def perturbation(self, x: Any, channels: int, *, zero: bool) -> Any:
        start = {"kernel_initializer": "zeros"} if zero else {}
        return self.doubled(x, channels, "perturbation", use_bias=True, **start)

    def activated(self, x: Any, name: str) -> Any:
        return keras.layers.ReLU(name=f"{name}.relu")(self._normalized(x, name))

    def block(self, x: Any, channels: int, name: str) -> Any:
        y = keras.layers.Conv2D(channels, 3, **self._options(), name=f"{name}.conv1")(x)
        y = self.activated(y, f"{name}.conv1")
        y = keras.layers.Conv2D(x.shape[-1], 3, **self._options(), name=f"{name}.conv2")(y)
        return keras.layers.Add(name=f"{name}.add")([x, self._normalized(y, f"{name}.conv2")])

    def _normalized(self, x: Any, name: str) -> Any:
        return keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}.norm")(x)

    def _options(self) -> dict[str, Any]:
        self._seed += 1
        start = keras.initializers.HeNormal(self._seed)
        return {"padding": "same", "use_bias": False, "kernel_initializer": start}
