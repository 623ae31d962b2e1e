"""The records of a plan: what was measured on a few images, and what follows from it.

Times of one image are in seconds. A gradient is a backward pass: the forward pass before it is
counted as a pass. One image costs

    overhead × (passes × seconds of a forward pass + gradients × seconds of a backward pass),

where `overhead` is what the attack took on a few images, divided by what its passes and gradients
took by themselves. It holds the attack's own work, and that of small batches once images are broken
and leave.
"""

from __future__ import annotations

import math
from typing import Any

import pydantic


class Record(pydantic.BaseModel):
    """A record that does not change."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Rates(Record):
    """Measured: seconds of one image of a batch, in one classifier.

    Attributes:
        batch_size: images at a time.
        forward: seconds of a forward pass.
        backward: seconds of a backward pass; `None` where the classifier has no gradient, or where
            no attack asks for one.
    """

    batch_size: int
    forward: float
    backward: float | None

    def network_seconds(self, passes: float, gradients: float) -> float:
        """Return the seconds that one image's passes and gradients take by themselves."""
        return passes * self.forward + gradients * (self.backward or 0.0)


class ClassifierRates(Record):
    """Measured: how fast a classifier is.

    Attributes:
        classifier: its name.
        few: at the batch of the first try of each attack.
        full: at the evaluation's batch size.
    """

    classifier: str
    few: Rates
    full: Rates


class Reading(Record):
    """Measured: how fast images are read and checked, on one device.

    Attributes:
        start: seconds until the first image.
        per_image: seconds of each.
    """

    start: float
    per_image: float


class Step(Record):
    """One line of a plan, measured: clean predictions, or attacks that share their images.

    Attributes:
        classifier: the name of the one that is judged.
        title: the attack with its budgets, or `clean images`.
        attack: name of the attack; `None` of clean images.
        params: the options of each attack of the line.
        shared: whether the images were crafted in an earlier line: only the audit remains.
        images: how many it was tried on.
        gradients: backward passes an image.
        passes: forward passes an image, with those of the audit.
        overhead: see above; 1 where it was too slow to be tried a second time.
        seconds_per_image: at the evaluation's batch size.
        start: seconds of tracing, once a device.
        learning: seconds of learning, once; projected from learning on a few training images.
    """

    classifier: str
    title: str
    attack: str | None = None
    params: tuple[dict[str, Any], ...] = ()
    shared: bool = False
    images: int
    gradients: float
    passes: float
    overhead: float
    seconds_per_image: float
    start: float = 0.0
    learning: float = 0.0

    def seconds(self, images: int) -> float:
        """Return the seconds of this line on a device that gets so many images."""
        return self.learning + self.start + images * self.seconds_per_image


class Projection(Record):
    """Projected: what the whole split takes on some devices, each as fast as the measured one.

    Attributes:
        devices: how many.
        images: that the busiest of them gets.
        steps: seconds of each step of the plan.
        reading: seconds of the survey, which one device makes, and of reading the blocks.
        seconds: in all.
    """

    devices: int
    images: int
    steps: tuple[float, ...]
    reading: float
    seconds: float


class Plan(Record):
    """What an evaluation will cost.

    Attributes:
        scenario: its name.
        split: of it.
        images: how many are evaluated.
        batch_size: images at a time.
        block_size: images that one device takes at once.
        megabytes: of the clean and the attacked images of one block; more images need no more.
        device: what was measured on.
        rates: of each classifier that is called.
        reading: of the images.
        steps: what is done, in order.
        projections: one for each number of devices.
        seconds: how long measuring took.
    """

    scenario: str
    split: str
    images: int
    batch_size: int
    block_size: int
    megabytes: float
    device: str
    rates: tuple[ClassifierRates, ...]
    reading: Reading
    steps: tuple[Step, ...]
    projections: tuple[Projection, ...]
    seconds: float

    @property
    def blocks(self) -> int:
        """How many blocks the images are cut into; more devices than these stay idle."""
        return math.ceil(self.images / self.block_size)


def busiest(images: int, block_size: int, devices: int) -> int:
    """Return how many images the device with the most blocks gets.

    Example:
        >>> busiest(10_000, 1024, 1), busiest(10_000, 1024, 8), busiest(10_000, 1024, 64)
        (10000, 2048, 1024)
    """
    blocks = math.ceil(images / block_size)
    return min(images, math.ceil(blocks / devices) * block_size)


def project(
    steps: tuple[Step, ...], reading: Reading, images: int, block_size: int, devices: int
) -> Projection:
    """Return what the steps take on some devices.

    Blocks are spread evenly. Each device traces every attack once, all at the same time; what an
    attack learns is learned once before that, and the images are surveyed by one device.

    Args:
        steps: what is done with every image.
        reading: of the images.
        images: of the split.
        block_size: images that one device takes at once.
        devices: how many.
    """
    share = busiest(images, block_size, devices)
    seconds = tuple(step.seconds(share) for step in steps)
    read = 2 * reading.start + (images + share) * reading.per_image
    return Projection(
        devices=devices, images=share, steps=seconds, reading=read, seconds=read + sum(seconds)
    )
