"""How the images of a scenario are framed: at another size, in grey or in colour, repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfrobust import registry
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin, record
from tfrobust.preparation import Grey, Preparation, Repeat, Resize
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

    @property
    def preparation(self) -> Preparation | None:
        """The base scenario's: a shift of the scene is none."""
        return self.base.preparation

    def count(self, split: str) -> int | None:
        """Return the base scenario's."""
        return self.base.count(split)


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
    repeat: int = option(
        "number of times that every split is repeated, labels kept; for load tests",
        default=1,
        ge=1,
        le=10**6,
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
        self._counted: dict[str, int] = {}
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

    @property
    def preparation(self) -> Preparation | None:
        """The base scenario's, framed."""
        prepared = self.base.preparation
        height, width, channels = self.image_shape
        before = self.base.image_shape[2]
        if prepared is None:
            return None
        if channels != before:
            prepared = prepared.then(Repeat(channels=channels) if channels == 3 else Grey())
        if self.framing.size:
            method = self.framing.interpolation
            prepared = prepared.then(Resize(height=height, width=width, method=method))
        return prepared

    def load(self, split: str) -> tf.data.Dataset:
        """Return the base scenario's split with every image framed, repeated as often as asked."""
        return self._reframed(self.base.load(split).repeat(self.framing.repeat))

    def load_rows(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Return rows of the framed split; nothing that lies before them is read."""
        if self.framing.repeat == 1:
            return self._reframed(self.base.load_rows(split, start, stop))
        return self._reframed(self._repeated_rows(split, start, stop))

    def count(self, split: str) -> int | None:
        """Return the base scenario's, as often as it is repeated."""
        once = self.base.count(split)
        return None if once is None else once * self.framing.repeat

    def _repeated_rows(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Return rows of the repeated split: the end of one pass, whole passes, the next's begin.

        The whole passes are one dataset, however many there are: a chain of thousands of datasets
        takes TensorFlow minutes to build.
        """
        once = self._once(split)
        start = min(start, once * self.framing.repeat)
        stop = min(max(start, stop), once * self.framing.repeat)
        if not once or start // once == stop // once:
            first = start - start % max(once, 1)
            return self.base.load_rows(split, start - first, stop - first)
        head = self.base.load_rows(split, start % once, once)
        whole = self.base.load(split).repeat(stop // once - start // once - 1)
        return head.concatenate(whole).concatenate(self.base.load_rows(split, 0, stop % once))

    def _once(self, split: str) -> int:
        """Return how many images the base's split has; they are counted once if nothing tells."""
        known = self.base.count(split)
        if known is not None:
            return known
        if split not in self._counted:
            dataset = self.base.load(split)
            images = int(dataset.cardinality())
            if images < 0:
                images = int(dataset.reduce(np.int64(0), lambda count, _: count + 1))
            self._counted[split] = images
        return self._counted[split]

    def _reframed(self, examples: tf.data.Dataset) -> tf.data.Dataset:
        def reframed(example: dict[str, Any]) -> dict[str, Any]:
            return {**example, "image": self._framed(example["image"])}

        return examples.map(reframed, num_parallel_calls=tf.data.AUTOTUNE)

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
