"""Scenarios as they are asked for: by name, framed, seen through a shift.

`-p mnist.size=56` resizes the images of a scenario; `mnist+fog.3` shifts them, after that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf

from tfrobust import registry
from tfrobust.errors import UsageError
from tfrobust.options import Option, build, describe, option, plugin, record
from tfrobust.scenario import BatchShift, Prepared, Scenario, Shift
from tfrobust.types import ImageShape


class Reviewed(Scenario):
    """A scenario seen otherwise: of the same classes and splits."""

    def __init__(self, base: Scenario) -> None:
        self.base = base

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Prepare the base scenario; see `Scenario.prepare`."""
        return self.base.prepare(archive, sha256=sha256, strict=strict)

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
        "side that images are resized to; none: as they are", default=None, ge=1, le=4096
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


_TOGETHER = 64  # images that a shift of batches does at once
_OPTIONS = tuple(field.name for field in dataclasses.fields(Framing))


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
        # Sums of weights that are rounded may leave the range by the last bit.
        return tf.clip_by_value(tf.ensure_shape(image, self.image_shape), 0.0, 1.0)


class Shifted(Reviewed):
    """A scenario seen through a shift, every split of it.

    Each image is shifted by its place in the split and `seed`, so it looks the same whenever it is
    loaded. Only a training draws anew in every epoch; see `TrainingData`.
    """

    def __init__(self, base: Scenario, shift: Shift, seed: int = 0) -> None:
        super().__init__(base)
        self.shift, self.seed = shift, seed

    @property
    def shift_name(self) -> str:
        """The shift as a scenario's name spells it: `fog.3`, or `b2` without a severity."""
        severity = getattr(self.shift, "severity", None)
        return registry.name_of(self.shift) + ("" if severity is None else f".{severity}")

    def load(self, split: str) -> tf.data.Dataset:
        """Return the base scenario's split with every image shifted."""
        dataset = self.base.load(split).enumerate()
        if isinstance(self.shift, BatchShift) and _of_one_shape(dataset):
            batches = dataset.batch(_TOGETHER)
            return batches.map(self._shifted, num_parallel_calls=tf.data.AUTOTUNE).unbatch()

        def shifted(index: Any, example: dict[str, Any]) -> dict[str, Any]:
            seed = tf.stack([tf.constant(self.seed, tf.int32), tf.cast(index, tf.int32)])
            return {**example, "image": self.shift(example["image"], seed=seed)}

        return dataset.map(shifted, num_parallel_calls=tf.data.AUTOTUNE)

    def _shifted(self, indices: Any, examples: dict[str, Any]) -> dict[str, Any]:
        """Shift a batch, each image by its place."""
        places = tf.cast(indices, tf.int32)
        seeds = tf.stack([tf.fill(tf.shape(places), self.seed), places], axis=1)
        return {**examples, "image": self.shift.batch(examples["image"], seeds=seeds)}


def _of_one_shape(dataset: tf.data.Dataset) -> bool:
    """Tell whether examples can be batched: boxes, say, may be more or fewer."""
    specs = tf.nest.flatten(dataset.element_spec)
    return all(isinstance(s, tf.TensorSpec) and s.shape.is_fully_defined() for s in specs)


def scenario_record(scenario: Scenario) -> dict[str, Any]:
    """Return name and options of a scenario, and of its shift, as cards and plans record them."""
    if isinstance(scenario, Shifted):
        shift = {**registry.signature(scenario.shift), "seed": scenario.seed}
        return {**scenario_record(scenario.base), "shift": shift}
    return {"name": registry.name_of(scenario), "params": scenario.options}


def open_scenario(
    name: str, options: dict[str, dict[str, Any]] | None = None, *, seed: int = 0
) -> Scenario:
    """Build a scenario from its name: `cifar10`, with a shift `cifar10+b2`, at a severity
    `cifar10+fog.3`.

    Args:
        name: scenario, `+shift` and `.severity` as above.
        options: plugin name → its options.
        seed: of the shift.

    Raises:
        UsageError: an unknown name or option.

    Example:
        >>> open_scenario("digits").image_shape
        (8, 8, 1)
    """  # noqa: D205 (the first sentence needs two lines)
    options = options or {}
    base_name, plus, shift_name = name.partition("+")
    base = framed(base_name, options.get(base_name, {}))
    if not plus:
        return base
    return Shifted(base, _shift(shift_name, options), seed)


def reshifted(scenario: Scenario, shift: str) -> Shifted:
    """Return a scenario seen through another shift than its own, if it has one.

    Args:
        scenario: with or without a shift.
        shift: its name, with a severity where it has some: `b2`, `fog.3`.

    Raises:
        UsageError: an unknown name.

    Example:
        >>> reshifted(open_scenario("digits+fog.3"), "b2").shift_name
        'b2'
    """
    if isinstance(scenario, Shifted):
        return Shifted(scenario.base, _shift(shift, {}), scenario.seed)
    return Shifted(scenario, _shift(shift, {}))


def _shift(spelled: str, options: Mapping[str, dict[str, Any]]) -> Shift:
    """Build a shift from `NAME` or `NAME.SEVERITY`."""
    name, dot, severity = spelled.partition(".")
    if not name or (dot and not severity):
        raise UsageError(f"shift: expected NAME or NAME.SEVERITY; received: {spelled!r}")
    values = dict(options.get(name, {}))
    if severity:
        if str(values.get("severity", severity)) != severity:
            raise UsageError(
                f"{name}: severity: given twice, as {spelled!r} and as {values['severity']!r}"
            )
        values["severity"] = severity
    made: Shift = registry.create("shifts", name, **values)
    return made


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
    base: Scenario = build(registry.find("scenarios", name).load(), name, own, beside=_OPTIONS)
    framing = build(Framing, name, {key: values[key] for key in values if key in _OPTIONS})
    return base if framing == Framing() else Framed(base, framing)


def options_of(kind: str, cls: type) -> list[Option]:
    """Return the options of a plugin, a scenario's framing too."""
    return describe(cls) + (describe(Framing) if kind == "scenarios" else [])
