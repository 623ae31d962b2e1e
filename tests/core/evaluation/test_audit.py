"""The audit trusts no attack."""

import numpy as np
import pytest

from helpers.support import Brightness
from tfrobust.attack import Attack, Threat
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.errors import ClassifierError
from tfrobust.evaluation.audit import audit
from tfrobust.norms.distances import distances
from tfrobust.options import option, plugin


@plugin
class Claim(Attack):
    """Stands for an attack with this threat, and never runs."""

    minimum_norm = False

    eps: float | None = option("budget", default=0.25)
    norm: str = option("norm", default="linf")

    @property
    def threat(self):
        return Threat("white-box", self.norm)

    def __call__(self, classifier, images, labels, *, seed):
        raise NotImplementedError


class Nearest(Claim):
    """The same, as a minimum-norm attack."""

    minimum_norm = True


def judge(adversarial, attack=None, labels=None, targets=None, clean_value=0.4):
    """Audit flat 2×2 images that were of `clean_value`, class 0."""
    adversarial = np.stack([flat(value) for value in adversarial])
    images = np.full_like(adversarial, clean_value)
    classifier = Brightness()
    clean = clean_predictions(classifier, images)
    labels = np.zeros(len(images), np.int64) if labels is None else np.array(labels)
    return audit(
        classifier, attack or Claim(), images, labels, adversarial, clean=clean, targets=targets
    )


def flat(value):
    return np.full((2, 2, 1), value, np.float32)


def test_an_image_that_changes_class_within_the_ball_is_a_success():
    audited = judge([0.6, 0.45])
    assert audited.success.tolist() == [True, False]
    assert audited.prediction.tolist() == [1, 0]
    assert not audited.violation.any()


@pytest.mark.parametrize("value", [0.6502, 0.8, 1.2, -0.1, np.nan, np.inf, -np.inf])
def test_an_image_outside_the_ball_or_the_box_or_with_a_nan_is_a_violation_and_a_failure(value):
    audited = judge([0.6, value])
    assert audited.violation.tolist() == [False, True]
    assert audited.success.tolist() == [True, False]
    assert audited.prediction.tolist() == [1, 0]


def test_one_bad_pixel_is_enough_for_a_violation():
    images = np.stack([flat(0.4)] * 2)
    adversarial = np.stack([flat(0.6)] * 2)
    adversarial[1, 0, 1, 0] = np.nan
    audited = audit(
        Brightness(), Claim(), images, np.zeros(2, np.int64), adversarial, clean=np.zeros(2)
    )
    assert audited.violation.tolist() == [False, True]


def test_rounding_of_float32_is_no_violation():
    assert not judge([0.65 + 5e-7]).violation.any()
    assert judge([0.65 + 5e-6]).violation.all()


def test_the_ball_is_that_of_the_declared_norm():
    beyond_linf = Claim(norm="l2", eps=0.7)
    assert not judge([0.7], beyond_linf).violation.any()  # ‖0.3 · 1₄‖₂ = 0.6
    assert judge([0.76], beyond_linf).violation.all()


def test_beyond_its_budget_a_minimum_norm_attack_fails_without_violation():
    audited = judge([0.6, 0.9], Nearest(eps=0.25))
    assert audited.success.tolist() == [True, False]
    assert audited.prediction.tolist() == [1, 0]
    assert not audited.violation.any()


def test_without_a_budget_any_distance_counts():
    audited = judge([0.6, 1.0, 1.1], Nearest(eps=None))
    assert audited.success.tolist() == [True, True, False]
    assert audited.violation.tolist() == [False, False, True]


def test_a_targeted_attack_succeeds_only_where_the_target_is_reached():
    audited = judge([0.6, 0.45], labels=[0, 0], targets=np.array([1, 1]))
    assert audited.success.tolist() == [True, False]


def test_an_image_that_was_wrong_before_can_be_a_success_but_stays_wrong():
    audited = judge([0.4], labels=[1])
    assert audited.success.tolist() == [True]
    assert audited.prediction.tolist() == [0]


def test_distances_are_those_of_their_norms():
    images = np.zeros((2, 2, 2, 3), np.float32)
    others = images.copy()
    others[1, 0, 0] = [0.3, 0.0, 0.4]
    others[1, 1, 1] = [0.0, 0.5, 0.0]
    by_norm = {norm: values.tolist() for norm, values in distances(images, others).items()}
    assert {norm: values[0] for norm, values in by_norm.items()} == dict.fromkeys(by_norm, 0.0)
    assert by_norm["l0"][1] == 2
    assert by_norm["l1"][1] == pytest.approx(1.2)
    assert by_norm["l2"][1] == pytest.approx(0.5**0.5)
    assert by_norm["linf"][1] == pytest.approx(0.5)


def test_distances_do_not_depend_on_the_number_of_images():
    draw = np.random.default_rng(0)
    a, b = (draw.uniform(size=(1500, 2, 2, 1)).astype(np.float32) for _ in range(2))
    whole = distances(a, b)
    assert all(np.array_equal(distances(a[1100:], b[1100:])[n], whole[n][1100:]) for n in whole)


def test_nan_logits_are_refused():
    class Broken(Brightness):
        def __call__(self, images):
            return super().__call__(images) * float("nan")

    with pytest.raises(ClassifierError, match=r"mine: returns NaN logits"):
        clean_predictions(Broken(), np.stack([flat(0.1)]), "mine")
