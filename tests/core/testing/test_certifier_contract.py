"""The contract of certifiers catches what breaks it, and what it lets pass keeps it."""

import numpy as np
import pytest

from tfrobust import Certificates, Certifier, registry
from tfrobust.errors import PluginError, UsageError
from tfrobust.options import option, plugin
from tfrobust.testing import LinearClassifier, certifier_checks
from tfrobust.types import Norm


@plugin
class Nothing(Certifier):
    """Proves nothing, of any image."""

    norm: Norm = option("norm of the radii", default="linf")

    def certify(self, classifier, images, labels, *, seed):
        return Certificates(radii=np.zeros(len(images)))


@plugin
class Everything(Nothing):
    """Claims that nothing breaks anything."""

    def certify(self, classifier, images, labels, *, seed):
        return Certificates(radii=np.full(len(images), 0.5))


def failures(certifier):
    failed = set()
    for check in certifier_checks():
        try:
            check(certifier)
        except AssertionError:
            failed.add(check.__name__)
    return failed


def test_the_contract_of_certifiers_catches_certificates_that_do_not_hold():
    assert failures(Nothing()) == {"certifies_less_than_the_least_distance"}  # it is no use
    assert failures(Everything()) == {
        "certifies_no_wrong_answer",
        "certifies_less_than_the_least_distance",
        "verifies_less_than_the_least_distance",
        "certifies_what_no_ascent_breaks",
    }


def test_verify_asks_for_the_radius_by_default_and_refuses_what_is_none():
    classifier, given = LinearClassifier(), (np.zeros((2, 6, 5, 2), np.float32), np.zeros(2, int))
    assert Everything().verify(classifier, *given, 0.5, seed=0).tolist() == [True, True]
    assert Everything().verify(classifier, *given, 0.51, seed=0).tolist() == [False, False]
    for eps in (0.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="everything: eps: expected a radius above 0"):
            Everything().verify(classifier, *given, eps, seed=0)
    with pytest.raises(UsageError, match="farther apart than 1 in linf; received: 8; pixels run"):
        Everything().verify(classifier, *given, 8.0, seed=0)


@pytest.mark.parametrize(
    "given",
    [
        {"radii": [0.1, np.nan]},
        {"radii": [-0.1, 0.0]},
        {"radii": 0.1},
        {"radii": [0.1, 0.2], "abstained": [True, False]},
        {"radii": [0.1, 0.2], "abstained": [False]},
        {"radii": [0.1, 0.2], "least": [0.3, 0.1], "complete": [True, True]},
    ],
)
def test_certificates_that_contradict_themselves_are_refused(given):
    with pytest.raises(PluginError, match=r"^certificates: "):
        Certificates(**given)


def test_certificates_are_numpy_arrays_and_abstain_nowhere_by_default():
    found = Certificates(radii=[0.25, 0.0])
    assert found.radii.dtype == np.float32
    assert found.abstained.tolist() == [False, False]
    assert found.least is None is found.complete


def test_certifiers_are_a_kind_of_plugin():
    assert "certifiers" in registry.KINDS
    fault = registry._contract_fault("certifiers", Certifier)
    assert fault == "its class does not define certify, norm"
    assert registry._contract_fault("certifiers", Nothing) is None
