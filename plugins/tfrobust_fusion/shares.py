"""What each stream contributes to the decision of a fusion.

The share of a stream s is tr Cov(W_s f_s) / Σ_r tr Cov(W_r f_r): how much of what moves the joint
layer from image to image comes from it, whatever the scale of its features. A fusion whose
foreground has a share near zero decides by the background alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfrobust.types import KerasModel
from tfrobust_fusion.features import Features
from tfrobust_fusion.heads import JOINT

BACKGROUND_ALONE = 0.01  # a foreground of a smaller share decides nothing
_BATCH = 4096  # rows of features


def contributions(
    model: KerasModel, features: Features, widths: Mapping[str, int]
) -> dict[str, float]:
    """Return `shares` and `agreement` as a card has them: `share_STREAM` and `agrees_STREAM`."""
    parts, alike = shares(model, features, widths), agreement(model, features, widths)
    return {f"share_{name}": share for name, share in parts.items()} | {
        f"agrees_{name}": share for name, share in alike.items()
    }


def shares(model: KerasModel, features: Features, widths: Mapping[str, int]) -> dict[str, float]:
    """Return each stream's share of what the joint layer adds up; they sum to 1.

    Args:
        model: with the layers of `Heads`.
        features: of all streams side by side, `(n, units of all)`.
        widths: stream → how many of them are its own.

    Returns:
        Stream → a number from 0 to 1; 0 for all where nothing changes from image to image.
    """
    moved = {
        name: float(np.var(part @ model.get_layer(f"{JOINT}.{name}").kernel.numpy(), axis=0).sum())
        for name, part in _parts(features, widths).items()
    }
    total = sum(moved.values())
    return {name: variance / total if total else 0.0 for name, variance in moved.items()}


def agreement(model: KerasModel, features: Features, widths: Mapping[str, int]) -> dict[str, float]:
    """Return for how many images each stream alone decides as the joint layer does.

    Args:
        model: of `Heads.model`.
        features: of all streams side by side, `(n, units of all)`.
        widths: stream → how many of them are its own.

    Returns:
        Stream → a number from 0 to 1.
    """
    alike = dict.fromkeys(widths, 0)
    for start in range(0, len(features.values), _BATCH):
        logits = model(features.values[start : start + _BATCH])
        chosen = {name: np.argmax(values, axis=1) for name, values in logits.items()}
        for name in widths:
            alike[name] += int((chosen[name] == chosen[JOINT]).sum())
    return {name: count / len(features.values) for name, count in alike.items()}


def _parts(features: Features, widths: Mapping[str, int]) -> dict[str, np.ndarray]:
    ends = np.cumsum(list(widths.values()))[:-1]
    return dict(zip(widths, np.split(features.values, ends, axis=1), strict=True))
