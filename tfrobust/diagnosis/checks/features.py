"""Checks whether an attack on the features finds what one on the logits does not.

An attacker who cannot follow the last layers moves the features of an image to where those of
another class lie: Sabour, Cao, Faghri & Fleet, "Adversarial manipulation of deep representations"
(2016); Tramèr et al. (2020) break defences that way whose answers come from more than a softmax.
Where another class begins is told by a linear probe on the features, fitted to the images that are
classified correctly.
"""

from __future__ import annotations

import warnings

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import in_batches
from tfrobust.classifiers.random_state import reseed
from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine, not_applicable
from tfrobust.diagnosis.victims import Probed
from tfrobust.engine.victim import has_gradients
from tfrobust.errors import ClassifierError
from tfrobust.results.findings import Verdict
from tfrobust.types import Labels

_STEPS = 40
_ROUNDS = 200  # of the probe's fit
_NEVER = -1e6


def _make(bench: Bench) -> Result:
    try:
        attack, victim = on_features(bench)
    except ClassifierError:
        return not_applicable("the classifier shows no features that a probe can be fitted to")
    rows = bench.unbroken
    if not len(rows):
        return fine("the attack left no image to move the features of", 0.0, 0.0)
    moved = bench.run(attack, rows, on=victim)
    pair = bench.compare(moved.broken, bench.white_box)
    says = (
        f"moving the features to those of another class breaks {pair.more} of {pair.images} images "
        f"that the attack left; white-box attacks again {pair.less} others"
    )
    if not pair.is_certain:
        return fine(says, pair.gain, 0.0)
    return Result(
        verdict=Verdict.MASKED,
        cause="features find more than logits",
        says=says,
        figure=pair.gain,
        threshold=0.0,
        calls=(Call(attack, victim, "a linear probe on the features"),),
    )


def on_features(bench: Bench) -> tuple[Attack, Classifier]:
    """Return PGD, and the classifier by features that it is run on.

    Raises:
        ClassifierError: the classifier shows no features, or they are not finite or have no
            gradient, or all images are of one class.
    """
    classifier = bench.classifier
    source = classifier if classifier.differentiable else classifier.surrogate or classifier
    right = bench.images[bench.right]
    reseed(source, bench.settings.seed, "features")
    features = in_batches(source.features, right, bench.settings.batch_size)
    bench.queries += len(right)
    if features.ndim != 2 or not np.isfinite(features).all() or _of_one_class(bench):
        raise ClassifierError(f"features: expected finite ones of two classes; {features.shape}")
    weights, bias = _probe(features, bench.labels[bench.right], bench.known_classes)
    probed = Probed(source, weights, bias)
    if not has_gradients(probed, bench.images[:2]):  # as those of an exported model may have none
        raise ClassifierError("features: expected ones with a gradient")
    return bench.in_ball("pgd", loss="margin", steps=_STEPS), probed


def _of_one_class(bench: Bench) -> bool:
    return len(np.unique(bench.labels[bench.right])) < 2


def _probe(features: np.ndarray, labels: Labels, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a linear classifier of features; a class without an image is never answered.

    Args:
        features: float32 `(n, units)`, of two classes at least.
        labels: int64 `(n,)`.
        classes: how many there are.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, spread = features.mean(axis=0), features.std() + 1e-12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe need not be at its optimum
        fitted = LogisticRegression(max_iter=_ROUNDS).fit((features - mean) / spread, labels)
    weights = np.zeros((features.shape[1], classes))
    bias = np.full(classes, _NEVER)
    binary = len(fitted.classes_) == 2
    slopes = np.concatenate([-fitted.coef_, fitted.coef_]) if binary else fitted.coef_
    starts = np.array([-1.0, 1.0]) * fitted.intercept_ if binary else fitted.intercept_
    weights[:, fitted.classes_] = slopes.T / spread
    bias[fitted.classes_] = starts - mean @ slopes.T / spread
    return weights.astype(np.float32), bias.astype(np.float32)


FEATURES = Check(
    name="features",
    source="Sabour et al. 2016; Tramèr et al. 2020",
    make=_make,
    gradients=True,
)
