"""Images of another size or with other channels: options that every scenario has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import tensorflow as tf

from tfrobust.options import Option, build, describe, option, plugin, record
from tfrobust.registry import find
from tfrobust.scenario import Scenario
from tfrobust.types import ImageShape


@plugin
class Framing:
    """How the images of a scenario are framed; `-p SCENARIO.size=56` on the command line."""

    size: int | None = option(
        "side that images are resized to; none: as they are", default=None, ge=1
    )
    interpolation: Literal["nearest", "bilinear"] = option(
        "of the resizing; bilinear is antialiased where images shrink", default="nearest"
    )
    channels: int | None = option(
        "3 repeats grey three times, 1 takes colour's luma; none: as they are", default=None
    )

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 3):
            raise ValueError("channels: expected 1 or 3")


_OPTIONS = tuple(field.name for field in dataclasses.fields(Framing))


class Framed(Scenario):
    """A scenario whose images are resized, or turned grey or to colour.

    Attributes:
        base: the scenario.
        framing: what is changed.
    """

    def __init__(self, base: Scenario, framing: Framing) -> None:
        self.base, self.framing = base, framing

    @property
    def __wrapped__(self) -> Scenario:
        """The plugin, by whose name this goes."""
        return self.base

    @property
    def options(self) -> dict[str, Any]:
        """Those of the scenario and of the framing."""
        return {**self.base.options, **record(self.framing)}

    @property
    def image_shape(self) -> ImageShape:
        """The base scenario's, framed."""
        height, width, channels = self.base.image_shape
        size = self.framing.size
        return size or height, size or width, self.framing.channels or channels

    @property
    def class_names(self) -> tuple[str, ...]:
        """The base scenario's."""
        return self.base.class_names

    @property
    def splits(self) -> tuple[str, ...]:
        """The base scenario's."""
        return self.base.splits

    def load(self, split: str) -> tf.data.Dataset:
        """Return the base scenario's split with every image framed."""

        def framed(example: dict[str, Any]) -> dict[str, Any]:
            return {**example, "image": self._framed(example["image"])}

        return self.base.load(split).map(framed, num_parallel_calls=tf.data.AUTOTUNE)

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
        # Sums of weights that are rounded may leave the range by the last bit.
        return tf.clip_by_value(tf.ensure_shape(image, self.image_shape), 0.0, 1.0)


def framed(name: str, values: Mapping[str, Any]) -> Scenario:
    """Build a scenario from options of its own and of its framing.

    Args:
        name: of the plugin.
        values: option → value, which may still be a string.

    Raises:
        UsageError: an unknown name or option, or a value out of range.

    Example:
        >>> framed("digits", {"size": 16, "channels": 3}).image_shape
        (16, 16, 3)
    """
    own = {key: value for key, value in values.items() if key not in _OPTIONS}
    base: Scenario = build(find("scenarios", name).load(), name, own, beside=_OPTIONS)
    framing = build(Framing, name, {key: values[key] for key in values if key in _OPTIONS})
    return base if framing == Framing() else Framed(base, framing)


def options_of(kind: str, cls: type) -> list[Option]:
    """Return the options of a plugin, a scenario's framing too."""
    return describe(cls) + (describe(Framing) if kind == "scenarios" else [])
