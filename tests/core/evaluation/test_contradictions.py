"""A run whose weaker attacks break more than its stronger ones says so."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifier import Wrapped
from tfrobust.evaluation.evaluator import evaluate_settings
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.evaluation.warnings.contradictions import contradictions
from tfrobust.evaluation.warnings.signs import with_signs
from tfrobust.registry import create
from tfrobust.results.attack_records import AttackResult, ThreatRecord
from tfrobust.results.findings import Verdict

IMAGES = 100


def attack(name, eps=0.1, knowledge="white-box", norm="linf", crafted_on=None, **params):
    """Return an attack's result, as far as it is looked at."""
    return AttackResult.model_construct(
        name=name,
        params={"eps": eps, **params},
        threat=ThreatRecord(knowledge=knowledge, norm=norm, targeted=False),
        crafted_on=crafted_on,
        gradients_per_image=1.0 if knowledge == "white-box" else 0.0,
    )


def found_of(*broken):
    """Return what is found in a run: pairs of an attack and the images that it breaks."""
    columns = {"label": np.zeros(IMAGES, np.int64), "e0_clean": np.zeros(IMAGES, np.int64)}
    for k, (_, images) in enumerate(broken):
        columns[f"e0_a{k}_prediction"] = np.isin(np.arange(IMAGES), images).astype(np.int64)
    evaluation = types.SimpleNamespace(
        attacks=[attack for attack, _ in broken],
        adaptive=[],
        classifier=types.SimpleNamespace(name="c"),
    )
    outcomes = types.SimpleNamespace(column=columns.__getitem__)
    return contradictions(outcomes, 0, evaluation)


PGD, FGSM = attack("pgd", steps=40), attack("fgsm")
SQUARE = attack("square", knowledge="score", queries=500)


@pytest.mark.parametrize(
    ("weaker", "check", "cause"),
    [
        (SQUARE, "black box", "black box beats white box"),
        (FGSM, "one step", "one step beats many"),
        (attack("pgd", steps=40, crafted_on="other"), "transfer", "transfer beats gradients"),
        (attack("uniform_noise", knowledge="none"), "noise", "noise beats gradients"),
    ],
)
def test_what_should_be_weaker_and_breaks_more_is_named(weaker, check, cause):
    (finding,) = found_of((PGD, range(10)), (weaker, range(5, 30)))
    assert (finding.check, finding.verdict, finding.cause) == (check, Verdict.SUSPECT, cause)
    assert f"at L∞ ≤ 0.1 {weaker.name} breaks 20 of 100 images that pgd left, and 5" in finding.says
    assert found_of((PGD, range(10)), (weaker, range(5, 14))) == []  # within the noise


def test_weaker_attacks_are_measured_by_all_strong_ones_together_and_in_the_same_ball():
    other = attack("apgd_ce", steps=10)
    assert found_of((PGD, range(10)), (other, range(10, 30)), (SQUARE, range(5, 30))) == []
    wider = attack("square", 0.2, knowledge="score")
    assert found_of((PGD, range(10)), (wider, range(5, 30))) == []
    assert found_of((FGSM, range(10)), (SQUARE, range(5, 30))) == []  # as it should be


def test_a_ball_in_which_less_is_broken_than_in_a_smaller_one_is_named():
    wide = attack("pgd", 0.2, steps=40)
    (finding,) = found_of((wide, range(10)), (PGD, range(40)))
    assert finding.cause == "a larger budget breaks less"
    assert "pgd breaks 30 of 100 images at L∞ ≤ 0.1 that it leaves at L∞ ≤ 0.2" in finding.says
    assert found_of((PGD, range(10)), (wide, range(40))) == []
    assert found_of((attack("pgd", 0.2, steps=1), range(10)), (FGSM, range(40))) == []


class Backwards(Wrapped):
    """Its answers are right, and its gradients point the other way."""

    def __call__(self, images):
        return self.inner(2.0 * tf.stop_gradient(images) - images)


def test_an_evaluation_counts_them_among_the_signs(trained):
    settings = EvaluationSettings(
        classifiers={"c": Backwards(trained)},
        scenario=create("scenarios", "digits"),
        attacks=[
            create("attacks", "pgd", eps=0.2, steps=2, random_start=False),
            create("attacks", "square", eps=0.2, queries=60),
        ],
        baselines=(),
        limit=60,
    )
    signs = with_signs(settings, evaluate_settings(settings)).results.evaluations[0].signs
    assert "black box beats white box" in [finding.cause for finding in signs.findings]
