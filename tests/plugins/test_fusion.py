"""Contextual fusion: one linear layer over frozen features; every stream is a classifier."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize

from helpers.files import torch_files
from helpers.support import InMemory, small_classifier, small_model
from helpers.torchvision_reference import random_state, resnet_shapes
from tfrobust import store
from tfrobust.classifiers.identity import answers_differ
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.members import member_of, split_member
from tfrobust.data.reading import arrays
from tfrobust.engine.run import run_attack
from tfrobust.errors import ClassifierError, DataError, UsageError
from tfrobust.evaluation.streams.features import Streamed, projected
from tfrobust.pipeline.build import defended
from tfrobust.pipeline.deployed import Deployed, as_built
from tfrobust.pipeline.fine_tuning import check_tunable, described
from tfrobust.pipeline.reload import network_of, stored_network, why_served
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.testing import defense_checks
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_fusion.contextual_fusion import ContextualFusion
from tfrobust_fusion.features import Features, FeatureScenario, beside, features_of
from tfrobust_fusion.heads import JOINT, Heads

NONE, TWO = Trainer(TrainingOptions(epochs=0)), Trainer(TrainingOptions(epochs=2))
LONG = Trainer(TrainingOptions(epochs=10, batch_size=8))
SHAPE, CLASSES = (4, 4, 1), 3
DATA = InMemory(shape=SHAPE, classes=CLASSES)


def network(classes=5, seed=0, shape=SHAPE, units=6):
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Conv2D(4, 3, name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(units, activation="relu", name="hidden"),
        keras.layers.Dense(classes, name="logits"),
    ]
    return KerasClassifier(keras.Sequential([keras.Input(shape), *layers]))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A store with a network of scenes, and one of objects fused with it."""
    root = tmp_path_factory.mktemp("models")
    with store.rooted(root):
        store.export(network(seed=1), root / "scenes/1")
        train_and_store(
            create("models", "fully_connected", units=7), DATA, "objects", NONE, root=root
        )
        train_and_store(
            Deployed("objects", network_of("objects")),
            DATA,
            "fused",
            LONG,
            [create("defenses", "contextual_fusion", background="scenes", learning_rate=0.01)],
            root=root,
        )
        yield root


def fused(trainer=TWO, foreground=None, scenario=DATA, **options):
    defense = create("defenses", "contextual_fusion", **options)
    return defense.apply(foreground or network(), scenario, trainer).classifier


@pytest.fixture(scope="module")
def joint(models):
    """Three streams, untrained."""
    with store.rooted(models):
        return fused(NONE, background=["scenes", "objects"])


def test_the_joint_logits_are_the_sum_of_the_contributions_of_the_streams(joint):
    images, _ = arrays(DATA, "test", 8)
    features = joint.features_by_stream(images)
    assert list(features) == ["foreground", "background1", "background2"]
    expected = joint.model.get_layer("joint.foreground").bias.numpy()
    for name, seen in features.items():
        np.testing.assert_allclose(seen, joint.streams[name].features(images), atol=1e-6)
        expected = expected + seen.numpy() @ joint.model.get_layer(f"joint.{name}").kernel.numpy()
    np.testing.assert_allclose(joint(images), expected, atol=1e-5)


def test_every_stream_is_a_classifier(joint):
    images, _ = arrays(DATA, "test", 8)
    for name, member in joint.members.items():
        head = joint.model.get_layer(name)
        seen = joint.streams[name].features(images)
        np.testing.assert_allclose(
            member(images), seen @ head.kernel.numpy() + head.bias.numpy(), atol=1e-5
        )
        np.testing.assert_allclose(member(images), joint.outputs(images)[name], atol=1e-5)
        assert member.class_names == DATA.class_names
        assert set(member.outputs(images)) == {"logits", "probabilities"}
    assert isinstance(joint.members["foreground"], KerasClassifier)  # can be trained further


@pytest.mark.parametrize("alpha", [pytest.param(0.0, marks=pytest.mark.slow), 0.3])
def test_the_joint_layer_reaches_the_optimum_of_cross_entropy_and_penalty(alpha):
    draw = np.random.default_rng(0)
    labels = draw.integers(3, size=90)
    values = draw.normal(size=(90, 5)) + 0.7 * np.eye(5)[labels % 5]
    data = {"train": Features(values.astype(np.float32), labels)}
    heads = Heads({"foreground": 2, "background": 3}, 3, alpha=alpha, seed=0)
    options = TrainingOptions(epochs=80, batch_size=90, validation=0, learning_rate=0.1)
    heads.fit(FeatureScenario(data, "abc"), Trainer(options))
    model = heads.model()

    def price(weights, bias):
        logits = values @ weights + bias
        logits = logits - logits.max(1, keepdims=True)
        own = logits[np.arange(90), labels] - np.log(np.exp(logits).sum(1))
        return -own.mean() + alpha * np.square(weights[:2]).sum()

    best = minimize(lambda w: price(w[:15].reshape(5, 3), w[15:]), np.zeros(18)).fun
    kernels = [model.get_layer(f"{JOINT}.{name}").kernel.numpy() for name in heads.widths]
    ours = price(np.concatenate(kernels), model.get_layer(f"{JOINT}.foreground").bias.numpy())
    assert ours <= best * 1.001


