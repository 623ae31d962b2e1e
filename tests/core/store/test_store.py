"""The model store: what it serves, and what it refuses to load."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.support import small_classifier
from tfrobust import store
from tfrobust.engine.run import run_attack
from tfrobust.errors import ClassifierError, StoreError, UsageError
from tfrobust.registry import create

SHAPE = (4, 4, 1)
generations = pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras3", "tf_keras"])


@pytest.fixture
def exported(tmp_path):
    """A classifier and the version folder it was exported to."""
    classifier = small_classifier(SHAPE)
    return classifier, store.export(classifier, tmp_path / "saved_models" / "d1" / "1")


@generations
def test_a_loaded_classifier_gives_the_logits_of_the_exported_one(kind, tmp_path):
    classifier = small_classifier(SHAPE, kind=kind, dropout=0.3)
    loaded = store.load(store.export(classifier, tmp_path / "m" / "1"))
    for count in (1, 5):
        images = tf.random.stateless_uniform((count, *SHAPE), (0, count))
        assert np.allclose(loaded(images), classifier(images), atol=1e-6)
        assert set(loaded.outputs(images)) == {"logits", "probabilities"}
    assert (loaded.image_shape, loaded.num_classes) == (SHAPE, 3)


def test_a_loaded_classifier_can_be_exported_again(exported, tmp_path):
    classifier, folder = exported
    again = store.load(store.export(store.load(folder), tmp_path / "again" / "1"))
    images = tf.random.stateless_uniform((5, *SHAPE), (0, 0))
    assert np.allclose(again(images), classifier(images), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [("fgsm", {}), ("pgd", {"steps": 10}), ("pgd", {"steps": 10, "norm": "l2", "eps": 0.5})],
)
def test_the_served_artifact_attacked_white_box_gives_the_same_adversarial_images(
    name, options, trained, test_images, tmp_path
):
    served = store.load(store.export(trained, tmp_path / "m" / "1"))
    attack = create("attacks", name, **options)
    from_keras, from_served = (
        run_attack(attack, classifier, *test_images).images for classifier in (trained, served)
    )
    assert np.abs(from_keras - from_served).max() <= 1e-6
    assert np.abs(from_keras - test_images[0]).max() > 0.01


def test_the_card_holds_the_traits_of_the_classifier(exported):
    classifier, folder = exported
    written = json.loads((folder / "assets.extra" / "tfrobust.json").read_text())
    assert written["image_shape"] == [4, 4, 1]
    assert written["class_names"] == ["0", "1", "2"]
    card = store.card_of(classifier, scenario="digits", seed=3, clean_accuracy=0.5)
    store.export(classifier, folder.parent / "2", card=card)
    assert store.read_card(folder.parent / "2") == card


def test_the_newest_version_is_loaded_by_name(exported):
    classifier, folder = exported
    root = folder.parent.parent
    assert store.next_version(folder.parent).name == "2"
    other = small_classifier(SHAPE)
    other.model.set_weights([weight * 2 for weight in classifier.model.get_weights()])
    store.export(other, root / "d1" / "10")
    images = tf.ones((1, *SHAPE))
    assert np.allclose(store.load("d1", root=root)(images), other(images), atol=1e-6)
    assert np.allclose(store.load("d1/1", root=root)(images), classifier(images), atol=1e-6)
    assert (store.versions(root / "d1"), store.stored(root)) == ([1, 10], ["d1"])


def test_the_page_that_explains_the_store_is_no_classifier(exported, repo):
    root = exported[1].parent.parent
    (root / "README.md").write_text((repo / "saved_models/README.md").read_text())
    assert store.stored(root) == ["d1"]
    with pytest.raises(UsageError, match=r"no classifier 'README' .*\(there are: d1;"):
        store.load("README", root=root)
    with pytest.raises(UsageError, match=r"README\.md: expected a \.keras or \.h5 file"):
        store.load("README.md", root=root)


def test_export_never_overwrites(exported):
    classifier, folder = exported
    before = (folder / "saved_model.pb").read_bytes()
    with pytest.raises(StoreError, match=r"exists already and is never overwritten"):
        store.export(classifier, folder)
    assert (folder / "saved_model.pb").read_bytes() == before


@pytest.mark.parametrize(
    "failure",
    [OSError(28, "No space left on device"), tf.errors.ResourceExhaustedError(None, None, "full")],
)
def test_nothing_half_written_stays_when_saving_fails(failure, tmp_path, monkeypatch):
    save = tf.saved_model.save

    def half(*args):
        save(*args)
        raise failure

    monkeypatch.setattr(tf.saved_model, "save", half)
    with pytest.raises(StoreError, match=r"cannot write .*m/1"):
        store.export(small_classifier(SHAPE), tmp_path / "m" / "1")
    assert not any((tmp_path / "m").iterdir())


def test_a_forbidden_folder_costs_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write .*file/m/1: Not a directory"):
        store.export(small_classifier(SHAPE), tmp_path / "file" / "m" / "1")


def foreign(
    tmp_path, answer, *, signature="serving_default", shape=(None, *SHAPE), dtype=tf.float32
):
    """Save a model without a card, as other tools do."""
    module = tf.Module()
    module.weights = tf.Variable(np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32))
    spec = tf.TensorSpec(shape, dtype, name="x")

    @tf.function(input_signature=[spec], autograph=False)
    def call(x):
        return answer(tf.reshape(tf.cast(x, tf.float32), (-1, 16)) @ module.weights)

    module.call = call
    tf.saved_model.save(module, str(tmp_path), {signature: call})
    return tmp_path


@pytest.mark.parametrize("name", ["logits", "output_0"])
def test_a_foreign_saved_model_without_a_card_is_a_classifier(tmp_path, name):
    folder = foreign(tmp_path, lambda logits: {name: logits})
    loaded = store.load(folder)
    assert (loaded.image_shape, loaded.num_classes) == (SHAPE, 3)
    assert loaded.class_names == ("0", "1", "2")
    images = np.full((2, *SHAPE), 0.5, np.float32)
    crafted = run_attack(create("attacks", "fgsm"), loaded, images, np.zeros(2, np.int64))
    assert np.abs(crafted.images - images).max() == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        ({"answer": lambda z: z[0]}, "expected an output 'logits'"),
        ({"answer": lambda z: z, "shape": (None, 16)}, "expected one float32 input"),
        ({"answer": lambda z: z * float("nan")}, "NaN or infinity"),
    ],
)
def test_a_saved_model_that_serves_something_else_is_refused(tmp_path, make, complaint):
    with pytest.raises(ClassifierError, match=complaint):
        store.load(foreign(tmp_path, **make))


@pytest.mark.parametrize(
    "damage",
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"],
)
@pytest.mark.parametrize("keep", [0, 0.5])
def test_a_truncated_saved_model_is_refused_in_one_line(exported, damage, keep):
    _, folder = exported
    path = folder / damage
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(ClassifierError, match=r"not a readable SavedModel") as refusal:
        store.load(folder)
    assert "\n" not in str(refusal.value)


def test_a_damaged_card_is_refused(exported):
    _, folder = exported
    (folder / store.CARD).write_text("{")
    with pytest.raises(StoreError, match=r"the card cannot be read"):
        store.load(folder)


def test_an_unknown_name_names_the_nearest(exported):
    root = exported[1].parent.parent
    with pytest.raises(UsageError, match=r"no classifier 'd2' .*did you mean 'd1'"):
        store.load("d2", root=root)
    (root / "empty").mkdir()
    with pytest.raises(ClassifierError, match=r"holds no saved_model.pb"):
        store.load(root / "empty", root=root)


def test_other_files_and_addresses_are_refused(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"expected a .keras or .h5 file, or a SavedModel folder"):
        store.load(tmp_path / "m.tflite")
    (tmp_path / "m.h5").write_bytes(b"x")
    with pytest.raises(ClassifierError, match=r"m.h5: not a readable .h5 file"):
        store.load(tmp_path / "m.h5")
    with pytest.raises(UsageError, match=r"an endpoint has no files"):
        store.locate("http://localhost:8501/v1/models/m")
