"""The contract suite that plugin authors run on their own plugins.

Every check is a function that takes a built plugin and raises `AssertionError` with a sentence
that says what was expected. A test joins with one parametrised function:

    @pytest.mark.parametrize("check", attack_checks(), ids=lambda check: check.__name__)
    def test_darken_keeps_the_contract(check):
        check(Darken(eps=0.1))
"""

from tfrobust.testing.attacks import attack_checks
from tfrobust.testing.certifiers import certifier_checks
from tfrobust.testing.classifiers import (
    ConstantClassifier,
    LinearClassifier,
    grey_images,
    small_classifier,
    some_boxes,
)
from tfrobust.testing.models import defense_checks, detector_checks, model_checks
from tfrobust.testing.scenarios import scenario_checks, shift_checks
from tfrobust.testing.trackers import tracker_checks

__all__ = [
    "ConstantClassifier",
    "LinearClassifier",
    "attack_checks",
    "certifier_checks",
    "defense_checks",
    "detector_checks",
    "grey_images",
    "model_checks",
    "scenario_checks",
    "shift_checks",
    "small_classifier",
    "some_boxes",
    "tracker_checks",
]
