"""What a Larq model needs on a device: bits, memory and operations, as Larq counts them."""

from __future__ import annotations

from typing import Any

from tfrobust.model import ModelBuilder, Summary
from tfrobust.types import ImageShape

import tfrobust_larq.legacy_keras  # noqa: F401 # isort: skip (must come before Larq)
from larq.models import ModelProfile  # isort: skip


class LarqModel:
    """A builder whose models are summarized by Larq."""

    def summary(self: ModelBuilder, image_shape: ImageShape, num_classes: int) -> Summary:  # type: ignore[misc]
        """Return Larq's table; see `ModelBuilder.summary`."""
        model = self.build(image_shape, num_classes)
        profile = ModelProfile(model)
        head, *rows = profile.generate_table()
        return Summary(
            title=model.name,
            columns=tuple(" ".join(str(cell).split()) for cell in head),
            rows=[tuple(map(_cell, row)) for row in rows],
            totals={
                **{str(name): _cell(value) for name, value in profile.generate_summary()},
                "Ratio of MACs that are binarized": f"{_share(profile):.4g}",
            },
        )


def _share(profile: Any) -> float:
    """Return the share of multiply-accumulates between two signs: what XNOR gates can do."""
    return profile.op_count("mac", 1) / max(1, profile.op_count("mac"))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(str(value).split())
