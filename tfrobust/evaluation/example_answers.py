"""What classifiers answer to the example images, before and after each attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.random_state import reseed
from tfrobust.evaluation.blocks.gathered import Judgement
from tfrobust.types import Images, Labels


def example_probabilities(
    judged: Sequence[Judgement], rows: np.ndarray, examples: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the probabilities of all classes, float16 `(examples, classes)`, by name.

    They are `e{i}_example_clean_probabilities` and `e{i}_example_a{k}_probabilities`. A classifier
    whose answers cost something, are bare decisions, or depend on the batch is not asked again.
    Where one draws and now predicts another class than was judged, its row is NaN.

    Args:
        judged: the classifiers, in the order of the results.
        rows: of the examples among all images.
        examples: their images, by the names in `examples.npz`.
    """
    answers: dict[str, np.ndarray] = {}
    for number, judgement in enumerate(judged):
        classifier = judgement.subject.classifier
        if not len(rows) or not _can_be_asked(classifier):
            continue
        clean = judgement.subject.clean[rows]
        reseed(classifier, "example", number)  # whatever was drawn before, in whichever order
        answers[f"e{number}_example_clean_probabilities"] = _answers(
            classifier, examples["example_images"], clean
        )
        for k, run in enumerate(judgement.attacked):
            reseed(classifier, "example", number, k)
            answers[f"e{number}_example_a{k}_probabilities"] = _answers(
                classifier, examples[f"e{number}_example_a{k}"], run.column("prediction")[rows]
            )
    return answers


def _can_be_asked(classifier: Classifier) -> bool:
    return not (classifier.meter or classifier.decisions_only or classifier.batch_dependent)


def _answers(classifier: Classifier, images: Images, judged: Labels) -> np.ndarray:
    logits = predict(classifier, images)
    probabilities = tf.nn.softmax(logits).numpy()
    trusted = (logits.argmax(axis=1) == judged) & np.isfinite(logits).all(axis=1)
    return np.where(trusted[:, None], probabilities, np.nan).astype(np.float16)
