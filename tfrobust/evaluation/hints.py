"""What a result suggests about the way a classifier was loaded."""

from __future__ import annotations

from collections.abc import Mapping

from tfrobust.classifier import Classifier
from tfrobust.evaluation.results import Results

_ABOVE_CHANCE = 0.1  # of the accuracy, that leaves no doubt


def hints(results: Results, classifiers: Mapping[str, Classifier]) -> list[str]:
    """Return a line for each classifier that seems to have been shown other pixels than it knows.

    Its clean accuracy is near chance, and its first layer brings pixels of 0 … 255 to [0, 1].

    Args:
        results: of these classifiers.
        classifiers: by the names in the results.

    Example:
        >>> hints(evaluated.results, {"bytes.keras": store.load("bytes.keras")})
        ['bytes.keras: clean accuracy is 12 %, and its first layer rescales pixels: ...']
    """
    found: dict[str, str] = {}
    for evaluation in results.evaluations:
        name, accuracy = evaluation.classifier.name, evaluation.clean.accuracy
        classifier = classifiers.get(name)
        near_chance = accuracy < 1 / evaluation.classifier.num_classes + _ABOVE_CHANCE
        if classifier is not None and classifier.reads_bytes and near_chance:
            found[name] = (
                f"{name}: clean accuracy is {accuracy:.0%}, and its first layer rescales pixels: "
                "if it was trained on 0 to 255, say so by --pixel-range 0,255"
            )
    return list(found.values())
