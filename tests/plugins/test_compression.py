"""Deep compression: codes, shared values and compressed networks."""

import itertools

import keras
import numpy as np
import pytest

from helpers.support import small_classifier
from tfrobust import store
from tfrobust.classifiers.inference import megabytes, predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import arrays
from tfrobust.errors import ClassifierError, StoreError, UsageError
from tfrobust.files.arrays import read_arrays, write_arrays
from tfrobust.pipeline.build import train
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, defense_checks
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_compression.codebook_file import read_codebooks, write_codebooks
from tfrobust_compression.deep_compression import compression_of, pruned
from tfrobust_compression.huffman import code_lengths, coded_bits
from tfrobust_compression.kernels import kernels_of, left_out
from tfrobust_compression.shared import as_shared, shared


@pytest.mark.parametrize("seed", range(5))
def test_code_lengths_belong_to_a_prefix_code_within_a_bit_of_the_entropy(seed):
    counts = np.random.default_rng(seed).integers(0, 50, 2 + 9 * seed)
    counts[0] += 1
    counts[1] += 1
    lengths = np.array(code_lengths(counts))
    present = counts > 0
    assert (lengths[~present] == 0).all()
    assert np.isclose((2.0 ** -lengths[present]).sum(), 1)  # Kraft, with equality
    share = counts[present] / counts.sum()
    entropy = -(share * np.log2(share)).sum()
    assert entropy <= (share * lengths[present]).sum() < entropy + 1


def test_a_single_symbol_takes_one_bit_and_no_symbol_takes_none():
    assert coded_bits(np.full(5, 3)) == 5 + 8
    assert coded_bits(np.zeros(0, int)) == 0


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_shared_values_are_cluster_means_and_zeros_stay(bits):
    weights = np.random.default_rng(bits).normal(size=(7, 9, 4)).astype(np.float32)
    weights[np.abs(weights) < 0.3] = 0
    compressed = shared(weights, bits)
    assert len(compressed.codebook) == 2**bits + 1
    assert compressed.weights.shape == weights.shape
    assert np.array_equal(compressed.weights == 0, weights == 0)
    for number in range(1, 2**bits + 1):
        members = weights[compressed.index == number]
        assert np.isclose(members.mean(), compressed.codebook[number], atol=1e-3)
    distances = np.abs(weights[..., None] - compressed.codebook[1:])
    nearest = distances.argmin(-1)[weights != 0] + 1
    assert (nearest == compressed.index[weights != 0]).mean() > 0.999


def test_more_bits_never_increase_the_error_and_enough_bits_give_none():
    weights = np.random.default_rng(0).normal(size=300).astype(np.float32)
    errors = [np.square(shared(weights, bits).weights - weights).sum() for bits in range(1, 10)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(errors))
    assert errors[-1] == 0


def test_the_size_counts_codebook_places_and_numbers():
    dense = shared(np.array([1, 2, 2, 2, 1, 1, 1, 2], np.float32), 1)
    assert dense.bits == 2 * 32 + (8 + 2 * 8)
    sparse = np.zeros(1000, np.float32)
    sparse[[0, 600]] = 1, 2
    # 600 = 255 + 255 + 90: two weights of value 0 stand in between.
    places, numbers = np.array([1, 90, 255, 255]), np.array([1, 2, 0, 0])
    assert shared(sparse, 1).bits == 2 * 32 + coded_bits(places) + coded_bits(numbers)


def test_pruned_and_shared_weights_take_less():
    weights = np.random.default_rng(1).normal(size=20_000).astype(np.float32)
    pruned = np.where(np.abs(weights) > np.quantile(np.abs(weights), 0.9), weights, 0)
    whole, four, sparse = 32 * weights.size, shared(weights, 2).bits, shared(pruned, 5).bits
    assert four < whole / 15
    assert sparse < whole / 25


