"""Attacks that know the defence: what they follow, what is recorded, how surrogates compose."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.rounding import Rounding, Shadowing
from helpers.support import InMemory
from tfrobust import store
from tfrobust.defense import AdaptiveAttack, Defended, Defense
from tfrobust.engine.victim import Surrogate
from tfrobust.errors import UsageError
from tfrobust.evaluation.adaptive.attacks import budgets_of, knowing_attacks
from tfrobust.evaluation.adaptive.passes import adaptive_notes
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.evaluation.planning import plan
from tfrobust.evaluation.runs import run
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.options import plugin
from tfrobust.pipeline.build import defended
from tfrobust.registry import create
from tfrobust.report import write_report
from tfrobust.report.adaptive import adaptive_table
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.run_files import read_results
from tfrobust.testing import LinearClassifier, grey_images, small_classifier
from tfrobust.training.trainer import Trainer

SHAPE = (4, 4, 1)
SCENARIO = InMemory(images=40)


def behind(*defenses, classifier=None):
    return defended(classifier or small_classifier(SHAPE, 3), defenses, SCENARIO, Trainer())


def gradient(classifier, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = classifier(images)
    return tape.gradient(logits, images, output_gradients=tf.one_hot([0] * len(images), 3)).numpy()


def evaluated(classifiers, attacks=(), **more):
    return evaluate(classifiers, SCENARIO, attacks, baselines=(), **more).results.evaluations


def settings(*attacks, **more):
    return EvaluationSettings(scenario=SCENARIO, attacks=attacks, baselines=(), **more)


def test_an_adaptive_attack_follows_the_surrogate_where_the_own_gradient_leads_astray():
    shadowed = behind(Shadowing())
    [evaluation] = evaluated({"s": shadowed}, [create("attacks", "fgsm", eps=0.3)], adaptive=())
    (naive,), (knowing,) = evaluation.attacks, evaluation.adaptive
    assert naive.accuracy == evaluation.clean.accuracy > knowing.accuracy
    assert evaluation.worst_case.accuracy <= knowing.accuracy
    assert knowing.adaptive.model_dump() == {
        "defenses": ["shadowing"],
        "why": "the gradient points away",
        "source": "",
        "follows": "surrogate",
        "draws": 1,
    }


def test_adaptive_attacks_run_at_every_budget_of_their_norms():
    asked = [
        create("attacks", "pgd", eps=0.1, steps=2),
        create("attacks", "pgd", eps=0.2, steps=2),
        create("attacks", "pgd", norm="l2", eps=0.5, steps=2),
        create("attacks", "pgd", norm="l1", eps=2.0, steps=2),
    ]
    attacks = [
        one.attack for one in knowing_attacks(behind(Rounding()), "r", budgets_of(asked, ()))
    ]
    ran = [(attack.threat.norm, attack.eps) for attack in attacks]
    assert ran == [("linf", 0.1), ("linf", 0.2), ("l2", 0.5)]
    assert {attack.steps for attack in attacks} == {10}


def test_without_other_attacks_the_budgets_are_those_that_are_given():
    [evaluation] = evaluated({"r": behind(Rounding())}, adaptive=(0.1, 0.3))
    assert [attack.params["eps"] for attack in evaluation.adaptive] == [0.1, 0.3]
    assert evaluation.attacks == []
    assert evaluation.worst_case.accuracy <= evaluation.adaptive[1].accuracy


def test_a_run_keeps_the_fate_of_every_image_and_its_report_shows_it(tmp_path):
    given = settings(classifiers={"s": behind(Shadowing()), "plain": behind()}, adaptive=(0.3,))
    notes = []
    run(given, tmp_path / "run", note=notes.append)
    assert any(note.startswith("plain: it carries no defence") for note in notes)
    results = read_results(tmp_path / "run")
    predicted = Outcomes.read(tmp_path / "run").column("e0_x0_prediction")
    labels = Outcomes.read(tmp_path / "run").column("label")
    right = (predicted == labels) & (Outcomes.read(tmp_path / "run").column("e0_clean") == labels)
    assert right.mean() == pytest.approx(results.evaluations[0].adaptive[0].accuracy)
    assert results.evaluations[1].adaptive == []
    page = write_report(tmp_path / "run").read_text()
    assert "Attacks that know the defence" in page
    assert "the surrogate" in page
    assert len(adaptive_table(results).sections) == 1


def test_an_interrupted_run_does_not_take_a_naive_attack_for_the_adaptive_one(tmp_path):
    attack = create("attacks", "fgsm", eps=0.3)
    shadowed = behind(Shadowing())
    kept = settings(attack, classifiers={"s": shadowed}, adaptive=())
    results = run(kept, tmp_path / "run")
    [evaluation] = results.evaluations
    assert evaluation.attacks[0].params == evaluation.adaptive[0].params
    assert evaluation.attacks[0].accuracy > evaluation.adaptive[0].accuracy


def test_surrogates_of_chained_defences_compose():
    classifier = small_classifier(SHAPE, 3)
    chain = behind(Rounding(), Shadowing(), classifier=classifier)
    images = tf.constant(grey_images(classifier, 5)[0])
    rounded = tf.round(images * 4) / 4
    assert np.abs(gradient(classifier, rounded)).max() > 0
    assert np.allclose(gradient(chain.surrogate, images), gradient(classifier, rounded), atol=1e-6)
    assert np.array_equal(chain(images), behind(Rounding(), classifier=classifier)(images))


def test_a_defence_with_right_gradients_passes_on_the_surrogate_inside():
    @plugin
    class Halved(Defense):
        def apply(self, classifier, scenario, trainer):
            from tfrobust.classifier import Wrapped

            class Half(Wrapped):
                def __call__(self, images):
                    return self.inner(images / 2)

            return Defended(Half(classifier))

    classifier = small_classifier(SHAPE, 3)
    chain = behind(Rounding(), Halved(), classifier=classifier)
    images = tf.constant(grey_images(classifier, 5)[0])
    expected = gradient(classifier, tf.round(images * 2) / 4) / 2
    assert np.allclose(gradient(chain.surrogate, images), expected, atol=1e-6)


def test_the_exported_artefact_is_attacked_through_the_surrogate_it_was_exported_with(tmp_path):
    rounded = behind(Rounding(), classifier=LinearClassifier(SHAPE, 3))
    loaded = store.load(store.export(rounded, tmp_path / "m" / "1"))
    images = tf.constant(grey_images(rounded, 5)[0])
    assert not loaded.differentiable
    expected, got = (gradient(Surrogate(one, one.surrogate), images) for one in (rounded, loaded))
    assert np.abs(expected).max() > 0
    assert np.allclose(got, expected, atol=1e-6)
    assert loaded.defenses == rounded.defenses
    (declared,) = loaded.defenses[0].adaptive
    assert (declared.attack, declared.source) == ("pgd", "Athalye et al. 2018")


@pytest.mark.slow
def test_a_surrogate_outlives_a_second_export_and_is_followed_in_an_evaluation(tmp_path):
    rounded = behind(Rounding())
    loaded = store.load(store.export(rounded, tmp_path / "m" / "1"))
    again = store.load(store.export(loaded, tmp_path / "again" / "1"))
    images = tf.constant(grey_images(rounded, 5)[0])
    expected, got = (gradient(Surrogate(one, one.surrogate), images) for one in (rounded, again))
    assert np.allclose(got, expected, atol=1e-6)
    [evaluation] = evaluated({"m": again}, adaptive=(0.2,))
    assert evaluation.adaptive[0].adaptive.follows == "surrogate"


def test_a_random_classifier_is_averaged_and_the_draws_are_recorded():
    from tfrobust.classifier import Wrapped

    class Noisy(Wrapped):
        def __init__(self, inner):
            super().__init__(inner, stochastic=True)
            self.draws = tf.random.Generator.from_seed(1)

        def __call__(self, images):
            return self.inner(images + self.draws.normal(tf.shape(images), stddev=0.01))

    noisy = Noisy(behind(Shadowing()))
    noisy = noisy.replace(surrogate=noisy.inner.surrogate)
    [evaluation] = evaluated({"n": noisy}, adaptive=(0.1,), limit=4)
    record = evaluation.adaptive[0].adaptive
    assert (record.follows, record.draws) == ("surrogate", 20)


@pytest.mark.parametrize(
    ("classifier", "more", "message"),
    [
        (lambda: behind(Rounding(declares=False)), {"adaptive": (0.1,)}, "declares no surrogate"),
        (lambda: behind(Rounding()), {"adaptive": ()}, "expected a budget of such a norm"),
        (
            lambda: behind(Rounding()),
            {"adaptive": (), "crafted_on": ("l", LinearClassifier(SHAPE, 3))},
            "leave out crafted_on",
        ),
    ],
)
def test_what_cannot_be_attacked_adaptively_is_refused_in_one_line(classifier, more, message):
    with pytest.raises(UsageError, match=message):
        evaluated({"r": classifier()}, **more)


def test_an_adaptive_attack_that_asks_for_no_gradient_needs_no_surrogate():
    @plugin
    class Blind(Rounding):
        @property
        def adaptive(self):
            return (AdaptiveAttack("square", {"queries": 5}, "asks for scores alone"),)

    [evaluation] = evaluated({"b": behind(Blind(declares=False))}, adaptive=(0.3,), limit=8)
    record = evaluation.adaptive[0].adaptive
    assert (record.follows, record.defenses) == ("none", ["blind"])


def test_a_classifier_without_adaptive_attacks_is_named():
    given = settings(classifiers={"plain": behind(), "r": behind(Rounding())}, adaptive=(0.1,))
    assert [line.partition(":")[0] for line in adaptive_notes(given)] == ["plain"]


def test_a_plan_predicts_adaptive_attacks_along_what_they_follow():
    asked = settings(classifiers={"s": behind(Shadowing())}, adaptive=(0.3,))
    clean, knowing = plan(asked).steps
    assert (clean.title, knowing.title) == ("clean images", "adaptive fgsm ε=0.3")
    [evaluation] = evaluated(asked.classifiers, adaptive=(0.3,))
    assert knowing.gradients == evaluation.adaptive[0].gradients_per_image
