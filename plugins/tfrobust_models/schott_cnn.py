"""The plain CNN that Schott et al. compare their model with: four convolutions, ELU.

Schott, Rauber, Bethge & Brendel, "Towards the first adversarially robust neural network model on
MNIST" (2019), and the code published with it (`abs_models.models.get_CNN`). Kernels of 5, 4, 3 and
5 pixels, strides 1, 2, 2 and 1, 20, 70 and 256 filters, and as many as classes; no padding; batch
normalisation and ELU after all but the last.
Departures: on images that are not 28×28, where the last kernel would not cover the maps, it is as
large as they are; moving averages have PyTorch's momentum, 0.9 in Keras's words.
"""

from __future__ import annotations

import keras

from tfrobust.errors import UsageError
from tfrobust.model import ModelBuilder
from tfrobust.options import plugin
from tfrobust.types import ImageShape, KerasModel
from tfrobust_models.layers import normalized

_CONVOLUTIONS = ((20, 5, 1), (70, 4, 2), (256, 3, 2))  # filters, side of the kernel, stride
_SMALLEST = 12  # three unpadded convolutions leave one pixel of it


@plugin
class SchottCnn(ModelBuilder):
    """Four convolutions with batch normalisation and ELU, for MNIST."""

    @property
    def smallest_side(self) -> int:
        """What the convolutions leave a pixel of."""
        return _SMALLEST

    def build(self, image_shape: ImageShape, num_classes: int) -> KerasModel:
        """Return the untrained model; see `ModelBuilder.build`.

        Raises:
            UsageError: the images are smaller than 12×12.
        """
        if min(image_shape[:2]) < _SMALLEST:
            raise UsageError(
                f"schott_cnn: expected images of {_SMALLEST}×{_SMALLEST} or larger; received: "
                f"{image_shape[0]}×{image_shape[1]}; enlarge them by the scenario's option size"
            )
        images = keras.Input(image_shape, name="images")
        x = images
        for number, (filters, side, stride) in enumerate(_CONVOLUTIONS):
            x = keras.layers.Conv2D(filters, side, stride, name=f"conv_{number}")(x)
            x = keras.layers.ELU(name=f"nl_{number}")(normalized(x, f"bn_{number}"))
        x = keras.layers.Conv2D(num_classes, x.shape[1:3], name="conv_3")(x)
        return keras.Model(images, keras.layers.Flatten(name="logits")(x), name="schott_cnn")