@pytest.mark.parametrize("count", [7, 70_000])
def test_unshared_weights_are_coded_exactly_for_any_number_of_values(count):
    weights = np.random.default_rng(2).normal(size=count).astype(np.float32)
    weights[::3] = 0
    assert np.array_equal(as_shared(weights).weights, weights)


QUICK = {"prune_epochs": 1, "tune_epochs": 1, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def digits():
    return create("scenarios", "digits")


@pytest.fixture(scope="module", params=["lenet", pytest.param("resnet", marks=pytest.mark.slow)])
def model(request):
    """A model that learns the digits; the residual one normalises batches."""
    return create("models", request.param, **({"width": 8} if request.param == "resnet" else {}))


@pytest.fixture(scope="module")
def network(model, digits):
    """A network that reads the digits."""
    return train(model, digits, Trainer(TrainingOptions(epochs=8)))


@pytest.fixture(scope="module")
def before(network):
    """Its weights before anything is compressed."""
    return [weight.copy() for weight in network.model.get_weights()]


@pytest.fixture(scope="module")
def compressed(network, digits, before):
    """The same network with two bits a weight and half of its weights."""
    defense = create("defenses", "deep_compression", bits=2, sparsity=0.5, **QUICK)
    return defense.apply(network, digits, Trainer()).classifier


@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_deep_compression_keeps_the_contract(check):
    check(create("defenses", "deep_compression", **QUICK))


@pytest.mark.slow
def test_every_kernel_has_four_values_and_zeros_after_all_training(network, compressed):
    for name, kernel in kernels_of(compressed.model).items():
        weights = np.asarray(kernel)
        assert len(np.unique(weights[weights != 0])) <= 4, name
        assert np.isclose((weights == 0).mean(), 0.5, atol=0.02), name
        before = np.asarray(kernels_of(network.model)[name])
        assert np.array_equal(weights == 0, pruned(before, 0.5) == 0), name


def test_training_moves_the_shared_values(network, digits):
    still = create("defenses", "deep_compression", bits=2, prune_epochs=0, tune_epochs=0)
    moving = create("defenses", "deep_compression", bits=2, prune_epochs=0, tune_epochs=1)
    first, second = (
        defense.apply(network, digits, Trainer()).classifier.model for defense in (still, moving)
    )
    for name, code in compression_of(first).items():
        moved = compression_of(second)[name]
        assert np.array_equal(code.index == 0, moved.index == 0)
        assert not np.array_equal(code.codebook, moved.codebook)


def test_the_original_classifier_does_not_change(network, before, compressed):
    assert compressed.model is not network.model
    for weight, old in zip(network.model.get_weights(), before, strict=True):
        assert np.array_equal(weight, old)
    assert all(kernel.constraint is None for kernel in kernels_of(network.model).values())


def test_a_compressed_network_still_reads_digits_in_a_twelfth_of_the_size(
    network, compressed, digits
):
    images, labels = arrays(digits, "test")
    whole, small = ((predict(c, images).argmax(1) == labels).mean() for c in (network, compressed))
    assert small > whole - 0.15
    bits = sum(code.bits for code in compression_of(compressed.model).values())
    kernels = sum(np.asarray(kernel).size for kernel in kernels_of(network.model).values())
    assert bits < 32 * kernels / 12


def test_codebooks_and_indices_give_the_same_logits_to_the_last_bit(
    compressed, model, digits, tmp_path
):
    images, _ = arrays(digits, "test", 50)
    write_codebooks(tmp_path / "c.npz", compressed.model)
    fresh = train(model, digits, Trainer(TrainingOptions(epochs=0)))
    assert not np.array_equal(predict(fresh, images), predict(compressed, images))
    read_codebooks(tmp_path / "c.npz", fresh.model)
    for one, two in zip(fresh.model.get_weights(), compressed.model.get_weights(), strict=True):
        assert np.array_equal(one, two)
    assert np.array_equal(fresh(images), compressed(images))
    kernels = sum(np.asarray(kernel).size for kernel in kernels_of(fresh.model).values())
    others = sum(w.size for w in fresh.model.get_weights()) - kernels
    assert (tmp_path / "c.npz").stat().st_size < 3 / 8 * kernels + 4 * others + 20_000


def test_a_network_that_was_never_compressed_is_loaded_too(network, tmp_path):
    before = [weight.copy() for weight in network.model.get_weights()]
    write_codebooks(tmp_path / "c.npz", network.model)
    for kernel in kernels_of(network.model).values():
        kernel.assign(np.zeros(kernel.shape))
    read_codebooks(tmp_path / "c.npz", network.model)
    for weight, old in zip(network.model.get_weights(), before, strict=True):
        assert np.array_equal(weight, old)


def test_a_file_of_another_network_or_a_damaged_one_is_refused_and_changes_nothing(
    compressed, network, tmp_path
):
    path = tmp_path / "c.npz"
    write_codebooks(path, compressed.model)
    other = small_classifier((8, 8, 1), 10)
    before = other.model.get_weights()
    with pytest.raises(ClassifierError, match="was written for another network"):
        read_codebooks(path, other.model)
    whole = read_arrays(path)
    name = next(key for key in whole if key.startswith("index/"))
    for wrong in (whole[name][:-1], np.full_like(whole[name], 255), whole[name][None]):
        write_arrays(path, whole | {name: wrong})
        with pytest.raises(StoreError, match="is damaged; compress the network again"):
            read_codebooks(path, network.model)
    book, weight = name.replace("index", "codebook"), "weight/0"
    for part, wrong in {
        book: [
            np.zeros(0, np.float32),
            np.float32(1),
            whole[book] * np.nan,
            whole[book].astype("U"),
        ],
        weight: [whole[weight] * np.inf, whole[weight].astype("U")],
    }.items():
        for value in wrong:
            write_arrays(path, whole | {part: np.asarray(value)})
            with pytest.raises(StoreError, match="compress the network again"):
                read_codebooks(path, network.model)
    for weight, old in zip(other.model.get_weights(), before, strict=True):
        assert np.array_equal(weight, old)


def test_kernels_of_other_shapes_count_as_another_network_and_not_as_a_damaged_file(tmp_path):
    small, large = small_classifier((4, 4, 1)).model, small_classifier((8, 8, 1)).model
    path = tmp_path / "c.npz"
    write_codebooks(path, small)
    with pytest.raises(ClassifierError, match="was written for another network"):
        read_codebooks(path, large)
    older = {name: array for name, array in read_arrays(path).items() if "shape" not in name}
    write_arrays(path, older)
    read_codebooks(path, small)  # earlier versions stored no shapes


@pytest.mark.slow
def test_a_compressed_network_with_a_calibrater_is_stored_loaded_and_served_like_any_other(
    digits, tmp_path
):
    both = [
        create("defenses", "deep_compression", bits=3, **(QUICK | {"prune_epochs": 0})),
        create("defenses", "calibrater", base=1, channels=1, blocks=1, shift="b2", epochs=1),
    ]
    trained = train_and_store(
        create("models", "fully_connected", units=16), digits, "m",
        Trainer(TrainingOptions(epochs=0)), both, root=tmp_path,
    )  # fmt: skip
    images, _ = arrays(digits, "test", 20)
    network = stored_network("m", tmp_path)
    assert [defense.name for defense in network.defenses] == ["deep_compression", "calibrater"]
    assert network.defenses[0].found == trained.card.defenses[0].found
    assert network.defenses[0].found["left_out"] == {}
    assert np.array_equal(predict(network, images), predict(trained.classifier, images))
    served = store.load("m", root=tmp_path)
    assert np.allclose(predict(served, images), predict(network, images), atol=1e-4)
    assert megabytes(network) == pytest.approx(trained.classifier.megabytes)
    assert store.read_card(tmp_path / "m/1").megabytes == trained.classifier.megabytes


@pytest.mark.slow
def test_a_pruned_network_is_stored_loaded_and_served_like_any_other(digits, tmp_path):
    defense = create("defenses", "deep_compression", bits=3, **QUICK)
    trained = train_and_store(
        create("models", "lenet", width=1), digits, "m",
        Trainer(TrainingOptions(epochs=1)), [defense], root=tmp_path,
    )  # fmt: skip
    images, _ = arrays(digits, "test", 20)
    network = stored_network("m", tmp_path)
    assert [defense.name for defense in network.defenses] == ["deep_compression"]
    assert network.defenses[0].found == trained.card.defenses[0].found
    assert network.defenses[0].found["left_out"] == {}
    assert np.array_equal(predict(network, images), predict(trained.classifier, images))
    served = store.load("m", root=tmp_path)
    assert np.allclose(predict(served, images), predict(network, images), atol=1e-4)


@pytest.mark.slow
@pytest.mark.slow
def test_a_compressed_network_gets_a_calibrater_and_both_are_loaded(digits, tmp_path):
    quick = Trainer(TrainingOptions(epochs=1))
    few = create("defenses", "deep_compression", bits=2, prune_epochs=0, tune_epochs=0)
    both = [few, create("defenses", "calibrater", size_ratio=0.5, shift="b2", epochs=1)]
    trained = train_and_store(create("models", "lenet"), digits, "m", quick, both, root=tmp_path)
    images, _ = arrays(digits, "test", 9)
    again = stored_network("m", tmp_path)
    assert np.array_equal(predict(again, images), predict(trained.classifier, images))
    assert megabytes(again) == pytest.approx(trained.classifier.megabytes)
    card = store.read_card(tmp_path / "m/1")
    assert card.megabytes == trained.classifier.megabytes


@pytest.mark.parametrize("options", [{"bits": 0}, {"bits": 17}, {"sparsity": 1}, {"sparsity": -1}])
def test_options_out_of_range_cost_one_line(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        create("defenses", "deep_compression", **options)


def test_a_classifier_without_keras_3_weights_is_refused(digits):
    defense = create("defenses", "deep_compression")
    with pytest.raises(
        UsageError, match=r"expected a Keras model, .*: a classifier of another kind"
    ):
        defense.apply(LinearClassifier((8, 8, 1), 10), digits, Trainer())


def test_the_megabytes_are_counted_stored_and_loaded(compressed, network, tmp_path):
    kernels = sum(code.bits for code in compression_of(compressed.model).values()) / 8e6
    rest = sum(w.size for w in network.model.get_weights()) - sum(
        np.asarray(kernel).size for kernel in kernels_of(network.model).values()
    )
    assert compressed.megabytes == pytest.approx(kernels + 4e-6 * rest)
    assert megabytes(compressed) == compressed.megabytes < megabytes(network) / 5
    folder = store.export(compressed, tmp_path / "1")
    assert megabytes(store.load(folder)) == compressed.megabytes
    defense, trainer = (
        create("defenses", "calibrater", size_ratio=0.5),
        Trainer(TrainingOptions(epochs=0)),
    )
    behind = defense.apply(compressed, create("scenarios", "digits"), trainer).classifier
    own = 4e-6 * behind.model.count_params()
    assert megabytes(behind) == pytest.approx(compressed.megabytes + own)


@keras.saving.register_keras_serializable("test_compression")
class Table(keras.layers.Layer):
    """A layer with a table of its own, and a kernel that has no name."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], name="table", initializer="ones")
        self.kernel = self.add_weight(shape=(shape[-1], 6), initializer="glorot_uniform")

    def call(self, inputs):
        return (inputs * self.table) @ self.kernel


def transferred():
    """A frozen base of separable convolutions, nested twice, and many kinds of layers after it."""
    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input((6, 6, 4)), layers.DepthwiseConv2D(3, name="conv")], name="inner"
    )
    base = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.SeparableConv2D(4, 3, name="conv"),
            layers.BatchNormalization(),
            inner,
        ],
        name="base",
    )
    base.trainable = False
    images = keras.Input((8, 8, 1))
    flat = layers.Conv2DTranspose(3, 3, name="conv")(base(images))
    flat = layers.TimeDistributed(layers.Dense(4))(layers.Reshape((36, 3))(flat))
    flat = layers.MultiHeadAttention(2, 3)(flat, flat)
    flat = layers.EinsumDense("abc,cd->abd", output_shape=(36, 5), bias_axes="d")(flat)
    flat = layers.LayerNormalization(axis=[1, 2])(flat)
    logits = layers.Dense(10)(layers.Bidirectional(layers.GRU(3))(Table()(flat)))
    return KerasClassifier(keras.Model(images, logits))


@pytest.mark.slow  # a network of every layer
def test_every_kernel_at_any_depth_is_compressed_and_the_size_is_what_counting_gives(digits):
    messages = []
    defense = create("defenses", "deep_compression", bits=2, prune_epochs=0, tune_epochs=1)
    trainer = Trainer(TrainingOptions(batch_size=1000), log=messages.append)
    done = defense.apply(transferred(), digits, trainer)
    compressed = done.classifier
    kernels, rest = {}, 0
    for weight in compressed.model.weights:
        if weight.path.endswith("kernel") or "/variable" in weight.path:  # the nameless one
            kernels[id(weight)] = np.asarray(weight)
        else:
            rest += np.asarray(weight).size
    # Separable 2, depthwise, transposed, dense, attention 4, einsum, nameless, GRUs 2 · 2, dense.
    assert len(kernels) == 2 + 1 + 1 + 1 + 4 + 1 + 1 + 4 + 1
    for kernel in kernels.values():
        assert len(np.unique(kernel[kernel != 0])) <= 4
        assert (kernel == 0).sum() == pytest.approx(kernel.size / 2, abs=1)
    bits = sum(as_shared(kernel).bits for kernel in kernels.values())
    assert compressed.megabytes == pytest.approx(bits / 8e6 + 4e-6 * rest)
    assert len(set(kernels_of(compressed.model))) == len(kernels)
    (name,) = left_out(compressed.model)
    assert name.endswith("table")
    size = np.asarray(left_out(compressed.model)[name]).size
    assert done.found == {
        "kernels": len(kernels),
        "compressed_weights": sum(kernel.size for kernel in kernels.values()),
        "left_out": {name: size},
    }
    assert messages == [
        "deep_compression: left as they are, for no layer calls them its kernel: "
        f"{name} ({size} weights)"
    ]


@pytest.mark.slow
def test_codebooks_of_nested_kernels_are_loaded_to_the_last_bit(digits, tmp_path):
    defense = create("defenses", "deep_compression", bits=2, prune_epochs=0, tune_epochs=0)
    compressed, fresh = defense.apply(transferred(), digits, Trainer()).classifier, transferred()
    write_codebooks(tmp_path / "c.npz", compressed.model)
    read_codebooks(tmp_path / "c.npz", fresh.model)
    for one, two in zip(fresh.model.get_weights(), compressed.model.get_weights(), strict=True):
        assert np.array_equal(one, two)


def test_kernels_of_two_nested_models_with_equal_layer_names_are_distinguished():
    def branch(name):
        parts = [keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3, name="conv")]
        return keras.Sequential(parts, name=name)

    images = keras.Input((4, 4, 1))
    both = keras.layers.Add()([branch("left")(images), branch("right")(images)])
    model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(both)))
    assert len(kernels_of(model)) == 3


def test_a_network_without_kernels_is_refused_before_any_training(digits):
    images = keras.Input((8, 8, 1))
    flat = keras.layers.BatchNormalization()(keras.layers.Flatten()(images))
    network = KerasClassifier(keras.Model(images, flat[:, :10]))
    with pytest.raises(UsageError, match="expected a network with kernels"):
        create("defenses", "deep_compression").check(network, digits)
