"""A Keras file cannot run code, lead to another file or fill the memory."""

import contextlib
import io
import os
import shutil
import sys
import types
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tf_keras

from helpers.files import evil_keras_files as evil
from helpers.thinned import product
from tfrobust import store
from tfrobust.classifiers.keras import files, models
from tfrobust.classifiers.keras.files import check_keras_file
from tfrobust.classifiers.keras.models import load_keras_file
from tfrobust.errors import ClassifierError

SHAPE = (4, 4, 1)
KINDS = {"keras": keras, "tf_keras": tf_keras}
SUFFIXES = "keras", "h5"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A small network of each generation in each format."""
    folder = tmp_path_factory.mktemp("plain")
    for name, kind in KINDS.items():
        layers = kind.layers
        model = kind.Sequential(
            [layers.Input(SHAPE), layers.Conv2D(2, 3, activation="relu"), layers.Flatten(),
             layers.Dense(3)]
        )  # fmt: skip
        for suffix in ("keras", "h5"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of .h5: it is of an older format
                model.save(folder / f"{name}.{suffix}")
    return folder


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """A file that exists once the module that the Keras files name is imported or called."""
    path = tmp_path / "ran"
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / f"{evil.MODULE}.py").write_text(evil.PAYLOAD.format(mark=str(path)))
    monkeypatch.syspath_prepend(folder)
    yield path
    sys.modules.pop(evil.MODULE, None)


@pytest.fixture
def copy(plain, tmp_path):
    def of(name):
        return shutil.copy(plain / name, tmp_path / name)

    return of


@pytest.mark.parametrize(
    ("place", "kind", "suffix"), product(evil.PLACES, KINDS, SUFFIXES, one_in=8)
)
def test_code_that_a_file_names_is_refused_before_it_runs(place, kind, suffix, copy, mark):
    path = evil.spoil(copy(f"{kind}.{suffix}"), place)
    with pytest.raises(ClassifierError) as refusal:
        load_keras_file(path)
    message = str(refusal.value)
    assert path.name in message
    assert "\n" not in message
    assert "never allowed" in message or "names" in message
    assert not mark.exists()
    assert evil.MODULE not in sys.modules


@pytest.mark.filterwarnings("ignore:.*a Lambda layer uses it")
def test_keras_2_itself_would_run_the_lambda(copy, mark):
    path = evil.spoil(copy("tf_keras.keras"), "layer: a lambda that names a function of a module")
    with contextlib.suppress(TypeError, ValueError):  # by then it has run
        tf_keras.models.load_model(path, compile=False, safe_mode=True)
    assert mark.exists()


@pytest.mark.parametrize(("kind", "suffix", "place"), product(KINDS, SUFFIXES, evil.COMPILED))
def test_code_in_the_compile_options_of_a_model_is_refused(place, kind, suffix, copy, mark):
    path = evil.spoil_compiled(copy(f"{kind}.{suffix}"), place)
    words = r"at compile_config|compile_config.* names"
    with pytest.raises(ClassifierError, match=words) as refusal:
        load_keras_file(path)
    assert "or save the model without what it was compiled with" in str(refusal.value)
    assert not mark.exists()
    assert evil.MODULE not in sys.modules


def test_keras_2_itself_would_build_the_loss(copy, mark):
    path = evil.spoil_compiled(copy("tf_keras.keras"), "a loss")
    tf_keras.models.load_model(path)
    assert mark.exists()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_model_that_was_trained_with_a_custom_loss_loads(kind, suffix, tmp_path):
    def loss(labels, logits):
        return 0.0

    model = kind.Sequential([kind.layers.Input(SHAPE), kind.layers.Flatten()])
    model.compile("adam", loss, metrics=[loss])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.save(tmp_path / f"m.{suffix}")
    assert load_keras_file(tmp_path / f"m.{suffix}").output_shape == (None, 16)


@pytest.mark.filterwarnings("ignore:.*lambda:UserWarning")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_model_that_was_trained_with_a_lambda_loads_once_it_is_saved_without(kind, tmp_path):
    model = kind.Sequential([kind.layers.Input(SHAPE), kind.layers.Flatten()])
    model.compile("adam", lambda labels, logits: 0.0)
    path = tmp_path / "m.keras"
    model.save(path)
    way_out = r"keras\.Model\(model\.inputs, model\.outputs\)\.save\('model\.keras'\)"
    with pytest.raises(ClassifierError, match=f"a Python lambda at compile_config.*{way_out}"):
        load_keras_file(path)
    kind.Model(model.inputs, model.outputs).save(path)
    assert load_keras_file(path).output_shape == (None, 16)


@pytest.mark.parametrize("place", ["layer: a python lambda", "compiled inside: a python lambda"])
def test_a_python_lambda_is_not_called_a_layer(place, copy):
    with pytest.raises(ClassifierError, match=r"\(a Python lambda at config"):
        load_keras_file(evil.spoil(copy("keras.keras"), place))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_checking_a_large_file_reads_less_than_twice_its_size(
    compression, copy, tmp_path, monkeypatch
):
    path, weights, read = copy("keras.keras"), tmp_path / "w.h5", []
    with h5py.File(weights, "w") as file:
        for number in range(300):  # groups between the data, as Keras writes them
            file[f"layers/{number:03}/vars/0"] = np.full(8_000, number, np.float32)
    _replaced(path, "model.weights.h5", weights.read_bytes(), compression=compression)
    size = weights.stat().st_size

    class Counted(io.FileIO):
        def readinto(self, buffer):
            read.append(super().readinto(buffer))
            return read[-1]

    unpacked = zipfile.ZipExtFile._read1

    def counted(self, count):
        data = unpacked(self, count)
        read.append(len(data))
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "_read1", counted)
    monkeypatch.setattr(files, "open_regular", lambda p: io.BufferedReader(Counted(p)))
    check_keras_file(path)
    assert sum(read) < 2 * size


def test_a_refused_file_is_checked_once_where_all_plugins_are_known(copy, monkeypatch):
    path, looked = evil.spoil(copy("keras.keras"), "layer: the shell"), []
    for _ in range(2):
        with pytest.raises(ClassifierError):
            store.load(path)
    check = models.check_keras_file
    monkeypatch.setattr(
        models, "check_keras_file", lambda *given: (looked.append(given), check(*given))[1]
    )
    with pytest.raises(ClassifierError):
        store.load(path)
    assert len(looked) == 1


@pytest.mark.parametrize(
    "place", ["layer: a class of any module", "layer: a nested model", "option: an activation"]
)
def test_modules_that_the_user_names_are_allowed_but_lambdas_are_not(place, copy):
    path = evil.spoil(copy("tf_keras.keras"), place)
    with pytest.raises(ClassifierError, match=r"layers\[\d\].* names payload_of") as refusal:
        check_keras_file(path)
    assert "--custom-objects MODULE" in str(refusal.value)
    assert check_keras_file(path, (evil.MODULE,)) == "tf_keras"
    path = evil.spoil(path, "layer: a lambda that names a function of a module")
    with pytest.raises(ClassifierError, match="never allowed"):
        check_keras_file(path, (evil.MODULE,))


@pytest.mark.parametrize("module", [evil.MODULE, f"{evil.MODULE}.inner"])
def test_functions_that_an_allowed_module_imports_are_not_allowed(module, copy, monkeypatch):
    own = types.ModuleType(evil.MODULE)
    own.system = os.system
    monkeypatch.setitem(sys.modules, evil.MODULE, own)
    function = {**evil.FUNCTION, "module": module, "config": "system", "registered_name": "system"}
    path = copy("tf_keras.keras")
    evil.rewrite(path, lambda config: config["config"]["layers"][1].update(function))
    with pytest.raises(ClassifierError, match=r"names payload_of_a_file.*system"):
        check_keras_file(path, (evil.MODULE,))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["layer: a class of any module", "layer: the shell"])
def test_the_store_refuses_code_too_once_all_plugins_are_known(place, kind, copy, mark):
    with pytest.raises(ClassifierError, match="no building block of networks"):
        store.load(evil.spoil(copy(f"{kind}.keras"), place))
    assert not mark.exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_file_of_either_generation_and_format_is_a_classifier(kind, suffix, plain):
    path = plain / f"{kind}.{suffix}"
    assert check_keras_file(path) == kind
    images = np.random.default_rng(0).uniform(size=(3, *SHAPE)).astype(np.float32)
    model = KINDS[kind].models.load_model(path, compile=False)
    assert np.allclose(store.load(path)(images), np.asarray(model(images)), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_common_layers_and_options_are_allowed(kind, tmp_path):
    layers, given = kind.layers, kind.layers.Input((8, 8, 3))
    x = layers.Rescaling(2.0, -1.0)(given)
    x = layers.Conv2D(
        4, 3, activation=kind.activations.gelu, kernel_regularizer=kind.regularizers.L2(1e-4),
        kernel_constraint=kind.constraints.MaxNorm(2), dtype="mixed_bfloat16",
    )(x)  # fmt: skip
    x = layers.Activation("swish")(x[:, :4] * 2.0 + 1.0)
    block = kind.Sequential([layers.Input((4, 6, 4)), layers.Flatten(), layers.Dense(4)])
    block.compile("sgd", "mse", metrics=["accuracy"])
    x = layers.Reshape((2, 2))(block(x))
    x = layers.Bidirectional(layers.LSTM(3, kernel_initializer="he_normal"))(x)
    x = layers.BatchNormalization()(layers.GaussianNoise(0.1)(x))
    model = kind.Model(given, layers.Dense(3, dtype="float32")(layers.LeakyReLU()(x)))
    model.compile(
        kind.optimizers.Adam(kind.optimizers.schedules.CosineDecay(1e-3, 10)),
        kind.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", kind.metrics.SparseTopKCategoricalAccuracy(2)],
    )
    model.save(tmp_path / "m.keras")
    assert load_keras_file(tmp_path / "m.keras").count_params() == model.count_params()


@pytest.mark.parametrize("link", ["external", "soft", "dataset", "virtual"])
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_weights_that_lie_in_another_file_are_refused(link, suffix, copy, tmp_path):
    path, weights = copy(f"keras.{suffix}"), tmp_path / "weights.h5"
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.ones(3, np.float32)
    (tmp_path / "raw").write_bytes(bytes(12))
    if suffix == "keras":
        with zipfile.ZipFile(path) as archive:
            weights.write_bytes(archive.read("model.weights.h5"))
    with h5py.File(weights if suffix == "keras" else path, "r+") as file:
        if link == "external":
            file["more"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret")
        elif link == "soft":
            file["more"] = h5py.SoftLink("/anywhere")
        elif link == "dataset":
            file.create_dataset("more", (3,), "f4", external=[(str(tmp_path / "raw"), 0, 12)])
        else:
            layout = h5py.VirtualLayout((3,), "f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (3,))
            file.create_virtual_dataset("more", layout)
    if suffix == "keras":
        _replaced(path, "model.weights.h5", weights.read_bytes())
    with pytest.raises(ClassifierError, match=r"'more' (is a link|lies in another file)"):
        load_keras_file(path)


def _replaced(path, name, content, *, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        kept = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member, data in (kept | {name: content}).items():
            archive.writestr(member, data)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_weights_that_declare_more_than_the_file_holds_are_refused(suffix, copy, tmp_path):
    path, weights = copy(f"keras.{suffix}"), tmp_path / "weights.h5"
    with h5py.File(weights if suffix == "keras" else path, "a") as file:
        file.create_dataset("bomb", (2**40,), "f4", chunks=(2**20,), compression="gzip")
    if suffix == "keras":
        _replaced(path, "model.weights.h5", weights.read_bytes())
    with pytest.raises(ClassifierError, match=r"unpack to 4,398.0 GB.*TFROBUST_UNPACK_LIMIT=4399"):
        load_keras_file(path)


def test_compressed_weights_are_read_like_uncompressed_ones(copy):
    path = copy("keras.keras")
    with zipfile.ZipFile(path) as archive:
        content = archive.read("model.weights.h5")
    _replaced(path, "model.weights.h5", content, compression=zipfile.ZIP_DEFLATED)
    assert load_keras_file(path).count_params() > 0


@pytest.mark.parametrize(
    ("member", "content", "words"),
    [
        ("config.json", b"[" * 100_000 + b"]" * 100_000, "nested deeper"),
        ("config.json", b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "nested deeper"),
        ("config.json", b"\xff\xfe", "not a readable .keras file"),
        ("metadata.json", b"{}", "names no keras_version"),
        ("metadata.json", b"[]", "names no keras_version"),
        ("metadata.json", b'{"keras_version": 3}', "names no keras_version"),
        ("../escaped.txt", b"", "a member is called '../escaped.txt'"),
        ("/escaped.txt", b"", "a member is called '/escaped.txt'"),
        ("assets\\..\\..\\x", b"", "a member is called"),
    ],
)  # fmt: skip
def test_an_archive_that_is_no_model_costs_one_line(member, content, words, copy):
    path = copy("keras.keras")
    _replaced(path, member, content)
    with pytest.raises(ClassifierError, match=words.replace(".", r"\.")) as refusal:
        load_keras_file(path)
    assert "\n" not in str(refusal.value)


def test_operations_that_an_old_format_cannot_restore_are_not_called_custom(tmp_path):
    given = keras.layers.Input(SHAPE)
    model = keras.Model(given, keras.layers.Dense(3)(keras.ops.mean(given, axis=(1, 2))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.save(tmp_path / "m.h5")
    words = r"'Mean' of Keras's own.*save it as \.keras"
    with pytest.raises(ClassifierError, match=words) as refusal:
        store.load(tmp_path / "m.h5")
    assert "--custom-objects" not in str(refusal.value)


def test_weights_alone_are_refused_with_the_way_out(copy, tmp_path):
    keras.models.load_model(copy("keras.keras")).save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ClassifierError, match=r"weights alone; save the whole model as \.keras"):
        store.load(tmp_path / "w.weights.h5")


def test_a_name_that_would_take_over_the_terminal_is_shown_as_text(copy):
    path = copy("keras.keras")
    nasty = {"module": "\x1b[31mos\n" + "x" * 200_000, "class_name": "y", "config": {}}
    evil.rewrite(path, lambda config: config["config"]["layers"].append(nasty))
    with pytest.raises(ClassifierError) as refusal:
        load_keras_file(path)
    assert "\x1b" not in str(refusal.value)
    assert len(str(refusal.value)) < 600
