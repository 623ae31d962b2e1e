"""A wrapper of an attack forwards everything that the contract declares."""

import dataclasses

import pytest

from tfrobust.attack import FORWARDED, Attack, Strength, Threat, WrappedAttack
from tfrobust.engine.victim import persistent
from tfrobust.options import option, plugin
from tfrobust.testing import LinearClassifier

OWN = {"continued", "threat", "check"}  # which a wrapper forwards by methods of its own


@plugin
class Different(Attack):
    """Differs from `Attack` in everything."""

    minimum_norm = True
    eager = True
    autograph = True
    corrective = True
    ignores_input = True
    strength = Strength("samples", "n =", "number of calls")
    needs_gradients = False
    budget = 0.7
    target_class = 2

    eps: float = option("radius", default=0.3)
    region: str = option("pixels that may change", default="foreground")
    samples: int = option("calls", default=3)
    early_stop: bool = option("stop early", default=True)
    targeted: bool = option("reach a class", default=True)

    @property
    def threat(self):
        return Threat("white-box", "l2", targeted=True)

    def __call__(self, classifier, images, labels, *, seed):
        return images


@dataclasses.dataclass(frozen=True, eq=False)
class Around(WrappedAttack):
    def __call__(self, classifier, images, labels, *, seed):
        return self.wrapped(classifier, images, labels, seed=seed)


def test_a_wrapper_forwards_everything_that_the_contract_declares():
    declared = {name for name in vars(Attack) if not name.startswith("_")}
    assert declared == set(FORWARDED) | OWN


@pytest.mark.parametrize("name", [*FORWARDED, "threat"])
def test_a_wrapper_answers_like_the_attack_inside(name):
    inside = Different()
    assert getattr(Around(inside), name) == getattr(inside, name)
    if name != "threat":
        assert getattr(Around, name) == getattr(Attack, name)


def test_a_wrapper_may_answer_differently():
    @dataclasses.dataclass(frozen=True, eq=False)
    class Smaller(Around):
        eager = False
        eps: float

    assert (Smaller(Different(), eps=0.1).eps, Smaller(Different(), eps=0.1).eager) == (0.1, False)


def test_a_wrapped_attack_does_not_stop_early_on_a_random_classifier():
    random = LinearClassifier((2, 2, 1), 3).replace(stochastic=True)
    lasting = persistent(Around(Different()), random)
    assert isinstance(lasting, Around)
    assert not lasting.wrapped.early_stop
