"""Whether arrays from a file can be images and labels, and how to correct those that cannot."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from tfrobust.errors import DataError, one_line, printable
from tfrobust.files.array_rows import StoredArray, rows_of
from tfrobust.types import Labels

NUMBERED = "number the classes from 0, as `np.unique(labels, return_inverse=True)[1]` does"
_COLOURS = (1, 3)


def renamed(named: Iterable[str], prefix: str) -> str:
    """Return the names that arrays are to be given, of every split that their names tell of."""
    words = {word for name in named for word in re.split(r"[^a-z]+", name.lower())}
    by_split = {
        "train": words & {"train", "xtrain", "ytrain"},
        "validation": words & {"validation", "valid", "val"},
        "test": words & {"test", "xtest", "ytest"},
    }
    prefixes = [f"{split}_" for split, known in by_split.items() if known] or [prefix]
    return ", ".join(f"{prefix}{what}=…" for prefix in prefixes for what in ("images", "labels"))


def checked_arrays(
    images: np.ndarray | StoredArray, labels: np.ndarray | StoredArray
) -> tuple[np.ndarray | StoredArray, Labels]:
    """Return images as they are, and labels in this machine's byte order.

    Raises:
        DataError: they are not in the shapes of images and labels; the text says how to correct it.
    """
    if images.ndim != 4 or not labels.ndim or len(images) != len(labels) or not len(images):
        hint = "; grey images: images[..., np.newaxis]" if images.ndim == 3 else ""
        raise DataError(
            f"expected images (n, height, width, channels) and labels (n,); "
            f"received: {images.shape} and {labels.shape}{hint}"
        )
    _, first, width, last = images.shape
    if 0 in images.shape:
        raise DataError(f"images: expected pixels; received: shape {images.shape}")
    if first in _COLOURS and min(width, last) > 4:
        raise DataError(
            f"images: expected (n, height, width, channels); received: {images.shape}, channels "
            "first; store np.transpose(images, (0, 2, 3, 1)); or, if the images are that low, lay "
            "them on their side: np.transpose(images, (0, 2, 1, 3))"
        )
    return images, _numbers(rows_of(labels, 0, len(labels)))


def _numbers(labels: np.ndarray) -> Labels:
    """Return labels as int64 `(n,)`.

    Raises:
        DataError: they are no integers from 0 on; the text says how to correct it.
    """
    if labels.ndim == 2:
        what = (
            f"a column {labels.shape}; store labels[:, 0]"
            if labels.shape[1] == 1
            else f"{labels.shape}; if they are one-hot, store labels.argmax(axis=1)"
        )
        raise DataError(f"labels: expected (n,); received: {what}")
    if labels.ndim != 1:
        raise DataError(f"labels: expected (n,); received: {labels.shape}")
    if labels.dtype.kind not in "iu":
        real = labels.dtype.kind in "fb"
        unreal = labels[~np.isfinite(labels)] if real else labels[:0]
        if len(unreal):
            remedy = "leave these images out: np.isfinite(labels) tells the others"
        elif real and (labels == np.round(labels.astype(float))).all():
            remedy = "store labels.astype(np.int64)"
        else:
            remedy = NUMBERED
        shown = one_line(printable(str([*unreal[:1], *labels[:1]][0])), 40)
        raise DataError(
            f"labels: expected integers from 0 on; received: {labels.dtype}, such as {shown}; "
            f"{remedy}"
        )
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most > np.iinfo(np.int64).max:
        raise DataError(
            f"labels: expected integers from 0 on; received: {labels.dtype} from {least} to "
            f"{most}; {NUMBERED}"
        )
    return labels.astype(np.int64)
