"""The names of figures, taken apart: whose they are, and what kind of number they are."""

from __future__ import annotations

import dataclasses

# Shares of images under an attack; where all are close to 0 or to 1, nothing can be compared.
UNDER_ATTACK = frozenset(
    {
        "accuracy",
        "adversarial_accuracy",
        "accuracy_within",
        "fooling_ratio",
        "success_rate",
        "white_box_accuracy",
        "black_box_accuracy",
        "adaptive_accuracy",
        "worst_accuracy",
        "lowest_accuracy",
        "certified_accuracy",
    }
)
_OF_DETECTORS = frozenset({"auroc", "accuracy", "tpr_at_5_fpr"})


@dataclasses.dataclass(frozen=True)
class FigureName:
    """The parts of a figure's name.

    Attributes:
        view: how the network is seen.
        detector: whose figure it is, or empty.
        name: such as `accuracy`.
        value: of the sweep, or empty.
    """

    view: str
    detector: str
    name: str
    value: str

    @classmethod
    def parse(cls, figure: str) -> FigureName:
        """Return the parts of a name.

        Example:
            >>> FigureName.parse("plain.accuracy@40")
            FigureName(view='plain', detector='', name='accuracy', value='40')
        """
        view, _, rest = figure.partition(".")
        rest, _, value = rest.partition("@")
        detector, _, name = rest.rpartition(".")
        return cls(view, detector, name, value)

    @property
    def accuracy(self) -> bool:
        """Whether it is an accuracy of a classifier, whose differences are gains."""
        fooled = {"fooling_ratio", "success_rate"}
        return not self.detector and self.name in {"clean", *(UNDER_ATTACK - fooled)}

    @property
    def share(self) -> bool:
        """Whether it is a share of the test images, which has an interval."""
        if self.detector:
            return self.name.removeprefix("fooling_") in _OF_DETECTORS
        return self.name in {"clean", "int8_accuracy", *UNDER_ATTACK}

    @property
    def percent(self) -> bool:
        """Whether it is told in per cent: by its name, for defences may measure anything."""
        words = {"error", "gain", "accuracy", "ratio", "rate", "share"}
        return self.share or not words.isdisjoint(self.name.split("_"))

    def sibling(self, name: str) -> str:
        """Return another figure of the same view, or of the same detector."""
        return ".".join(filter(None, (self.view, self.detector, name)))
