"""A training stores the network, its defences and its card."""

import json
import shutil
from typing import ClassVar

import numpy as np
import pytest

from helpers.support import InMemory, small_classifier
from tfrobust import pipeline, store
from tfrobust.classifier import Wrapped
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.saved_model.classifier import SavedModelClassifier
from tfrobust.defense import Defended, Defense, Stage
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.options import option, plugin
from tfrobust.pipeline import plans
from tfrobust.pipeline.build import train
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.serving.guard import guard
from tfrobust.store.cards import renewed_card
from tfrobust.training.trainer import Trainer, TrainingOptions

IMAGES = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)


@plugin
class Refusing(Defense):
    """Notes the calls it receives; refuses to be applied if its option says so."""

    called: str = option("in the diary", default="a")
    trains_first: bool = option("pretend to train", default=False)
    refuses: bool = option("refuse to be applied", default=False)

    diary: ClassVar = []

    @property
    def stage(self):
        return Stage.TRAINING if self.trains_first else Stage.INFERENCE

    def check(self, classifier, scenario):
        self.diary.append(f"check {self.called}")

    def apply(self, classifier, scenario, trainer):
        self.diary.append(f"apply {self.called}")
        if self.refuses:
            raise UsageError("refused")
        return Defended(classifier if self.trains_first else Wrapped(classifier))


@pytest.fixture
def diary(monkeypatch):
    """The calls of the defences and of the trainer, in their order."""
    fit = Trainer.fit
    monkeypatch.setattr(Refusing, "diary", events := [])
    monkeypatch.setattr(
        Trainer, "fit", lambda *given, **how: (events.append("fit"), fit(*given, **how))[1]
    )
    return events


def run(root, defenses=(), *, model=None, scenario=None, **how):
    """Train for an epoch and store; the default model has no dropout."""
    trainer = Trainer(TrainingOptions(epochs=1, batch_size=16))
    model = model or create("models", "fully_connected", units=4)
    return train_and_store(model, scenario or InMemory(), "m", trainer, defenses, root=root, **how)


@pytest.fixture(scope="module")
def undefended(tmp_path_factory):
    """A folder with a stored network, and what its training returned."""
    root = tmp_path_factory.mktemp("undefended")
    return root, run(root)


def test_defences_that_see_the_network_are_checked_before_any_training(diary):
    defenses = [Refusing(called="a", trains_first=True), Refusing(called="b"), Refusing(called="c")]
    trainer = Trainer(TrainingOptions(epochs=1))
    train(create("models", "fully_connected"), InMemory(), trainer, defenses)
    assert diary == ["check a", "check b", "apply a", "apply b", "apply c"]
    diary.clear()
    train(create("models", "fully_connected"), InMemory(), trainer, defenses[1:])
    assert diary == ["check b", "fit", "apply b", "apply c"]


def test_a_defence_that_need_not_refuse_checks_nothing():
    class Plain(Defense):
        def apply(self, classifier, scenario, trainer):
            return Defended(classifier)

    assert Plain().check(None, InMemory()) is None


def test_mc_dropout_refuses_a_network_without_dropout_before_it_is_trained(tmp_path, diary):
    with pytest.raises(UsageError, match=r"no dropout .*rate"):
        run(tmp_path, [create("defenses", "mc_dropout")])
    assert "fit" not in diary
    assert not (tmp_path / "m").exists()
    mended = [create("defenses", "mc_dropout", rate=0.5, samples=3)]
    assert run(tmp_path, mended).classifier.passes == 3


