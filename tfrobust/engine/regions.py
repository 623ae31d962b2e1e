"""Attacks confined to a region of each image: inside its boxes, or outside of them.

An attack that is traced or run inside `held(images, free)` may move the free pixels alone. The
classifier it is given (`Confined`) sees the clean pixels everywhere else, so that no gradient comes
from there, and `run_attack` pastes them back in the end. An attack need not know of any of this;
what spends a budget on its own account, noise for instance, goes through `confined` first.

The region is part of the trace, not of an attack's state: `tfrobust.engine.loop.iterate` narrows it
to the rows that are left. Where none is held, nothing is added to any graph.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.classifier import Wrapped
from tfrobust.classifiers.held_rows import HeldRows
from tfrobust.types import Images, Logits


class _Held(NamedTuple):
    """One row an image of the batch in hand."""

    clean: Images
    free: Any  # bool (batch, height, width, 1)


REGION: HeldRows[_Held] = HeldRows("region")


def held(images: Images, free: Any) -> contextlib.AbstractContextManager[None]:
    """Confine what is traced or run inside to the free pixels.

    Args:
        images: the clean images `(batch, height, width, channels)`.
        free: bool `(batch, height, width, 1)`.
    """
    return REGION.held(_Held(images, free))


def free_pixels() -> Any:
    """Return which pixels may change, bool `(batch, height, width, 1)`; `None` if all may."""
    now = REGION.now
    return None if now is None else now.free


def confined(perturbation: Any) -> Any:
    """Return a perturbation `(batch, height, width, channels)` that is zero outside the region."""
    free = free_pixels()
    return perturbation if free is None else tf.where(free, perturbation, 0.0)


class Confined(Wrapped):
    """Shows a classifier the clean image outside of the region that is held.

    Its gradient is zero there, and an attack that maximises anything does so over the region alone.
    """

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits.

        Raises:
            InvalidArgumentError: not one image for each row of the region, in their order.
        """
        now = REGION.now
        if now is None:
            return self.inner(images)
        tf.debugging.assert_equal(
            tf.shape(images)[0],
            tf.shape(now.free)[0],
            "a region needs one image a row: call the classifier with the whole batch, in its "
            "order, and loop with tfrobust.engine.loop.iterate",
        )
        # The clean images may be the very tensor that is differentiated by.
        return self.inner(tf.where(now.free, images, tf.stop_gradient(now.clean)))
