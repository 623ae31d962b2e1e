"""What the input of an endpoint takes, as its metadata describe it: numbers, files or examples."""

from __future__ import annotations

import numpy as np

from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.pictures import COLOUR_TYPES
from tfrobust.classifiers.remote.protocol import Description, TensorInfo
from tfrobust.classifiers.remote.questions import Question
from tfrobust.errors import EndpointError
from tfrobust.types import ImageShape

_DTYPES: dict[str, type[np.generic]] = {
    "DT_FLOAT": np.float32,
    "DT_HALF": np.float16,
    "DT_DOUBLE": np.float64,
    "DT_UINT8": np.uint8,
    "DT_STRING": np.object_,
}
_MOST_SIDE, _MOST_NUMBERS = 2**16, 2**26  # of one image that a server may ask for


def question_of(
    description: Description, options: RemoteOptions, image_shape: ImageShape | None
) -> tuple[Question, ImageShape]:
    """Return how images are put to an endpoint, and their shape.

    Args:
        description: what the model says of itself.
        options: how it is asked.
        image_shape: where the endpoint leaves it open.

    Raises:
        EndpointError: its input takes no images, or images whose size nobody tells.
    """
    if not description.inputs:
        return _undescribed(options, options.image_shape or image_shape)
    if description.classifies:
        return _of_examples(description, options, image_shape)
    if len(description.inputs) != 1:
        raise EndpointError(
            f"expected a signature of one input; received: {', '.join(description.inputs)}; choose "
            "another one by --signature"
        )
    ((name, tensor),) = description.inputs.items()
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise EndpointError(
            f"input {name!r}: expected numbers or picture files; received: {tensor.dtype}; choose "
            "a signature that takes float images by --signature"
        )
    by_file = dtype is np.object_
    if options.encoding is not None and (options.encoding == "png") != by_file:
        takes = "picture files" if by_file else "numbers"
        raise EndpointError(f"input {name!r}: takes {takes}, as the model says; leave out encoding")
    shape = _of_files(name, tensor, description, options, image_shape) if by_file else None
    shape = shape or _sides(name, tensor, options.image_shape or image_shape)
    if options.image_shape not in (None, shape):
        raise EndpointError(
            f"input {name!r}: takes images of {shape}, as the model says; leave out image_shape"
        )
    most = tensor.shape[0] if tensor.shape else -1
    if most > 1:
        raise EndpointError(
            f"input {name!r}: takes exactly {most} images a request; export it for any number"
        )
    signature = description.signature or options.signature
    return Question(signature, name, dtype, 1 if most == 1 else None), shape


def _undescribed(
    options: RemoteOptions, image_shape: ImageShape | None
) -> tuple[Question, ImageShape]:
    """Return how images are put to a server that describes nothing."""
    if image_shape is None:
        raise EndpointError(
            "the server describes no input; name a scenario, whose images it then gets, or their "
            "size by --image-shape HEIGHT,WIDTH,CHANNELS"
        )
    by_file = options.encoding == "png"
    if by_file:
        _check_channels(image_shape)
    return Question(options.signature, "", np.object_ if by_file else np.float32), image_shape


def _of_examples(
    description: Description, options: RemoteOptions, image_shape: ImageShape | None
) -> tuple[Question, ImageShape]:
    """Return how images are put to the Classify API, which takes a `tf.Example` an image.

    No metadata tell what is in it. An export by tfrobust takes files where another signature does.
    """
    files = any("image_bytes" in inputs for inputs in description.beside)
    by_file = options.encoding == "png" if options.encoding else files
    shape = options.image_shape or _told_beside(description) or image_shape
    if shape is None:
        raise EndpointError(
            f"signature {description.signature!r}: takes examples of any size; say which images "
            "are sent by --image-shape HEIGHT,WIDTH,CHANNELS"
        )
    if by_file:
        _check_channels(shape)
    feature = options.feature or ("image_bytes" if by_file else "images")
    dtype = np.object_ if by_file else np.float32
    return Question(description.signature, feature, dtype, feature=feature), shape


def _of_files(
    name: str,
    tensor: TensorInfo,
    description: Description,
    options: RemoteOptions,
    image_shape: ImageShape | None,
) -> ImageShape:
    """Return the shape of the images that are sent as files.

    The server scales them to a size that its metadata do not tell. A signature of the same model
    that takes numbers does.
    """
    if tensor.shape is not None and len(tensor.shape) != 1:
        raise EndpointError(
            f"input {name!r}: expected a file an image, of shape (batch,); received the shape "
            f"{tensor.shape}"
        )
    shape = options.image_shape or _told_beside(description) or image_shape
    if shape is None:
        raise EndpointError(
            f"input {name!r}: takes picture files of any size; say which is sent by --image-shape "
            "HEIGHT,WIDTH,CHANNELS, best that of the images of the training"
        )
    _check_channels(shape)
    return shape


def _told_beside(description: Description) -> ImageShape | None:
    """Return the size of the images that the other signatures take, where they tell one."""
    sizes = set()
    for inputs in description.beside:
        if len(inputs) == 1:
            ((_, tensor),) = inputs.items()
            sides = (tensor.shape or ())[1:]
            numbers = tensor.dtype != "DT_STRING" and len(sides) == 3
            if numbers and all(0 < side <= _MOST_SIDE for side in sides):
                sizes.add((sides[0], sides[1], sides[2]))
    return sizes.pop() if len(sizes) == 1 else None


def _check_channels(image_shape: ImageShape) -> None:
    if image_shape[2] not in COLOUR_TYPES:
        raise EndpointError(
            f"images: expected 1 to 4 channels, which a PNG file has; received: {image_shape[2]}"
        )


def _sides(name: str, tensor: TensorInfo, image_shape: ImageShape | None) -> ImageShape:
    """Return the shape of the images that an input takes."""
    sizes = tensor.shape[1:] if tensor.shape else (-1, -1, -1)
    if len(sizes) != 3:
        raise EndpointError(
            f"input {name!r}: expected images (batch, height, width, channels); received the "
            f"shape {tensor.shape}"
        )
    known = image_shape or (-1, -1, -1)
    height, width, channels = (
        size if size > 0 else given for size, given in zip(sizes, known, strict=True)
    )
    if min(height, width, channels) < 1:
        raise EndpointError(
            f"input {name!r}: leaves its size open; name a scenario of that size, or say it by "
            "--image-shape HEIGHT,WIDTH,CHANNELS"
        )
    if max(height, width, channels) > _MOST_SIDE or height * width * channels > _MOST_NUMBERS:
        raise EndpointError(
            f"input {name!r}: expected images of at most {_MOST_NUMBERS} numbers, and no side "
            f"above {_MOST_SIDE}; received: {height} × {width} × {channels}; check the served model"
        )
    return height, width, channels
