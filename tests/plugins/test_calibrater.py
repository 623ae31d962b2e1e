"""The calibrater begins as the identity, learns for a frozen classifier and is stored with it."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory, small_classifier
from tfrobust import store
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions, parameters, predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.models import load_keras_file
from tfrobust.classifiers.summary import components_of, summarized_parts
from tfrobust.data.names import open_scenario
from tfrobust.data.reading import arrays
from tfrobust.engine.run import run_attack
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.pipeline.build import defended, train
from tfrobust.pipeline.deployed import Deployed
from tfrobust.pipeline.plans import TrainingPlan
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import run_training, train_and_store
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, defense_checks
from tfrobust.training.task import cross_entropy
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_calibrater.calibrated import Calibrated
from tfrobust_calibrater.calibrater import one_less_true_class
from tfrobust_calibrater.generator import Size, change, generator, merge_of, size_for
from tfrobust_calibrater.meaning import correlations, label_gradients, meaning

NOTHING = Trainer(TrainingOptions(epochs=0))


def calibrater(**options):
    return create("defenses", "calibrater", **options)


def identity(classifier, **options):
    """Return the classifier behind a calibrater that was not trained."""
    scenario = InMemory(shape=classifier.image_shape, classes=classifier.num_classes)
    return calibrater(**options).apply(classifier, scenario, NOTHING).classifier


@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "merge", ["multiply", *(pytest.param(m, marks=pytest.mark.slow) for m in ("add", "factor"))]
)
def test_the_calibrater_keeps_the_contract(check, merge):
    check(calibrater(merge=merge))


@pytest.mark.parametrize("merge", ["multiply", "add"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (13, 30, 3), (1, 1, 2)], ids=str)
def test_an_untrained_calibrater_is_the_identity_on_images_of_any_size(shape, merge):
    images = tf.random.stateless_uniform((3, *shape), (1, 2))
    model = generator(shape, Size(base=2, channels=3, blocks=1), merge, seed=0)
    for training in (False, True):
        assert np.array_equal(model(images, training=training), images)


def test_the_papers_factor_multiplies_cuts_nothing_and_begins_at_random():
    images = tf.random.stateless_uniform((3, 8, 8, 1), (1, 2))
    model = generator((8, 8, 1), Size(2, 3, 1), "factor", seed=0)
    perturbation = model.get_layer("perturbation")
    factor = keras.Model(model.input, perturbation.output)(images, training=True).numpy()
    assert factor.std() > 0.1
    assert np.array_equal(model(images, training=True), images * factor)
    perturbation.kernel.assign(np.zeros(perturbation.kernel.shape))
    perturbation.bias.assign([3.0])
    assert np.array_equal(model(images), 3 * images)  # beyond 1
    with pytest.raises(ValueError, match="No such layer"):
        model.get_layer("factor")


@pytest.mark.parametrize("merge", ["multiply", "add", "factor"])
def test_the_change_alone_is_what_is_added_or_the_factor_less_one(merge):
    model = generator((8, 8, 1), Size(2, 3, 1), merge, seed=0)
    perturbation = model.get_layer("perturbation")
    perturbation.kernel.assign(np.zeros(perturbation.kernel.shape))
    perturbation.bias.assign([1.25 if merge == "factor" else 0.25])
    assert merge_of(model) == merge
    changes = change(model)(np.full((2, 8, 8, 1), 0.5, np.float32))
    assert np.allclose(changes, 0.25)


def test_the_paddings_zeros_do_not_show_in_images_that_need_none():
    """Images of 16 and of 13 pixels a side pass the same convolutions."""
    model = generator((13, 13, 1), Size(base=2, channels=3, blocks=1), "add", seed=0)
    model.get_layer("perturbation").kernel.assign(np.full((3, 3, 1, 2), 0.1))
    images = model(tf.fill((1, 13, 13, 1), 0.5)).numpy()
    assert images.shape == (1, 13, 13, 1)
    assert 0 <= images.min() <= images.max() <= 1
    assert not np.allclose(images, 0.5)


@pytest.mark.parametrize("size", [Size(1, 1, 1), Size(4, 9, 3), Size(32, 18, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_number_of_parameters_is_right(size, channels):
    model = generator((16, 16, channels), size, "multiply", seed=0)
    assert model.count_params() == size.parameters(channels)


@pytest.mark.parametrize("wanted", [500, 2_000, 20_000, 320_000, 1_120_000, 14_700_000])
def test_a_size_is_chosen_that_comes_near_and_does_not_exceed(wanted):
    size = size_for(wanted, 3)
    assert 0.75 * wanted <= size.parameters(3) <= wanted
    assert size.channels <= 4 * size.base


def test_a_tenth_of_the_classifier_is_the_default():
    lenet = KerasClassifier(create("models", "lenet").build((28, 28, 1), 10))
    calibrated = identity(lenet)
    assert parameters(lenet) == lenet.model.count_params()
    assert 0.075 <= calibrated.model.count_params() / parameters(lenet) <= 0.1
    assert calibrater(channels=5, blocks=3).size(lenet) == Size(
        base=calibrater().size(lenet).base, channels=5, blocks=3
    )


def test_the_loss_of_the_paper_is_one_less_the_true_classs_probability():
    logits = tf.math.log([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]])
    losses = one_less_true_class(tf.constant([1, 0], tf.int64), logits)
    assert np.allclose(losses, [0.5, 0.1], atol=1e-6)


@pytest.fixture(
    scope="module", params=["shifted once", pytest.param("new shifts", marks=pytest.mark.slow)]
)
def bright(request, tmp_path_factory):
    """A network with batch normalisation that reads digits, digits under b2, and a calibrater.

    The second is the calibrater's way to train: each epoch draws new shifts.
    """
    if request.param == "new shifts":
        scenario, trainer = create("scenarios", "digits"), Trainer(TrainingOptions(epochs=6))
        network = train(create("models", "resnet", width=4), scenario, trainer)
        return network, open_scenario("digits+b2"), 12, {"size_ratio": 2}
    scene, file = open_scenario("digits+b2"), tmp_path_factory.mktemp("b2") / "digits.npz"
    shifted = {split: arrays(scene, split) for split in ("train", "test")}
    named = {f"{split}_images": images for split, (images, _) in shifted.items()}
    np.savez(file, **named, **{f"{split}_labels": labels for split, (_, labels) in shifted.items()})
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(8, 3, 2, use_bias=False),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.ReLU(),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
    network = KerasClassifier(keras.Sequential([keras.Input((8, 8, 1)), *layers]))
    trainer = Trainer(TrainingOptions(epochs=6, learning_rate=1e-2))
    trainer.fit(network, create("scenarios", "digits"))
    scene = create("scenarios", "arrays", path=file)
    return network, scene, 6, {"base": 8, "channels": 4, "blocks": 1}


@pytest.mark.parametrize(
    "loss", ["true_class", pytest.param("cross_entropy", marks=pytest.mark.slow)]
)
def test_the_calibrater_raises_accuracy_on_the_scene_and_changes_no_weight_of_the_classifier(
    loss, bright
):
    network, scene, epochs, size = bright
    before = [weight.copy() for weight in network.model.get_weights()]
    images, labels = arrays(scene, "test")
    bare = (clean_predictions(network, images) == labels).mean()
    trainer = Trainer(TrainingOptions(epochs=epochs))
    defense = calibrater(loss=loss, learning_rate=1e-2, **size)
    calibrated = defense.apply(network, scene, trainer).classifier
    assert (clean_predictions(calibrated, images) == labels).mean() > bare + 0.05
    for weight, old in zip(network.model.get_weights(), before, strict=True):
        assert np.array_equal(weight, old)


@pytest.mark.slow
def test_scene_and_training_of_the_calibrater_are_options(bright):
    network, *_ = bright
    seen = []
    trainer = Trainer(
        TrainingOptions(epochs=50, target=0.1), report=lambda what, *_: seen.append(what)
    )
    digits = create("scenarios", "digits")
    same = calibrater(shift="b2", epochs=2).apply(network, digits, trainer).classifier
    assert dict.fromkeys(seen) == {"epoch 1/2": None, "epoch 2/2": None}
    scene = open_scenario("digits+b2")
    trainer = Trainer(TrainingOptions(epochs=50))
    other = calibrater(epochs=2).apply(network, scene, trainer).classifier
    for one, two in zip(same.model.get_weights(), other.model.get_weights(), strict=True):
        assert np.array_equal(one, two)


@pytest.mark.slow
def test_a_calibrater_learns_for_a_saved_model_and_for_a_larq_network(tmp_path):
    digits = open_scenario("digits+b2")
    larq = KerasClassifier(create("models", "lenet_bnn").build((8, 8, 1), 10))
    folder = store.export(larq, tmp_path / "larq" / "1")
    loaded = store.load(folder)
    assert parameters(loaded) == parameters(larq)
    for classifier in (larq, loaded):
        calibrated = calibrater(epochs=1).apply(classifier, digits, NOTHING).classifier
        moved = calibrated.model.get_layer("perturbation").kernel.numpy()
        assert np.abs(moved).max() > 0


def test_an_attack_goes_through_the_calibrater():
    """Before training, the perturbation is that of the classifier alone."""
    linear = LinearClassifier((8, 8, 1), 2)
    calibrated = identity(linear)
    images = np.random.default_rng(0).uniform(0.3, 0.7, (4, 8, 8, 1)).astype(np.float32)
    labels = clean_predictions(linear, images)
    attack = create("attacks", "fgsm", eps=0.1)
    through, bare = (
        run_attack(attack, classifier, images, labels).images for classifier in (calibrated, linear)
    )
    assert np.array_equal(through, bare)
    with tf.GradientTape() as tape:
        watched = tf.constant(images)
        tape.watch(watched)
        total = tf.reduce_sum(calibrated(watched))
    assert np.abs(tape.gradient(total, watched)).max() > 0


def test_a_served_calibrater_outputs_the_calibrated_images_too(tmp_path):
    calibrated = identity(small_classifier((8, 8, 1)))
    calibrated.model.get_layer("perturbation").bias.assign([0.25])
    served = store.load(store.export(calibrated, tmp_path / "1"))
    images = tf.random.stateless_uniform((3, 8, 8, 1), (1, 2))
    outputs = served.outputs(images)
    assert np.allclose(outputs["calibrated"], np.minimum(images * 1.25, 1), atol=1e-6)
    assert np.allclose(outputs["logits"], calibrated.inner(outputs["calibrated"]), atol=1e-5)


@pytest.mark.slow
def test_a_calibrater_trained_with_its_network_is_stored_and_loaded_without_training(tmp_path):
    trained = train_and_store(
        create("models", "lenet", width=1), create("scenarios", "digits"), "m",
        Trainer(TrainingOptions(epochs=1)), [calibrater(epochs=1, shift="b2")], root=tmp_path,
    )  # fmt: skip
    network, images = loaded_as_trained(tmp_path, "m", trained)
    assert np.array_equal(predict(network, images), predict(trained.classifier, images))


def loaded_as_trained(root, name, trained):
    """Return a stored calibrater with its network, checked, and images for it."""
    network = stored_network(name, root)
    assert isinstance(network, Calibrated)
    counts = [network.model.count_params(), parameters(network.inner)]
    assert [component.parameters for component in components_of(network)] == counts
    assert [row[0] for row in summarized_parts(network, name).rows] == [
        "calibrater", "network", "sum",
    ]  # fmt: skip
    assert summarized_parts(network.inner, name) is None
    assert network.defenses == trained.classifier.defenses
    images, _ = arrays(create("scenarios", "digits"), "test", 9)
    alone = load_keras_file(root / f"{name}.training/learned-1.keras")
    assert np.array_equal(alone(images), network.before(images))
    return network, images


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    """A store with the network `m` and `m-b2`, the same calibrated; what `m` was before."""
    root, quick = tmp_path_factory.mktemp("models"), Trainer(TrainingOptions(epochs=1))
    model = create("models", "fully_connected", units=4)
    trained = train_and_store(model, create("scenarios", "digits"), "m", NOTHING, root=root)
    files = {p: p.read_bytes() for p in (root / "m").rglob("*") if p.is_file()}
    deployed = Deployed("m", store.load("m", root=root))
    shifted = open_scenario("digits+b2")
    defense = calibrater(size_ratio=2, merge="add")
    plan = TrainingPlan(deployed, shifted, [defense], scenario_name="digits+b2")
    return root, trained, files, deployed, run_training(plan, "m-b2", quick, root=root)


@pytest.mark.slow
def test_a_deployed_classifier_gets_a_calibrater_and_does_not_change(deployment):
    root, trained, files, deployed, with_calibrater = deployment
    scenario = create("scenarios", "digits")
    assert {p: p.read_bytes() for p in (root / "m").rglob("*") if p.is_file()} == files
    assert with_calibrater.card.model["deployed"] == str(trained.folder)
    assert with_calibrater.card.model["name"] == "fully_connected"
    assert [defense.name for defense in with_calibrater.card.defenses] == ["calibrater"]
    assert (root / "m-b2.training/learned-1.keras").exists()
    with pytest.raises(UsageError, match="only: mc_dropout trains nothing; expected a defence"):
        train(deployed, scenario, NOTHING, [create("defenses", "mc_dropout", rate=0.5)])
    with pytest.raises(UsageError, match="only: pgd_training trains the classifier from the begi"):
        train(deployed, scenario, NOTHING, [create("defenses", "pgd_training")])
    with pytest.raises(ClassifierError, match=r"m does not fit the scenario: images"):
        train(deployed, InMemory(), NOTHING, [calibrater()])


def test_the_papers_factor_is_used_backwards_without_a_cut():
    bare = small_classifier((8, 8, 1))
    backwards = identity(bare, use="backwards", merge="factor")
    perturbation = backwards.model.get_layer("perturbation")
    perturbation.kernel.assign(np.zeros(perturbation.kernel.shape))
    perturbation.bias.assign([2.5])  # 1.5 more than nothing
    images = tf.random.stateless_uniform((3, 8, 8, 1), (1, 2))
    assert np.allclose(backwards.before(images), -0.5 * images, atol=1e-6)


def test_a_perturbation_that_draws_the_class_is_read_and_focused():
    """The classifier looks at one half of the image for each class, and so does the calibrater."""
    images = np.zeros((2, 8, 16, 1), np.float32)
    images[0, :, :8], images[1, :, 8:] = 1, 1  # the half that is bright says the class

    def classify(x):
        halves = [tf.reduce_mean(x[:, :, :8], (1, 2, 3)), tf.reduce_mean(x[:, :, 8:], (1, 2, 3))]
        return tf.stack(halves, axis=1)

    halves = Function(classify, images.shape[1:], 2)
    gradients = label_gradients(halves, images, np.array([0, 1]))
    assert np.allclose(gradients, images / 64)
    model = generator((8, 16, 1), Size(1, 1, 1), "factor", seed=0)
    draws = keras.Model(model.input, keras.layers.Multiply(name="calibrated")([model.input] * 2))
    means = meaning(halves, draws, images, [0, 1])  # its factor is the image itself
    assert means["reading"] == 1
    assert means["focus"] == pytest.approx(-1)  # it leaves alone what is bright
    assert meaning(halves, draws, images, [1, 0]) == {
        "reading": 0, "focus": pytest.approx(1),
    }  # fmt: skip


class Function(Classifier):
    """A function of images."""

    def __init__(self, function, shape, classes):
        super().__init__(image_shape=shape, num_classes=classes, differentiable=True)
        self._function = function

    def __call__(self, images):
        return self._function(images)


def test_correlations_are_numpys_and_those_with_a_constant_map_are_zero():
    maps, others = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    others[2] = 0.1
    expected = [np.corrcoef(maps[k].ravel(), others[k].ravel())[0, 1] for k in (0, 1)]
    assert np.allclose(correlations(maps, others), [*expected, 0])


def test_what_the_perturbation_means_is_measured_on_test_images_where_it_is_asked_for():
    linear, scenario = LinearClassifier((8, 8, 1), 3), InMemory(shape=(8, 8, 1))
    found = calibrater(meaning_images=7).apply(linear, scenario, NOTHING).found
    assert found == {"reading": pytest.approx(0.3, abs=0.3), "focus": 0}  # nothing is changed yet
    assert calibrater().apply(linear, scenario, NOTHING).found == {}


def test_backwards_use_subtracts_what_forwards_use_adds():
    bare = small_classifier((8, 8, 1))
    forwards, backwards = identity(bare), identity(bare, use="backwards")
    for calibrated in (forwards, backwards):
        calibrated.model.get_layer("perturbation").bias.assign([0.25])
    images = tf.random.stateless_uniform((3, 8, 8, 1), (1, 2))  # some grow beyond 1 and are clipped
    assert np.allclose(forwards.before(images), np.minimum(1.25 * images, 1), atol=1e-6)
    assert np.allclose(backwards.before(images), 0.75 * images, atol=1e-6)
    assert np.allclose(backwards(images), bare(0.75 * images), atol=1e-5)


def test_a_perceptron_that_is_too_sure_of_itself_stalls_the_papers_loss():
    """The gradient of this loss vanishes with the probability of the true class."""
    sure = LinearClassifier((1, 1, 2), 2)
    images = tf.constant([[[[0.4, 0.6]]]])
    slopes = {}
    for loss in (one_less_true_class, cross_entropy):
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = 1e3 * sure(images)
            wrong = tf.argmin(logits, axis=1)
            value = tf.reduce_sum(loss(wrong, logits))
        slopes[loss] = float(tf.norm(tape.gradient(value, images)))
    assert slopes[one_less_true_class] < 1e-6 * slopes[cross_entropy]


def test_a_trained_calibrater_is_stored_and_loaded_without_training(deployment):
    root, _, _, _, with_calibrater = deployment
    network, images = loaded_as_trained(root, "m-b2", with_calibrater)
    expected = predict(with_calibrater.classifier, images)  # around the SavedModel it was made for
    np.testing.assert_allclose(predict(network, images), expected, atol=1e-6)


@pytest.mark.slow
def test_after_another_deployment_the_exported_classifier_answers(deployment, tmp_path):
    root, _, _, _, with_calibrater = deployment
    images, _ = arrays(create("scenarios", "digits"), "test", 20)
    shutil.copytree(root, tmp_path / "models")
    plan = tmp_path / "models/m-b2.training/plan.json"
    plan.write_text(plan.read_text().replace(str(root), str(tmp_path / "models")))
    assert isinstance(stored_network("m-b2", tmp_path / "models"), Calibrated)
    shutil.rmtree(tmp_path / "models/m")
    model = create("models", "fully_connected", units=5).build((8, 8, 1), 10)
    store.export(KerasClassifier(model), tmp_path / "models/m/1")
    again = stored_network("m-b2", tmp_path / "models")
    assert not isinstance(again, Calibrated)
    assert np.allclose(again(images), with_calibrater.classifier(images), atol=1e-4)


@pytest.mark.slow
@pytest.mark.slow
def test_two_seeds_give_two_calibraters_and_one_seed_gives_one():
    linear = LinearClassifier((8, 8, 1), 3)
    scenario = InMemory(shape=(8, 8, 1))

    def weights(seed):
        options = TrainingOptions(epochs=1, seed=seed, batch_size=16)
        calibrated = calibrater().apply(linear, scenario, Trainer(options)).classifier
        return np.concatenate([weight.ravel() for weight in calibrated.model.get_weights()])

    assert np.array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


class Steps(Classifier):
    """A classifier without gradients."""

    def __init__(self):
        super().__init__(image_shape=(8, 8, 1), num_classes=3, differentiable=False)

    def __call__(self, images):
        return tf.one_hot(tf.cast(images[:, 0, 0, 0] * 2, tf.int32), 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size_ratio": 0}, "size_ratio: .*greater than 0"),
        ({"size_ratio": 10.1}, "size_ratio: .*less than or equal to 10"),
        ({"merge": "concatenate"}, "merge: .*'multiply', 'add' or 'factor'"),
        ({"blocks": 0}, "blocks"),
        ({"channels": 0}, "channels"),
    ],
)
def test_options_out_of_range_cost_one_line(options, words):
    with pytest.raises(UsageError, match=words) as refusal:
        calibrater(**options)
    assert "\n" not in str(refusal.value)


def test_classifiers_without_gradients_and_unknown_shifts_are_refused_before_training():
    scenario = InMemory(shape=(8, 8, 1))
    with pytest.raises(UsageError, match="expected a classifier with gradients"):
        defended(Steps(), [calibrater()], scenario, NOTHING)
    with pytest.raises(UsageError, match="no plugin shifts/b3; did you mean 'b"):
        calibrater(shift="b3").check(small_classifier((8, 8, 1)), scenario)


def test_a_calibrater_for_other_images_is_refused():
    model = generator((8, 8, 3), Size(1, 1, 1), "add", seed=0)
    complaint = r"trained for images \(8, 8, 3\); the classifier takes \(8, 8, 1\)"
    with pytest.raises(ClassifierError, match=complaint):
        calibrater().restore(small_classifier((8, 8, 1)), model)
