"""Picture files and 8-bit pixels are answered as the images that the training read from them."""

import io
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.support import InMemory, small_classifier, small_model
from tfrobust import store
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.names import open_scenario
from tfrobust.data.reading import arrays
from tfrobust.engine import run_attack
from tfrobust.errors import UsageError
from tfrobust.preparation import plain_preparation
from tfrobust.registry import create
from tfrobust.serving import ExportSettings, export
from tfrobust.serving.decoding import decoded
from tfrobust.serving.signatures import more_signatures
from tfrobust.serving.warmup import signatures_of
from tfrobust.store.cards import LABELS, read_card

HEIGHT, WIDTH = 6, 5


def mirror(channels):
    """Return a network whose logits are the pixels."""
    size = HEIGHT * WIDTH * channels
    layers = [
        keras.Input((HEIGHT, WIDTH, channels)),
        keras.layers.Flatten(),
        keras.layers.Dense(size, kernel_initializer="identity"),
    ]
    return KerasClassifier(keras.Sequential(layers))


def written(folder, images):
    """Write each picture as a class of its own; return the contents of the files in that order."""
    files = []
    for number, (image, suffix, options) in enumerate(images):
        place = folder / f"{number:02}" / f"it{suffix}"
        place.parent.mkdir(parents=True)
        image.save(place, **options)
        files.append(place.read_bytes())
    return files


def pictures():
    """Return grey, colour and transparent pictures of several sizes, JPEG and PNG."""
    draw = np.random.default_rng(0)
    colours = Image.fromarray(draw.integers(0, 256, (13, 9, 3), np.uint8))
    smooth = colours.resize((40, 31), Image.Resampling.BICUBIC)
    deep = Image.fromarray(draw.integers(0, 2**16, (7, 8), np.uint16))
    turned = [Image.Exif() for _ in range(9)]
    for orientation, exif in enumerate(turned):
        exif[0x010F] = "a camera"
        exif[0x0112] = orientation
    pngs = [colours, colours.convert("L"), colours.convert("RGBA"), colours.convert("LA"), deep]
    pngs += [colours.convert("P", palette=Image.Palette.ADAPTIVE), smooth.resize((WIDTH, HEIGHT))]
    return [
        *((image, ".png", {}) for image in pngs),
        (smooth, ".jpg", {"quality": 90}),
        (smooth.convert("L"), ".jpg", {}),
        *((smooth, ".jpg", {"exif": exif}) for exif in turned),
    ]


def signatures(folder, data, classifier, *inputs, classify=()):
    """Export a classifier with further signatures, and return all there are."""
    more = more_signatures(inputs, data.preparation, classifier.image_shape, classify)
    path = store.export(classifier, folder / "served/1", more=more)
    return tf.saved_model.load(str(path)).signatures


@pytest.mark.parametrize(
    "grey", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["in colour", "in grey"]
)
def test_bytes_8_bits_and_floats_are_the_pixels_of_the_training_pipeline(grey, tmp_path):
    files = written(tmp_path / "data", pictures())
    options = {"path": tmp_path / "data", "height": HEIGHT, "width": WIDTH, "grey": grey}
    data = open_scenario("images", {"images": options})
    images, labels = arrays(data, "train")
    images = images[np.argsort(labels)]
    served = signatures(tmp_path, data, mirror(data.image_shape[2]), "image_bytes", "uint8")
    by_file = served["serve_bytes"](image_bytes=tf.constant(files))["logits"].numpy()
    by_float = served["serving_default"](images=tf.constant(images))["logits"].numpy()
    assert by_float == pytest.approx(images.reshape(len(images), -1), abs=1e-6)
    assert by_file == pytest.approx(by_float, abs=1e-6)
    for file, answer in zip(files, by_file, strict=True):
        image = Image.open(io.BytesIO(file))
        if image.mode != ("L" if grey else "RGB") or image.getexif():
            continue  # its pixels of 8 bits are not those that are served
        pixels = np.asarray(image).reshape(1, image.height, image.width, -1)
        eight = served["serve_uint8"](images=tf.constant(pixels))["logits"].numpy()
        assert eight[0] == pytest.approx(answer, abs=1e-6)


@pytest.mark.parametrize(
    "framing",
    [{}, {"size": 9}, {"size": 6, "interpolation": "bilinear", "channels": 3}],
    ids=["as it is", "enlarged", "shrunk, in colour"],
)
def test_a_framed_scenario_is_framed_in_the_export(framing, tmp_path):
    data = open_scenario("digits", {"digits": framing})
    images, _ = arrays(data, "test", 3)
    raw, _ = arrays(open_scenario("digits"), "test", 3)
    prepared = data.preparation(tf.constant(raw)).numpy()
    assert prepared == pytest.approx(images, abs=1e-6)