def test_a_training_is_resumed_without_the_wrapping_defence_that_refused(
    tmp_path, undefended, diary, monkeypatch
):
    monkeypatch.setattr(plans, "_trains", lambda planned: planned["params"]["trains_first"])
    with pytest.raises(UsageError, match="refused"):
        run(tmp_path, [Refusing(), Refusing(refuses=True)])
    assert diary.count("fit") == 1
    with pytest.raises(UsageError, match=r"another configuration \(defenses"):
        run(tmp_path, [Refusing(trains_first=True)], resume=True)
    finished = run(tmp_path, [Refusing()], resume=True)
    _, plain = undefended
    for mended, weight in zip(
        finished.classifier.inner.model.get_weights(),
        plain.classifier.model.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(mended, weight)


def test_an_unknown_defence_counts_as_one_that_trains():
    assert plans._trains({"name": "gone", "params": {}})
    assert plans._trains({"name": "pgd_training", "params": {}})
    assert not plans._trains({"name": "mc_dropout", "params": {}})


def test_a_stored_network_comes_back_with_its_wrapping_defences(tmp_path):
    """`lenet_float` under `mc_dropout`, one epoch on the digits: random, and averaged."""
    defense = create("defenses", "mc_dropout", samples=3)
    digits = create("scenarios", "digits")
    trained = run(tmp_path, [defense], model=create("models", "lenet_float"), scenario=digits)
    network = stored_network("m", tmp_path)
    assert (network.stochastic, network.passes) == (True, 3)
    assert network.defenses == trained.classifier.defenses
    assert isinstance(network.inner, KerasClassifier)
    images = np.random.default_rng(0).uniform(size=(5, 8, 8, 1)).astype(np.float32)
    first, again = network.outputs(images), network.outputs(images)
    assert not np.array_equal(first["logits"], again["logits"])
    assert float(np.min(first["uncertainty"])) > 0
    np.testing.assert_array_equal(network.inner(images), trained.classifier.inner(images))
    np.testing.assert_array_equal(network.features(images), trained.classifier.features(images))


def test_a_network_that_was_trained_by_its_defence_is_not_trained_again(tmp_path, diary):
    defenses = [
        create("defenses", "pgd_training", steps=1),
        create("defenses", "mc_dropout", rate=0.5, samples=2),
    ]
    trained = run(tmp_path, defenses)
    diary.clear()
    network = stored_network("m", tmp_path, scenario=InMemory())
    assert diary == []
    assert isinstance(network.inner, KerasClassifier)
    assert [defense.name for defense in network.defenses] == ["pgd_training", "mc_dropout"]
    assert network.defenses == trained.classifier.defenses
    file = store.load(tmp_path / "m.training/model.keras")
    assert [defense.name for defense in file.defenses] == ["pgd_training"]


def test_an_undefended_network_comes_back_unchanged(undefended):
    root, trained = undefended
    network = stored_network("m", root)
    assert isinstance(network, KerasClassifier)
    assert network.class_names == ("class 0", "class 1", "class 2")
    np.testing.assert_array_equal(network(IMAGES), trained.classifier(IMAGES))


def test_where_a_defence_cannot_be_applied_again_the_saved_model_answers(tmp_path):
    trained = run(tmp_path, [Refusing()])  # no registered plugin
    network = stored_network("m", tmp_path)
    assert isinstance(network, SavedModelClassifier)
    assert network.defenses == trained.classifier.defenses
    np.testing.assert_allclose(network(IMAGES), trained.classifier(IMAGES), atol=1e-6)


def test_without_a_training_the_newest_version_is_loaded(tmp_path, undefended):
    _, trained = undefended
    store.export(trained.classifier, tmp_path / "m" / "1")
    assert isinstance(stored_network("m", tmp_path), SavedModelClassifier)
    with pytest.raises(UsageError, match="no classifier 'n'"):
        stored_network("n", tmp_path)


def test_the_card_of_the_network_describes_the_network(tmp_path, undefended):
    root, plain = undefended
    assert store.read_card(root / "m.training/model.keras") == plain.card
    averaged = run(tmp_path, [create("defenses", "mc_dropout", rate=0.5, samples=2)])
    card = store.read_card(tmp_path / "m.training/model.keras")
    assert (card.defenses, card.passes, card.clean_accuracy) == ((), 1, None)
    assert card.model == averaged.card.model


def test_a_scenario_names_only_what_the_card_does_not(tmp_path):
    network = small_classifier()
    named = renewed_card(network, scenario="noise", class_names=("a", "b", "c"))
    assert (named.scenario, named.class_names) == ("noise", ("a", "b", "c"))
    network = store.load(store.export(network, tmp_path / "1", card=named))
    again = renewed_card(network, scenario="digits", class_names=("x", "y", "z"))
    assert again == named


def test_a_later_wrapping_defence_drops_the_clean_accuracy_and_a_detector_keeps_it(undefended):
    _, trained = undefended
    loaded = store.load(trained.folder)
    assert renewed_card(loaded).clean_accuracy is not None
    detector, attack = create("detectors", "mahalanobis"), create("attacks", "fgsm")
    guarded = guard(loaded, detector, attack, InMemory(), images=60)
    assert renewed_card(guarded).clean_accuracy is not None
    shaken = pipeline.defended(loaded, [Refusing()], InMemory(), Trainer())
    card = renewed_card(shaken)
    assert card.clean_accuracy is None
    assert card.model["name"] == "fully_connected"


@pytest.mark.parametrize("images", [0, -1])
def test_a_guard_needs_images_to_learn_from(images, undefended):
    detector, attack = create("detectors", "mahalanobis"), create("attacks", "fgsm")
    classifier = undefended[1].classifier
    with pytest.raises(UsageError, match=rf"images: expected 1 or more; received: {images}"):
        guard(classifier, detector, attack, InMemory(), images=images)


def test_a_card_of_another_network_costs_a_line(tmp_path, undefended):
    shutil.copytree(undefended[0], tmp_path, dirs_exist_ok=True)
    file = tmp_path / "m.training/model.tfrobust.json"
    card = json.loads(file.read_text())
    file.write_text(json.dumps(card | {"class_names": ["a", "b"]}))
    with pytest.raises(ClassifierError, match=r"model.keras: class_names: expected 3 names"):
        store.load(tmp_path / "m.training/model.keras")
