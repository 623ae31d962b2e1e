"""Images on a page: as they are where they are small, and never more bytes than they may have."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

PAGE_BYTES = 600_000  # of all images of a page, as they stand in it
_FIGURES_BYTES = 800_000  # of those in the figures of a page that has no other images
_LEAST_BYTES = 700  # of one, however many there are
_LEAST_SIDE = 32  # pixels: smaller ones are not made smaller
_MOST_SIDE = 224  # pixels: what opens large has no use for more
_EMBEDDED = re.compile(r"data:image/png;base64,\s*([\w+/=\s]+)")  # as Matplotlib writes images
_QUALITIES = (90, 75, 55)  # of WebP, where an image has too many bytes as it is


def allowance(images: int, together: int = PAGE_BYTES) -> int:
    """Return how many bytes each of so many images on a page may have, before base64."""
    return max(_LEAST_BYTES, together * 3 // 4 // max(images, 1))


def tile(image: np.ndarray, most: int | None = None) -> str:
    """Return an image as a data address of a WebP.

    It is exact where that fits; else it is compressed with losses, and made smaller in the end.

    Args:
        image: `(height, width, channels)` in [0, 1].
        most: bytes; `None`: as many as it takes.
    """
    pixels = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3])
    picture = picture.convert("RGB")
    picture.thumbnail((_MOST_SIDE, _MOST_SIDE))
    content = b""
    for content in _encoded(picture):
        if most is None or len(content) <= most:
            break
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def perturbation_tile(clean: np.ndarray, adversarial: np.ndarray, most: int | None = None) -> str:
    """Return their difference, stretched so that its largest change is black or white."""
    change = np.nan_to_num(adversarial - clean)
    largest = float(np.abs(change).max())
    stretched = 0.5 + change / (2 * largest) if largest else np.full_like(change, 0.5)
    return tile(stretched, most)


def with_lighter_images(svgs: Sequence[str]) -> list[str]:
    """Return the figures of a page with images of no more bytes than a page's images may have.

    Images with transparent pixels stay as they are; an image that is made smaller is shown as
    large as before.

    Args:
        svgs: elements that Matplotlib has written.
    """
    most = allowance(sum(len(_EMBEDDED.findall(svg)) for svg in svgs), _FIGURES_BYTES)
    return [_EMBEDDED.sub(lambda match: _lighter(match[0], match[1], most), svg) for svg in svgs]


def _lighter(address: str, content: str, most: int) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA")
    pixels = np.asarray(picture)
    if (pixels[..., 3] < 255).any():
        return address
    return min(address, tile(pixels[..., :3] / np.float32(255), most), key=len)


def _encoded(picture: Image.Image) -> Iterator[bytes]:
    """Yield an image in ever fewer bytes."""
    yield _webp(picture, lossless=True, quality=70)
    while True:
        for quality in _QUALITIES:
            yield _webp(picture, quality=quality)
        if max(picture.size) // 2 < _LEAST_SIDE:
            return
        picture = picture.reduce(2)


def _webp(picture: Image.Image, **options: float) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", method=4, **options)
    return buffer.getvalue()