class Counting(InMemory):
    """Keeps the names of the splits that are loaded."""

    def load(self, split):
        self.__dict__.setdefault("loaded", []).append(split)
        return super().load(split)


@pytest.fixture(scope="module")
def dear(models):
    """A fusion with a high penalty, otherwise trained as `fused`; and what it was trained from."""
    scenario = Counting(shape=SHAPE, classes=CLASSES)
    with store.rooted(models):
        foreground = network_of("objects")
        before = foreground.model.get_weights()
        options = {"background": "scenes", "learning_rate": 0.01, "alpha": 10.0}
        return fused(LONG, foreground, scenario, **options), scenario, foreground, before


@pytest.mark.slow
def test_a_higher_penalty_takes_weight_from_the_foreground_alone(models, dear):
    with store.rooted(models):
        cheap = stored_network("fused", models).mean_weights()
    costly = dear[0].mean_weights()
    assert costly["foreground"] < 0.2 * cheap["foreground"]
    assert costly["background"] > 0.8 * cheap["background"]


def test_the_networks_do_not_change_unless_they_are_trained_too(models, dear):
    _, _, foreground, before = dear
    for one, other in zip(before, foreground.model.get_weights(), strict=True):
        assert np.array_equal(one, other)
    images, _ = arrays(DATA, "test", 8)
    with store.rooted(models):
        np.testing.assert_allclose(network_of("scenes")(images), network(seed=1)(images), atol=1e-5)


def test_features_are_computed_once_and_not_in_every_epoch(dear):
    assert dear[1].loaded == ["train"]


