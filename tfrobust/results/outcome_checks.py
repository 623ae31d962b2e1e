"""Whether the outcomes of a run are what `results.json` says; checked before they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from tfrobust.files.reading import UnreadableError
from tfrobust.results.attack_records import NORMS, AttackResult
from tfrobust.results.metrics import survivors
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation, Results

_CLOSE = 1e-6  # figures are written with all their digits; older runs rounded some
_IS = {
    "i": pa.types.is_signed_integer,
    "u": pa.types.is_unsigned_integer,
    "b": pa.types.is_boolean,
    "f": pa.types.is_floating,
}
_KINDS = {"iu": "integers", "b": "true or false", "f": "numbers", "fiub": "numbers"}


def check_outcomes(results: Results, outcomes: Outcomes) -> None:
    """Refuse columns and examples that are missing, misshapen, of another type or another run.

    Raises:
        UnreadableError: which of them, what was expected and received.

    Example:
        >>> check_outcomes(read_results(run), Outcomes.read(run))
    """
    images = results.evaluations[0].scenario.images
    if any(evaluation.scenario.images != images for evaluation in results.evaluations):
        raise UnreadableError("evaluations of several numbers of images")
    if len(outcomes) != images:
        raise UnreadableError(f"expected {images} rows; received: {len(outcomes)}")
    for name, kinds in _expected(results):
        _check_type(outcomes, name, kinds)
    _check_classes("label", outcomes.column("label"))
    examples = outcomes.examples
    shown = _check_array(examples, "example_index", (None,), "iu")
    if len(shown) and not 0 <= shown.min() <= shown.max() < images:
        raise UnreadableError(f"example_index: expected 0 to {images - 1}")
    for number, evaluation in enumerate(results.evaluations):
        _check_examples(number, evaluation, examples)
        _check_scores(number, evaluation, outcomes)
        _check_figures(number, evaluation, outcomes)
    if results.corruptions:
        _check_pictures("example_corrupted", examples, len(results.corruptions[0].errors))


def _expected(results: Results) -> Iterator[tuple[str, str]]:
    """Yield the name and the kinds of every column."""
    yield "label", "iu"
    for number, evaluation in enumerate(results.evaluations):
        yield f"e{number}_clean", "iu"
        for key, _ in _attacked(number, evaluation):
            yield f"{key}_prediction", "iu"
            for flags in ("success", "reached"):
                yield f"{key}_{flags}", "b"
            for norm in NORMS:
                yield f"{key}_{norm}", "f"
        for k in range(len(evaluation.detectors)):
            for kind in ("clean", "adversarial"):
                yield f"e{number}_d{k}_{kind}", "fiub"


def _attacked(number: int, evaluation: Evaluation) -> Iterator[tuple[str, AttackResult]]:
    """Yield what the columns of each attack begin with, and what it did."""
    for kind, attacks in (("a", evaluation.attacks), ("x", evaluation.adaptive)):
        for k, attack in enumerate(attacks):
            yield f"e{number}_{kind}{k}", attack


def _check_type(outcomes: Outcomes, name: str, kinds: str) -> None:
    if name not in outcomes.types:
        raise UnreadableError(f"{name} is missing")
    received = outcomes.types[name]
    if not any(_IS[kind](received) for kind in kinds):
        raise UnreadableError(f"{name}: expected {_KINDS[kinds]}; received: {received}")


def _check_array(
    examples: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...], kinds: str
) -> np.ndarray:
    if name not in examples:
        raise UnreadableError(f"{name} is missing")
    array = examples[name]
    fits = len(array.shape) == len(shape) and all(
        length in (None, given) for length, given in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind not in kinds:
        expected = " × ".join("any" if length is None else f"{length}" for length in shape)
        raise UnreadableError(
            f"{name}: expected {_KINDS[kinds]}, {expected}; "
            f"received: {array.dtype.name}, {' × '.join(map(str, array.shape)) or 'a single one'}"
        )
    return array


def _check_classes(name: str, classes: np.ndarray) -> None:
    if len(classes) and classes.min() < 0:
        raise UnreadableError(f"{name}: expected classes from 0; received: {classes.min()}")


def _check_examples(
    number: int, evaluation: Evaluation, examples: Mapping[str, np.ndarray]
) -> None:
    shape = _check_pictures("example_images", examples, len(examples["example_index"]))
    for k in range(len(evaluation.attacks)):
        _check_array(examples, f"e{number}_example_a{k}", shape, "f")
    names = [f"e{number}_example_a{k}_probabilities" for k in range(len(evaluation.attacks))]
    for name in [f"e{number}_example_clean_probabilities", *names]:
        if name in examples:  # older runs have none, and not every classifier is asked
            _check_probabilities(name, examples, (shape[0], evaluation.classifier.num_classes))


def _check_probabilities(
    name: str, examples: Mapping[str, np.ndarray], shape: tuple[int, int]
) -> None:
    array = _check_array(examples, name, shape, "f")
    if not ((array >= 0) & (array <= 1) | np.isnan(array)).all():
        raise UnreadableError(f"{name}: expected probabilities from 0 to 1")


def _check_pictures(name: str, examples: Mapping[str, np.ndarray], count: int) -> tuple[int, ...]:
    array = _check_array(examples, name, (count, None, None, None), "f")
    if 0 in array.shape[1:] or not np.isfinite(array).all():
        raise UnreadableError(f"{name}: expected images of finite pixels")
    return array.shape


def _check_scores(number: int, evaluation: Evaluation, outcomes: Outcomes) -> None:
    for k in range(len(evaluation.detectors)):
        for kind in ("clean", "adversarial"):
            scores = outcomes.column(f"e{number}_d{k}_{kind}")
            if not len(scores) or not np.isfinite(scores).all():
                raise UnreadableError(f"e{number}_d{k}_{kind}: expected finite scores")


def _check_figures(number: int, evaluation: Evaluation, outcomes: Outcomes) -> None:
    """Refuse outcomes whose accuracies are not those of the results: they are of another run."""
    label, clean = outcomes.column("label"), outcomes.column(f"e{number}_clean")
    _check_classes(f"e{number}_clean", clean)
    if not len(label):
        return
    _check_accuracy(evaluation, "clean", evaluation.clean.accuracy, clean == label)
    for key, attack in _attacked(number, evaluation):
        predicted = outcomes.column(f"{key}_prediction")
        _check_classes(f"{key}_prediction", predicted)
        right = predicted == label if attack.corrective else survivors(predicted, clean, label)
        _check_accuracy(evaluation, attack.name, attack.accuracy, right)


def _check_accuracy(evaluation: Evaluation, name: str, accuracy: float, right: np.ndarray) -> None:
    if abs(accuracy - right.mean()) > _CLOSE:
        raise UnreadableError(
            f"they are of another run than results.json: {evaluation.classifier.name}, {name}: "
            f"{right.mean():.4f} here, {accuracy:.4f} there"
        )
