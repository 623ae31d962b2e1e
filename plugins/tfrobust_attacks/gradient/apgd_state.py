"""What a run of Auto-PGD knows of its images."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.norms import Region
from tfrobust.types import Flags, Images, Labels, PerImage, Seeds


class ApgdState(NamedTuple):
    """One row an image; what a run of the ascent knows of it."""

    clean: Images
    region: Region
    labels: Labels  # to leave; where targeted, to reach
    rivals: Labels  # (batch, targets): the classes that the targeted loss tries
    seeds: Seeds
    current: Images
    previous: Images
    gradient: Images  # at `current`
    loss: PerImage  # at `current`
    step: Any  # (batch, 1, 1, 1)
    best: Images  # of this run, by loss
    best_gradient: Images
    best_loss: PerImage
    best_fooled: Flags
    checked_loss: PerImage  # `best_loss` at the last checkpoint
    rises: PerImage  # steps since then that raised the loss
    halved: Flags  # at the last checkpoint
    result: Images  # an adversarial image; until there is one, the best of all runs
    result_loss: PerImage
    fooled: Flags
    fooled_now: Flags  # at `current`
    done: Flags


def begin(
    images: Images, region: Region, labels: Labels, rivals: Labels, seeds: Seeds
) -> ApgdState:
    """Return a state whose every field has its shape; a run sets most of them."""
    no, zero = tf.zeros_like(labels, tf.bool), tf.zeros_like(labels, tf.float32)
    return ApgdState(
        clean=images,
        region=region,
        labels=labels,
        rivals=rivals,
        seeds=seeds,
        current=images,
        previous=images,
        gradient=images,
        loss=zero,
        step=zero[:, None, None, None],
        best=images,
        best_gradient=images,
        best_loss=zero,
        best_fooled=no,
        checked_loss=zero,
        rises=zero,
        halved=no,
        result=images,
        result_loss=zero - float("inf"),
        fooled=no,
        fooled_now=no,
        done=no,
    )