@pytest.mark.parametrize("kind", ["imagenet", "coco"])
def test_large_pictures_are_cut_as_the_training_cut_them(kind):
    from tfrobust_scenarios.objects.scenario import _scaled

    pixels = np.random.default_rng(0).integers(0, 256, (41, 60, 3), np.uint8)
    scenario = create("scenarios", kind, size=14)
    trained = scenario._as_image(pixels) if kind == "imagenet" else _scaled(pixels, 14)
    served = scenario.preparation(pixels.astype(np.float32) / np.float32(255))
    assert served.numpy() == pytest.approx(trained.numpy(), abs=1e-6)


def test_classify_gives_names_and_scores_the_most_probable_first(tmp_path):
    classifier, data = small_classifier(), InMemory()
    served = signatures(tmp_path, data, classifier, classify=data.class_names)
    images = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    answer = served["classify"](inputs=tf.constant([example(image) for image in images]))
    probabilities = classifier.outputs(images)["probabilities"].numpy()
    for names, scores, expected in zip(
        answer["classes"].numpy(), answer["scores"].numpy(), probabilities, strict=True
    ):
        assert scores == pytest.approx(np.sort(expected)[::-1], abs=1e-6)
        assert [name.decode() for name in names] == [
            data.class_names[k] for k in np.argsort(-expected)
        ]


def example(image):
    """Return an image as a serialized example, as the Classify API sends it."""
    value = tf.train.Feature(float_list=tf.train.FloatList(value=image.ravel()))
    features = tf.train.Features(feature={"images": value})
    return tf.train.Example(features=features).SerializeToString()


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"GIF89a....", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(content, tmp_path):
    served = decoded_by(plain_preparation((4, 4, 1)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        served(tf.constant([content]))


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + 2 * (4097).to_bytes(4, "big") + b"\x08\x02"
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected at most 16777216 pixels"):
        decoded_by(plain_preparation((4, 4, 1)))(tf.constant([header]))


def test_a_png_whose_size_stands_elsewhere_than_in_its_first_chunk_is_refused():
    content = tf.io.encode_png(np.zeros((8, 8, 1), np.uint8)).numpy()
    text = (
        b"\0\0\0\x08tEXt"
        + b"\0\0\0\x04" * 2
        + zlib.crc32(b"tEXt" + b"\0\0\0\x04" * 2).to_bytes(4, "big")
    )
    decode = decoded_by(plain_preparation((8, 8, 1)), side=8)
    assert decode(tf.constant([content])).shape == (1, 8, 8, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="begins with its header"):
        decode(tf.constant([content[:8] + text + content[8:]]))


def decoded_by(preparation, side=4):
    """Return a traced decoder to square images."""
    return tf.function(
        lambda files: decoded(files, preparation, (side, side, preparation.channels)),
        input_signature=[tf.TensorSpec((None,), tf.string)],
    )


def test_an_export_that_takes_files_is_read_and_attacked_as_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_model().save("small.keras")
    settings = ExportSettings(
        classifier="small.keras", inputs=("image_bytes", "uint8"), classify=True
    )
    lines = []
    path = export(settings, "served", log=lines.append).path
    assert lines == [
        "nothing tells how the training read its pictures: they are scaled, and no more"
    ]
    assert (path / LABELS).read_text() == "0\n1\n2\n"
    assert read_card(path).preparation == plain_preparation((4, 4, 1))
    methods = {name: signature.method_name for name, signature in signatures_of(path).items()}
    assert methods.pop("classify") == "tensorflow/serving/classify"
    assert set(methods) >= {"serving_default", "serve_bytes", "serve_uint8"}
    classifier = store.load(path)
    images = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    labels = np.argmax(classifier(images), axis=1)
    crafted = run_attack(create("attacks", "fgsm", eps=0.3), classifier, images, labels).images
    assert np.abs(crafted - images).max() == pytest.approx(0.3, abs=1e-6)


def test_signatures_are_refused_where_there_are_none(tmp_path):
    with pytest.raises(UsageError, match="inputs: is of a SavedModel that classifies"):
        ExportSettings(classifier="d1", inputs=("uint8",), format="tflite")
    with pytest.raises(UsageError, match="expected a classifier of grey or colour images"):
        more_signatures(("uint8",), plain_preparation((4, 4, 2)), (4, 4, 2))
