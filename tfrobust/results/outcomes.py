"""Whether `outcomes.npz` holds what `results.json` says: looked up before a report draws it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tfrobust.files.reading import UnreadableError
from tfrobust.results.metrics import survivors
from tfrobust.results.records import NORMS, Evaluation, Results

_CLOSE = 1e-6  # figures are written with all their digits; older runs rounded some
_Arrays = Mapping[str, np.ndarray]
_Expected = tuple[str, tuple[int | None, ...], str]  # name, shape (None: any length), kinds


def check_outcomes(results: Results, outcomes: _Arrays) -> None:
    """Refuse arrays that are missing, misshapen, of another type, or of another run.

    Raises:
        UnreadableError: which array, what was expected and received.

    Example:
        >>> check_outcomes(read_results(run), read_arrays(run / "outcomes.npz"))
    """
    images = results.evaluations[0].scenario.images
    if any(each.scenario.images != images for each in results.evaluations):
        raise UnreadableError("evaluations of several numbers of images")
    for name, shape, kinds in _expected(results, images):
        _check_array(outcomes, name, shape, kinds)
    _check_classes("label", outcomes["label"])
    shown = outcomes["example_index"]
    if len(shown) and not 0 <= shown.min() <= shown.max() < images:
        raise UnreadableError(f"example_index: expected 0 to {images - 1}")
    for number, evaluation in enumerate(results.evaluations):
        _check_examples(number, evaluation, outcomes)
        _check_figures(number, evaluation, outcomes)
    if results.corruptions:
        _check_pictures("example_corrupted", outcomes, len(results.corruptions[0].errors))


def _expected(results: Results, images: int) -> Iterator[_Expected]:
    yield "label", (images,), "iu"
    yield "example_index", (None,), "iu"
    for number, evaluation in enumerate(results.evaluations):
        rows = (len(evaluation.attacks), images)
        yield f"e{number}_clean", (images,), "iu"
        yield f"e{number}_prediction", rows, "iu"
        for flags in ("success", "reached"):
            yield f"e{number}_{flags}", rows, "b"
        for norm in NORMS:
            yield f"e{number}_{norm}", rows, "f"
        for k in range(len(evaluation.detectors)):
            for kind in ("clean", "adversarial"):
                yield f"e{number}_d{k}_{kind}", (None,), "fiub"


def _check_array(
    outcomes: _Arrays, name: str, shape: tuple[int | None, ...], kinds: str
) -> np.ndarray:
    if name not in outcomes:
        raise UnreadableError(f"{name} is missing")
    array = outcomes[name]
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


_KINDS = {"iu": "integers", "b": "true or false", "f": "numbers", "fiub": "numbers"}


def _check_classes(name: str, classes: np.ndarray) -> None:
    if len(classes) and classes.min() < 0:
        raise UnreadableError(f"{name}: expected classes from 0; received: {classes.min()}")


def _check_examples(number: int, evaluation: Evaluation, outcomes: _Arrays) -> None:
    shown = len(outcomes["example_index"])
    shape = _check_pictures("example_images", outcomes, shown)
    for k in range(len(evaluation.attacks)):
        name = f"e{number}_example_a{k}"
        _check_array(outcomes, name, shape, "f")
    for k in range(len(evaluation.detectors)):
        for kind in ("clean", "adversarial"):
            scores = outcomes[f"e{number}_d{k}_{kind}"]
            if not len(scores) or not np.isfinite(scores).all():
                raise UnreadableError(f"e{number}_d{k}_{kind}: expected finite scores")


def _check_pictures(name: str, outcomes: _Arrays, count: int) -> tuple[int, ...]:
    array = _check_array(outcomes, name, (count, None, None, None), "f")
    if 0 in array.shape[1:] or not np.isfinite(array).all():
        raise UnreadableError(f"{name}: expected images of finite pixels")
    return array.shape


def _check_figures(number: int, evaluation: Evaluation, outcomes: _Arrays) -> None:
    """Refuse outcomes whose accuracies are not those of the results: they are of another run."""
    label, clean = outcomes["label"], outcomes[f"e{number}_clean"]
    predicted = outcomes[f"e{number}_prediction"]
    _check_classes(f"e{number}_clean", clean)
    _check_classes(f"e{number}_prediction", predicted.ravel())
    if not len(label):
        return
    pairs = [("clean", evaluation.clean.accuracy, clean == label)]
    pairs += [
        (
            attack.name,
            attack.accuracy,
            row == label if attack.corrective else survivors(row, clean, label),
        )
        for attack, row in zip(evaluation.attacks, predicted, strict=True)
    ]
    for name, accuracy, right in pairs:
        if abs(accuracy - right.mean()) > _CLOSE:
            raise UnreadableError(
                f"they are of another run than results.json: {evaluation.classifier.name}, {name}: "
                f"{right.mean():.4f} here, {accuracy:.4f} there"
            )