@pytest.mark.parametrize("stored", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_networks_trained_too_are_copies_and_are_loaded_from_the_store(models, stored, tmp_path):
    scenes = str(tmp_path / "scenes.keras")
    network(seed=3).model.save(scenes)
    with store.rooted(models):
        if stored:
            scenes, model = "keras_scenes", create("models", "fully_connected", units=5)
            train_and_store(model, DATA, scenes, TWO, root=models)
        foreground = network_of("objects")
        before = [weight.numpy() for weight in foreground.model.weights]
        trained = train_and_store(
            Deployed("objects", foreground),
            DATA,
            "tuned",
            TWO,
            [create("defenses", "contextual_fusion", background=scenes, finetune=True)],
            root=models,
        )
        images, _ = arrays(DATA, "test", 8)
        tuned, again = trained.classifier, stored_network("tuned", models)
    for one, other in zip(before, foreground.model.weights, strict=True):
        assert np.array_equal(one, other.numpy())
    assert (
        sum(component.parameters for component in tuned.components()) == tuned.model.count_params()
    )
    own = tuned.features_by_stream(images)["foreground"]
    assert np.abs(own - foreground.features(images)).max() > 1e-3
    np.testing.assert_allclose(again(images), tuned(images), atol=1e-5)
    for name in ("foreground", "background"):
        np.testing.assert_allclose(
            again.members[name](images), tuned.members[name](images), atol=1e-5
        )


def test_a_fused_classifier_is_served_with_its_members_and_rebuilt(models):
    images, _ = arrays(DATA, "test", 20)
    with store.rooted(models):
        joint, served = stored_network("fused", models), store.load("fused")
        assert isinstance(joint, Streamed)
        assert joint.class_names == served.class_names == DATA.class_names
        np.testing.assert_allclose(served(images), joint(images), atol=1e-5)
        for name in ("foreground", "background"):
            logits = joint.members[name](images)
            np.testing.assert_allclose(store.load(f"fused:{name}")(images), logits, atol=1e-5)
            np.testing.assert_allclose(network_of(f"fused:{name}")(images), logits, atol=1e-5)
        card = json.loads((models / "fused/1/assets.extra/tfrobust.json").read_text())
        assert card["members"] == ["foreground", "background"]
        with pytest.raises(ClassifierError, match="shows no hidden layer"):
            store.load("fused:foreground").features(images)


@pytest.mark.parametrize(
    "now",
    [network(seed=9), pytest.param(network(units=9), marks=pytest.mark.slow), None],
    ids=["retrained", "of other units", "gone"],
)
def test_the_exported_classifier_is_used_with_a_notice_where_a_background_has_changed(
    models, tmp_path, now
):
    shutil.copytree(models, tmp_path / "other")
    shutil.rmtree(tmp_path / "other/scenes")
    if now:
        store.export(now, tmp_path / "other/scenes/1")
    images, _ = arrays(DATA, "test", 20)
    with store.rooted(tmp_path / "other"):
        classifier = network_of("fused")
        np.testing.assert_allclose(classifier(images), store.load("fused")(images), atol=1e-6)
        assert not isinstance(classifier, Streamed)
        why = (
            "fused: its background 'scenes' has changed or is gone since it was trained; put it "
            "back, or train fused again"
        )
        assert why_served(classifier) == why
        with pytest.raises(UsageError, match=f"fine_tuning: {why}"):
            check_tunable(network_of("fused:foreground"), "fine_tuning")


def test_a_foreground_that_is_gone_is_named(models, tmp_path):
    shutil.copytree(models, tmp_path / "other")
    plan = tmp_path / "other/fused.training/plan.json"
    plan.write_text(plan.read_text().replace(str(models / "objects"), "nowhere/objects"))
    (tmp_path / "other/fused.training/model.keras").unlink()
    with store.rooted(tmp_path / "other"):
        assert "fused: the network it was made of, 'nowhere/" in why_served(network_of("fused"))


def test_a_network_that_is_not_a_keras_model_is_refused_in_plain_words(models):
    with store.rooted(models):
        joint = network_of("fused")
        assert why_served(store.load("fused")) is None  # all that it needs is there
        served = described(store.load("fused:foreground"))
    drops = KerasClassifier(small_model(SHAPE, CLASSES, dropout=0.5))
    averaged = defended(drops, [create("defenses", "mc_dropout")], DATA, NONE)
    assert described(averaged) == "a network inside mc_dropout"
    assert served == "a SavedModel, which shows no layers"
    assert "a name: foreground, background" in described(joint)


def test_a_fused_classifier_is_random_only_where_two_answers_differ(models):
    """The fusion uses the mean features of an MC-dropout stream, which are not random."""
    drops = KerasClassifier(small_model(SHAPE, CLASSES, dropout=0.5))
    averaged = create("defenses", "mc_dropout", samples=3).apply(drops, DATA, NONE).classifier
    with store.rooted(models):
        joint = fused(NONE, averaged, background="scenes")
    for classifier in (joint, *joint.members.values()):
        assert (classifier.stochastic, classifier.passes) == (False, 1)
        assert not answers_differ(classifier)


def test_an_attack_through_the_joint_classifier_sees_both_streams(models):
    images, labels = arrays(DATA, "test", 20)
    attack = create("attacks", "fgsm", eps=0.2)
    with store.rooted(models):
        joint = stored_network("fused", models)
    knowing = run_attack(attack, joint, images, labels).images
    naive = run_attack(attack, joint.members["foreground"], images, labels).images
    losses = [
        keras.losses.sparse_categorical_crossentropy(labels, joint(x), from_logits=True)
        for x in (knowing, naive)
    ]
    assert tf.reduce_mean(losses[0]) > tf.reduce_mean(losses[1])


@pytest.mark.slow
def test_foreground_and_background_may_be_weights_files_of_any_classes(tmp_path):
    scenes, objects = (
        torch_files.zipped(
            tmp_path / f"{classes}.pth", random_state(resnet_shapes(18, classes, width=1 / 16))
        )
        for classes in (365, 9)
    )
    data = InMemory(shape=(16, 16, 3), classes=4, images=8)
    options = {"width": 1 / 16}
    model = create("models", "resnet18", weights=str(objects), head="new", **options)
    begun = as_built(model, data).classifier
    joint = fused(NONE, begun, data, background=str(scenes), options=options)
    assert joint.num_classes == 4
    for features in joint.features_by_stream(np.zeros((2, 16, 16, 3))).values():
        assert features.shape == (2, 32)


@pytest.mark.slow
def test_a_foreground_of_a_weights_file_is_loaded_from_the_store(tmp_path, models):
    path = torch_files.zipped(
        tmp_path / "objects.pth", random_state(resnet_shapes(18, 9, width=1 / 16))
    )
    data = InMemory(shape=(16, 16, 3), classes=4, images=8)
    options = {"width": 1 / 16, "weights": str(path), "head": "new"}
    begun = as_built(create("models", "resnet18", **options), data)
    defense = create("defenses", "contextual_fusion", background=str(path),
                     options={"width": 1 / 16})  # fmt: skip
    trained = train_and_store(begun, data, "from_files", NONE, [defense], root=models)
    images, _ = arrays(data, "test")
    again = stored_network("from_files", models, scenario=data)
    assert isinstance(again, Streamed)
    np.testing.assert_allclose(again(images), trained.classifier(images), atol=1e-4)


def test_streams_are_projected_on_the_directions_of_their_clean_features(models):
    images, _ = arrays(DATA, "test", 20)
    with store.rooted(models):
        joint = stored_network("fused", models)
    same = projected(joint, images, images)
    for name, projection in same.items():
        assert projection.moved == pytest.approx(0, abs=1e-5)
        seen = joint.features_by_stream(images)[name].numpy()
        values = np.linalg.svd(seen - seen.mean(0), compute_uv=False) ** 2
        assert projection.explained == pytest.approx(values[:2].sum() / values.sum(), abs=1e-4)
        np.testing.assert_allclose((projection.clean**2).sum(0), values[:2], rtol=1e-3)
    with pytest.raises(DataError, match="3 images or more"):
        projected(joint, images[:2], images[:2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "background: expected the network of scenes"),
        ({"background": "scnes"}, "did you mean 'scenes'"),
        ({"background": "there_is_none.pth"}, "there is no file 'there_is_none.pth'"),
        ({"background": "imagenet"}, "no such weights .*resnet18 .*architecture=resnet50"),
        ({"background": "large"}, "background: expected a network for images"),
        ({"background": "scenes", "finetune": True}, "finetune: expected Keras models"),
        ({"background": "scenes:sky"}, "scenes: has no members"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_mistakes_are_reported_before_any_training(models, options, words):
    with store.rooted(models):
        if not (models / "large").exists():
            store.export(network(shape=(8, 8, 1)), models / "large/1")
        with pytest.raises(UsageError, match=words):
            fused(**options)


@pytest.mark.parametrize("options", [{"alpha": -1}, {"background": ""}, {"background": ["a", ""]}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError):
        create("defenses", "contextual_fusion", **options)


def test_layers_of_other_networks_are_refused():
    heads = Heads({"foreground": 6, "background": 5}, 3, alpha=0.0, seed=0)
    with pytest.raises(ClassifierError, match="background: the fusion was trained for 5 features"):
        ContextualFusionOf(network(), network()).restore(network(), heads.model())


class ContextualFusionOf:
    """The defence, with streams that are given instead of loaded."""

    def __init__(self, *networks):
        self._networks = dict(zip(("foreground", "background"), networks, strict=True))

    def streams(self, classifier):
        return self._networks

    restore = ContextualFusion.restore


def test_features_of_other_images_are_refused():
    one = Features(np.zeros((3, 2), np.float32), np.array([0, 1, 2]))
    turned = Features(np.zeros((3, 4), np.float32), np.array([0, 2, 1]))
    fewer = Features(np.zeros((2, 4), np.float32), np.array([0, 1]))
    with pytest.raises(DataError, match=r"another order .* differ at image 1 \(2 and 1\)"):
        beside({"foreground": one, "background": turned})
    with pytest.raises(DataError, match=r"features of 3 images.*received: 2"):
        beside({"foreground": one, "background": fewer})
    assert beside({"foreground": one, "background": one}).values.shape == (3, 4)


def test_features_come_in_the_order_of_the_images():
    streams = {"a": network(seed=1), "b": network(seed=2)}
    images, labels = arrays(DATA, "train")
    features = features_of(streams, DATA, "train")
    for name, stream in features.items():
        np.testing.assert_array_equal(stream.labels, labels)
        np.testing.assert_allclose(stream.values, streams[name].features(images), atol=1e-5)


def test_a_member_is_named_after_a_colon(joint):
    assert split_member("runs/a:foreground") == ("runs/a", "foreground")
    assert split_member("saved_models/a/1") == ("saved_models/a/1", None)
    plain = small_classifier((8, 8, 1), 10)
    with pytest.raises(UsageError, match="d1: has no members"):
        member_of(plain, "foreground", "d1")
    with pytest.raises(UsageError, match="did you mean 'foreground'"):
        member_of(joint, "forground", "d1")


def test_predictions_do_not_depend_on_how_many_images_come_at_once(models):
    images, _ = arrays(DATA, "test", 20)
    with store.rooted(models):
        joint = stored_network("fused", models)
    np.testing.assert_allclose(predict(joint, images, 7), predict(joint, images, 20), atol=1e-5)


@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_contextual_fusion_keeps_the_contract(check, tmp_path):
    store.export(network(shape=(8, 8, 1)), tmp_path / "scenes/1")
    with store.rooted(tmp_path):
        check(create("defenses", "contextual_fusion", background="scenes"))
