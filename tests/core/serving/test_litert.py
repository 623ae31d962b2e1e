"""LiteRT files give the same answers in float32 and similar ones in 8 bits, or one error line."""

import json

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory, small_classifier
from tfrobust import store
from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import arrays
from tfrobust.errors import ClassifierError, StoreError, UsageError
from tfrobust.pipeline.build import recorded
from tfrobust.registry import create
from tfrobust.serving.litert import LiteModel, lite
from tfrobust.serving.litert_export import FILE, export_lite, lite_file
from tfrobust.serving.servable import export_servable, separated, whole
from tfrobust.testing import LinearClassifier
from tfrobust.training.trainer import Trainer, TrainingOptions

pytestmark = pytest.mark.usefixtures("grappler")  # optimise exports, as serving does

IMAGES = np.random.default_rng(3).uniform(size=(50, 8, 8, 1)).astype(np.float32)


class Inverting(Classifier):
    """Needs an operation that LiteRT lacks."""

    def __init__(self):
        super().__init__(image_shape=(4, 4, 1), num_classes=4)

    def __call__(self, images):
        return tf.linalg.inv(images[..., 0] + 5 * tf.eye(4))[:, 0]


@pytest.fixture(scope="module")
def calibrated():
    """A convolutional network of the digits behind a calibrater that bends images."""
    classifier = KerasClassifier(create("models", "lenet").build((8, 8, 1), 10))
    head = classifier.model.layers[-1]
    head.bias.assign(-np.asarray(classifier(IMAGES)).mean(axis=0))  # so that answers differ
    defense = create("defenses", "calibrater", size_ratio=1, channels=4, blocks=1)
    scenario = InMemory(shape=(8, 8, 1), classes=10)
    defended = defense.apply(classifier, scenario, Trainer(TrainingOptions(epochs=0)))
    kernel = defended.classifier.model.get_layer("perturbation").kernel
    kernel.assign(np.random.default_rng(0).normal(0, 0.3, kernel.shape))
    return recorded(defense, classifier, defended)


def test_a_float_file_answers_as_the_classifier_whatever_the_batch():
    classifier = LinearClassifier((8, 8, 1), 3)
    model = LiteModel(lite_file(whole(classifier)))
    for count in (1, 50, 7):
        np.testing.assert_allclose(model(IMAGES[:count]), classifier(IMAGES[:count]), atol=1e-5)


def test_a_calibrater_gives_the_same_images_alone_and_before_the_classifier(calibrated, tmp_path):
    part = separated(calibrated, "calibrater")
    shown = np.asarray(calibrated.before(IMAGES))
    assert not np.allclose(shown, IMAGES, atol=0.05)
    np.testing.assert_allclose(part(IMAGES), shown, atol=1e-6)
    served = tf.saved_model.load(str(export_servable(part, tmp_path / "1")))
    outputs = served.signatures["serving_default"](images=tf.constant(IMAGES))
    assert set(outputs) == {"calibrated"}
    np.testing.assert_allclose(outputs["calibrated"], shown, atol=1e-6)
    card = json.loads((tmp_path / "1/assets.extra/tfrobust.json").read_text())
    assert [defense["name"] for defense in card["defenses"]] == ["calibrater"]
    size = sum(path.stat().st_size for path in (tmp_path / "1/variables").iterdir())
    assert size < 4 * 1.5 * calibrated.model.count_params() + 10_000  # no classifier in it


def test_eight_bits_need_less_than_half_the_size_and_err_by_a_few_hundredths(calibrated):
    part = separated(calibrated, "calibrater")
    exact, small = (LiteModel(lite_file(part, samples)) for samples in (None, IMAGES))
    np.testing.assert_allclose(exact(IMAGES), calibrated.before(IMAGES), atol=1e-5)
    away = np.abs(small(IMAGES) - exact(IMAGES))
    assert 0 < away.mean() < 0.03
    large = LiteModel(lite_file(whole(calibrated.inner), IMAGES))
    logits = np.asarray(calibrated.inner(IMAGES))
    assert large.megabytes < 0.5 * 4 * calibrated.inner.model.count_params() / 1e6
    assert (large(IMAGES).argmax(1) == logits.argmax(1)).mean() > 0.8


