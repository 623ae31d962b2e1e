"""What the user of an evaluation should know: lines to print before it runs, and after it.

What belongs to the figures themselves stands in the results: `Evaluation.warnings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.evaluation.learned_attacks import file_notes
from tfrobust.results.records import Results
from tfrobust.scenario import Scenario

_ABOVE_CHANCE = 0.1  # of the accuracy, that leaves no doubt


def notices(
    scenario: Scenario,
    classifiers: Mapping[str, Classifier],
    attacks: Iterable[Attack] = (),
    attacked: Mapping[str, Classifier] | None = None,
) -> Iterator[str]:
    """Yield what to know before an evaluation starts, one line each.

    What is left out of the scenario's data; what was converted when classifiers were loaded; what
    the files of attacks that learn were learned on.

    Args:
        scenario: where the images come from.
        classifiers: name → every classifier that takes part.
        attacks: in their order.
        attacked: the classifiers that the attacks see; `None`: all.

    Raises:
        UsageError: a file was learned for other images or options.
        StoreError: a file cannot be read.
    """
    yield from scenario.notes
    for name, classifier in classifiers.items():
        yield from (f"{name}: {line}" for line in classifier.notices)
    yield from file_notes(attacks, classifiers if attacked is None else attacked)


def suspicions(results: Results, classifiers: Mapping[str, Classifier]) -> list[str]:
    """Return a line for each classifier that seems to have been shown other pixels than it knows.

    Its clean accuracy is near chance, and its first layer brings pixels of 0 … 255 to [0, 1].

    Args:
        results: of these classifiers.
        classifiers: by the names in the results.

    Example:
        >>> suspicions(evaluated.results, {"bytes.keras": store.load("bytes.keras")})
        ['bytes.keras: clean accuracy is 12 %, and its first layer rescales pixels: ...']
    """
    lines: dict[str, str] = {}
    for evaluation in results.evaluations:
        name, accuracy = evaluation.classifier.name, evaluation.clean.accuracy
        classifier = classifiers.get(name)
        near_chance = accuracy < 1 / evaluation.classifier.num_classes + _ABOVE_CHANCE
        if classifier is not None and classifier.reads_bytes and near_chance:
            lines[name] = (
                f"{name}: clean accuracy is {accuracy:.0%}, and its first layer rescales pixels: "
                "if it was trained on 0 to 255, say so by --pixel-range 0,255"
            )
    return list(lines.values())
