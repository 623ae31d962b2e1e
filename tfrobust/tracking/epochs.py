"""The epochs of a training, as trackers are told of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tfrobust.tracking.guarded import Tracking

_VALIDATED = "val_"


@dataclasses.dataclass(frozen=True)
class EpochFigures:
    """Tells trackers the figures of each epoch, of training and of validation images apart.

    Attributes:
        tracking: who is told.

    Example:
        >>> Trainer(TrainingOptions(epochs=5), on_epoch=EpochFigures(tracking))
    """

    tracking: Tracking

    def __call__(self, stage: str, epoch: int, logs: Mapping[str, float]) -> None:
        """Record an epoch.

        Args:
            stage: `stage-1`, `stage-2`, …: a defence may train several times.
            epoch: from 0.
            logs: figure → value; those that begin with `val_` are of validation images.
        """
        validated = {
            name.removeprefix(_VALIDATED): value
            for name, value in logs.items()
            if name.startswith(_VALIDATED)
        }
        trained = {n: value for n, value in logs.items() if not n.startswith(_VALIDATED)}
        self.tracking.figures(trained, step=epoch, series=f"{stage}/train")
        self.tracking.figures(validated, step=epoch, series=f"{stage}/validation")