def test_both_formats_are_compared_with_the_bare_classifier_and_one_is_written(
    calibrated, tmp_path
):
    images, labels = arrays(InMemory(shape=(8, 8, 1), classes=10), "test")
    part = separated(calibrated, "calibrater")
    exports = export_lite(
        part, tmp_path / "1", quantize="int8", samples=images, tested=[(images, labels)]
    )
    bare, exact, small = exports
    assert [export.name for export in exports] == ["none", "float32", "int8"]
    assert bare.megabytes is None
    file = tmp_path / "1" / FILE
    in_8_bits = LiteModel(file.read_bytes())(images)
    logits = {
        "none": calibrated.inner(images),
        "float32": calibrated(images),
        "int8": calibrated.inner(in_8_bits),
    }
    for export in exports:
        right = (np.asarray(logits[export.name]).argmax(1) == labels).mean()
        assert export.accuracy == pytest.approx(right), export.name
    assert not np.array_equal(in_8_bits, calibrated.before(images))
    assert (np.argmax(logits["int8"], 1) != np.argmax(logits["none"], 1)).any()
    assert file.stat().st_size / 1e6 == small.megabytes < exact.megabytes
    assert LiteModel(file.read_bytes())(images).shape == images.shape
    with pytest.raises(StoreError, match="exists already"):
        export_lite(part, tmp_path / "1")


def test_without_images_only_the_size_is_measured(calibrated, tmp_path):
    (export,) = export_lite(whole(calibrated), tmp_path / "1")
    assert (export.name, export.accuracy) == ("float32", None)
    with pytest.raises(UsageError, match="quantize: expected a scenario"):
        export_lite(whole(calibrated), tmp_path / "2", quantize="int8")
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize("samples", [None, IMAGES[:, :4, :4]])
def test_an_operation_that_litert_lacks_costs_one_line_and_leaves_nothing(samples, tmp_path, capfd):
    with pytest.raises(ClassifierError, match=r"LiteRT has no kernel .* MatrixInverse\); "):
        export_lite(
            whole(Inverting()), tmp_path / "1", samples=samples,
            quantize=None if samples is None else "int8",
        )  # fmt: skip
    assert not any(tmp_path.iterdir())
    assert "MatrixInverse" not in capfd.readouterr().err


def test_dropout_at_inference_is_refused_by_the_operations_it_needs():
    """Its random numbers are integers of a kind that LiteRT neither draws nor computes with."""
    defense = create("defenses", "mc_dropout", samples=2)
    drawing = defense.apply(small_classifier(dropout=0.5), InMemory(), Trainer()).classifier
    with pytest.raises(ClassifierError, match=r"no kernel of these types for .*StatelessRandom"):
        lite_file(whole(drawing))


def test_all_versions_in_a_folder_are_of_the_same_kind(calibrated, tmp_path):
    part, complete = separated(calibrated, "calibrater"), LinearClassifier((8, 8, 1), 3)
    export_servable(part, tmp_path / "a" / "1")
    store.export(complete, tmp_path / "b" / "1")
    export_lite(part, tmp_path / "c" / "1")
    export_servable(part, tmp_path / "a" / "2")
    export_lite(part, tmp_path / "c" / "2")
    for wrong in (
        lambda: export_lite(part, tmp_path / "a" / "3"),
        lambda: store.export(complete, tmp_path / "a" / "3"),
        lambda: export_servable(part, tmp_path / "b" / "3"),
        lambda: store.export(complete, tmp_path / "c" / "3"),
        lambda: export_lite(whole(complete), tmp_path / "c" / "3"),
    ):
        with pytest.raises(StoreError, match=r"no version of the same kind; choose a folder"):
            wrong()
    assert not list(tmp_path.glob("*/3"))


def test_a_folder_that_is_no_saved_model_costs_one_line(tmp_path):
    with pytest.raises(ClassifierError, match="cannot be turned into a TFLite file"):
        lite(tmp_path)


def test_only_a_part_before_the_classifier_can_be_separated(calibrated):
    with pytest.raises(UsageError, match=r"received: 'calibrater' of one with defences: none"):
        separated(small_classifier(), "calibrater")
    with pytest.raises(UsageError, match=r"'mc_dropout' of one with defences: "):
        separated(calibrated, "mc_dropout")
