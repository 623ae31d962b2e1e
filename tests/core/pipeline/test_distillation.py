"""A surrogate learns an endpoint's answers within its budget, and pays nothing twice."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.model_server import Served, rest_server
from tfrobust import store
from tfrobust.classifier import Wrapped
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.data.reading import arrays
from tfrobust.engine.run import run_attack
from tfrobust.errors import BudgetSpentError, EndpointError, StoreError, UsageError
from tfrobust.options import record
from tfrobust.pipeline.distillation import Distillation, DistilOptions, augmented, distil
from tfrobust.pipeline.distillation_rounds import KeptRounds
from tfrobust.pipeline.plans import TrainingPlan
from tfrobust.pipeline.stored_training import run_training
from tfrobust.registry import create
from tfrobust.testing.classifiers import LinearClassifier
from tfrobust.training.options import TrainingOptions
from tfrobust.training.trainer import Trainer
from tfrobust_cli.options.distil import _DECLARED

FEW = DistilOptions(images=40, rounds=2, held_out=20)


@pytest.fixture(scope="module")
def scenario():
    return create("scenarios", "digits")


@pytest.fixture
def served(trained, tmp_path):
    return Served(store.export(trained, tmp_path / "served" / "1"))


def trainer(**options):
    return Trainer(TrainingOptions(**({"epochs": 8, "seed": 1} | options)))


def imitating(url, options=FEW, **remote):
    def opened(kept):
        cache = kept / "queries.sqlite" if kept else None
        return store.load(url, options=LoadOptions(remote=RemoteOptions(cache=cache, **remote)))

    return Distillation(teacher=opened, name=url, options=options)


def local(classifier, options=FEW, **more):
    return Distillation(teacher=lambda _: classifier, name="d1", options=options, **more)


class LabelsAlone(Wrapped):
    """Tells the label and nothing else."""

    def __init__(self, inner):
        super().__init__(inner, decisions_only=True)

    def __call__(self, images):
        return tf.one_hot(tf.argmax(self.inner(images), 1), self.num_classes)


@pytest.mark.parametrize("step", [0.1, 1.0])
def test_a_step_goes_where_the_answered_class_gains_in_a_linear_classifier(step):
    classifier = LinearClassifier(num_classes=2)
    images = np.random.default_rng(0).uniform(size=(5, *classifier.image_shape))
    images, labels = images.astype(np.float32), np.array([0, 1, 0, 1, 1])
    weights = classifier.weights.numpy()
    towards = np.sign(weights[:, labels] - weights[:, 1 - labels]).T.reshape(images.shape)
    expected = np.clip(images + np.float32(step) * towards, 0, 1)
    assert np.allclose(augmented(classifier, images, labels, step), expected, atol=1e-6)


@pytest.mark.parametrize("budget", [53, pytest.param(61, marks=pytest.mark.slow)])
def test_the_budget_of_a_surrogate_is_spent_to_the_query(budget, scenario, served, tmp_path):
    options = DistilOptions(images=30, rounds=1, held_out=10)
    few = trainer(epochs=1, batch_size=30)
    with rest_server(served) as url:
        limited = imitating(url, options, max_queries=budget)
        _, imitation = distil(create("models", "linear"), scenario, few, limited, kept=tmp_path)
        assert imitation.queries == served.images == budget
    assert imitation.images == budget - 10 - 9 - 3  # sent at the start, and one after each part


def test_a_surrogate_of_two_models_is_not_trained(scenario, served, tmp_path):
    def exchange(_):  # another version is served once the first one has described itself
        served.other = True

    exchanging = Trainer(TrainingOptions(epochs=1), log=exchange)
    with rest_server(served) as url, pytest.raises(EndpointError, match="answers otherwise than"):
        distil(create("models", "linear"), scenario, exchanging, imitating(url), kept=tmp_path)
    assert not list(tmp_path.glob("*-answers.npy"))


@pytest.mark.slow
def test_an_interrupted_training_of_a_surrogate_goes_on_within_its_budget(
    scenario, served, tmp_path
):
    model = create("models", "linear")

    def run(name, log=lambda _: None, **more):
        plan = TrainingPlan(model, scenario, distilled=imitating(url, max_queries=130))
        options = TrainingOptions(epochs=2, seed=1)
        return run_training(plan, name, Trainer(options, log=log), root=tmp_path, **more)

    def stop(line):
        if line.startswith("round 1"):
            raise KeyboardInterrupt

    with rest_server(served) as url:
        with pytest.raises(KeyboardInterrupt):
            run("surrogate", stop)
        before = served.images
        assert before < 128
        resumed = run("surrogate", resume=True)
        assert served.images == 130  # two are those that ask whether it is the same model
        imitates = resumed.card.imitates
        assert (imitates.of, imitates.queries, imitates.answers) == (url, 130, "scores")
        assert (imitates.held_out, imitates.rounds, len(imitates.agreement)) == (20, 2, 3)
        assert imitates.images == 130 - 20 - (9 + 1) - 4  # at the two starts, and after each part
    assert store.read_card(resumed.folder).imitates == imitates
    assert store.load(resumed.folder).differentiable


@pytest.mark.slow
def test_a_resumed_surrogate_is_that_of_an_uninterrupted_training(scenario, trained, tmp_path):
    def run(name, log=lambda _: None, **more):
        plan = TrainingPlan(create("models", "linear"), scenario, distilled=local(trained))
        trainer = Trainer(TrainingOptions(epochs=2, seed=1), log=log)
        return run_training(plan, name, trainer, root=tmp_path, **more)

    def stop(line):
        if line.startswith("round 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("cut", stop)
    cut, whole = run("cut", resume=True), run("whole")
    assert cut.card.imitates == whole.card.imitates
    images = arrays(scenario, "test", 100)[0]
    assert np.array_equal(cut.classifier(images), whole.classifier(images))


@pytest.mark.slow
@pytest.mark.parametrize("answers", ["scores", "labels"])
def test_agreement_rises_and_what_is_crafted_on_the_surrogate_breaks_the_original(
    answers, scenario, trained
):
    teacher = LabelsAlone(trained) if answers == "labels" else trained
    options = DistilOptions(images=60, rounds=3, held_out=100)
    surrogate, imitation = distil(
        create("models", "lenet"), scenario, trainer(), local(teacher, options)
    )
    assert imitation.answers == answers
    assert imitation.agreement[-1] > max(imitation.agreement[0], 0.6)
    images, labels = arrays(scenario, "test", 100)
    pgd = create("attacks", "pgd", eps=0.2, early_stop=False)  # far beyond the surrogate's border
    crafted = run_attack(pgd, surrogate, images, labels)
    clean, moved = (np.argmax(trained(x), 1) == labels for x in (images, crafted.images))
    assert moved.mean() < clean.mean() - 0.1


def test_a_budget_below_the_first_images_is_refused_and_what_is_damaged_too(
    scenario, trained, tmp_path
):
    model = create("models", "linear")
    with pytest.raises(BudgetSpentError, match="does not cover the images to begin with"):
        distil(model, scenario, trainer(), local(trained, max_queries=59))
    damaged = tmp_path / "round-1-images.npy"
    damaged.write_bytes(b"no array")
    with pytest.raises(StoreError, match="cannot be read"):
        KeptRounds(tmp_path).images("round-1", (8, 8, 1), lambda: None)
    np.save(damaged, np.zeros((2, 3), np.float32))
    with pytest.raises(StoreError, match="expected float32"):
        KeptRounds(tmp_path).images("round-1", (8, 8, 1), lambda: None)


def test_a_surrogate_is_trained_without_defences(scenario, trained, tmp_path):
    plan = TrainingPlan(
        create("models", "linear"),
        scenario,
        [create("defenses", "pgd_training", eps=0.1)],
        distilled=local(trained),
    )
    with pytest.raises(UsageError, match="defend it afterwards"):
        run_training(plan, "surrogate", trainer(), root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_has_the_defaults_of_the_options():
    typed = {name: default for name, (_, default) in _DECLARED.items()}
    named = {f"distil_{name}": value for name, value in record(DistilOptions()).items()}
    assert typed == named | {"distil": None}
