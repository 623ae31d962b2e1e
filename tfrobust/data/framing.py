"""How the images of a scenario are framed: at another size, in grey or in colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import tensorflow as tf

from tfrobust import registry
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin, record
from tfrobust.scenario import Prepared, Scenario
from tfrobust.types import ImageShape


class Reviewed(Scenario):
    """A scenario whose images are changed; classes and splits are those of its base."""

    def __init__(self, base: Scenario) -> None:
        self.base = base

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Prepare the base scenario; see `Scenario.prepare`."""
        return self.base.prepare(archive, sha256=sha256, strict=strict)

    @property
    def notes(self) -> tuple[str, ...]:
        """The base scenario's."""
        return self.base.notes

    def with_classes(self, count: int) -> str:
        """Return the base scenario's hint."""
        return self.base.with_classes(count)

    @property
    def image_shape(self) -> ImageShape:
        """The base scenario's."""
        return self.base.image_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """The base scenario's."""
        return self.base.class_names

    @property
    def splits(self) -> tuple[str, ...]:
        """The base scenario's."""
        return self.base.splits


@plugin
class Framing:
    """How the images of a scenario are framed; `-p SCENARIO.size=56` on the command line."""

    size: int | None = option(
        "side of the resized images, in pixels; none: as they are", default=None, ge=1, le=4096
    )
    interpolation: Literal["nearest", "bilinear"] = option(
        "interpolation; bilinear is antialiased when images shrink",
        default="nearest",
    )
    channels: int | None = option(
        "channels: 3 repeats grey, 1 takes luma; none: as they are",
        default=None,
    )

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 3):
            raise ValueError("channels: expected 1 or 3")


class Framed(Reviewed):
    """A scenario whose images are resized, or turned grey or to colour.

    Attributes:
        base: the scenario.
        framing: what is changed.
    """

    def __init__(self, base: Scenario, framing: Framing) -> None:
        super().__init__(base)
        self.framing = framing
        before, wanted = base.image_shape[2], framing.channels
        if wanted not in (None, before) and before not in (1, 3):
            raise UsageError(
                f"{registry.name_of(base)}: channels: only grey and colour images can be turned "
                f"into one another; received: {wanted} for images of {before} channels"
            )

    @property
    def __wrapped__(self) -> Scenario:
        """The plugin, whose name this scenario has in records."""
        return self.base

    @property
    def options(self) -> dict[str, Any]:
        """The options of the scenario and of the framing; the scenario's where both have one."""
        return {**record(self.framing), **self.base.options}

    @property
    def image_shape(self) -> ImageShape:
        """The base scenario's, framed."""
        height, width, channels = self.base.image_shape
        size = self.framing.size
        return size or height, size or width, self.framing.channels or channels

    def load(self, split: str) -> tf.data.Dataset:
        """Return the base scenario's split with every image framed."""

        def reframed(example: dict[str, Any]) -> dict[str, Any]:
            return {**example, "image": self._framed(example["image"])}

        return self.base.load(split).map(reframed, num_parallel_calls=tf.data.AUTOTUNE)

    def _framed(self, image: Any) -> Any:
        height, width, channels = self.image_shape
        before = self.base.image_shape[2]
        if (before, channels) == (3, 1):
            image = tf.image.rgb_to_grayscale(image)
        elif before != channels:
            image = tf.repeat(image[..., :1], channels, axis=-1)
        if self.framing.size:
            method = self.framing.interpolation
            image = tf.image.resize(image, (height, width), method, antialias=True)
        # Rounded sums of weights may exceed the range by the last bit.
        return tf.clip_by_value(tf.ensure_shape(image, self.image_shape), 0.0, 1.0)
