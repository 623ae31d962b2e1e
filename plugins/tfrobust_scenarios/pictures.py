"""Picture files as arrays, from any camera, scanner or drawing program.

Pillow reads them. The content says what a file is, not its name. A picture is turned as its EXIF
orientation says, which is how people saw it when they sorted it into a class. Transparency is
dropped, and of an animation the first picture is taken.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from tfrobust.errors import DataError, printable, system_cause

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
# Pillow opens only these formats: Ghostscript, for example, would execute an EPS file.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_UNKNOWN_RANGE = {"I", "F"}  # Pillow's modes of 32 bits a pixel
_SIXTEEN = "I;16"  # and of 16, in either byte order


def picture(file: bytes | str, channels: int, name: str) -> np.ndarray:
    """Read a picture.

    Args:
        file: its path.
        channels: 1 for grey, as ITU-R 601 weighs the colours, or 3.
        name: what messages call it.

    Returns:
        float32 `(height, width, channels)` in [0, 1].

    Raises:
        DataError: it is damaged, no picture, or of pixels of an unknown range.
    """
    return _read(lambda: open(os.fsdecode(file), "rb"), channels, name)


def picture_in(content: bytes, channels: int, name: str) -> np.ndarray:
    """Read a picture from the content of its file; see `picture`."""
    return _read(lambda: io.BytesIO(content), channels, name)


def is_grey(content: bytes) -> bool:
    """Tell whether the content of a picture's file is grey; a file that is damaged is not."""
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            return image.mode in {"1", "L"} or image.mode.startswith(_SIXTEEN)
    except Exception:  # what is wrong with it is said by who reads it
        return False


def _read(opening: Callable[[], BinaryIO], channels: int, name: str) -> np.ndarray:
    try:
        with opening() as opened, Image.open(opened, formats=_FORMATS) as image:
            _check(image, name)
            return _pixels(ImageOps.exif_transpose(image), channels)
    except DataError:
        raise
    except Exception as error:  # Pillow raises half a dozen kinds
        raise DataError(
            f"{printable(name)}: not a readable picture ({_cause(error)}); "
            "replace or remove the file"
        ) from error


def keep_pillow_quiet() -> None:
    """Silence Pillow's warnings, such as of odd metadata: they do not concern the pixels.

    For the whole process: what is set for a while is set for all threads, and these read pictures.
    """
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `_check` refuses
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def _check(image: Image.Image, name: str) -> None:
    if image.mode in _UNKNOWN_RANGE:
        raise DataError(
            f"{printable(name)}: has 32 bits a pixel and does not say what is white; convert it to "
            "8 or 16 bits"
        )
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise Image.DecompressionBombError


def _pixels(image: Image.Image, channels: int) -> np.ndarray:
    if image.mode.startswith(_SIXTEEN):  # always grey
        deep = np.asarray(image, np.float32) / np.float32(65535)
        return np.repeat(deep[..., np.newaxis], channels, axis=2)
    if image.mode not in {"L", "1", "RGB"}:
        # By way of RGBA, or a palette's transparent colours would be lost.
        image = image.convert("L" if image.mode == "LA" else "RGB")
    plain = np.asarray(image.convert("L" if channels == 1 else "RGB"), np.float32)
    return plain.reshape(*plain.shape[:2], channels) / np.float32(255)


def _cause(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "its content is that of no picture"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    return system_cause(error)
