"""What a bit means: one is a sign, k are the paper's levels; the memory is what they take."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.thinned import thinned
from tfrobust.registry import create

SHAPE = (8, 8, 1)
MODELS = pytest.mark.parametrize("name", ["lenet_quantized", "resnet_quantized"])
LEVELS = {1: [-1, 1], 2: [-1, -0.5, 0, 0.5, 1], 3: np.arange(-4, 5) / 4}


def kernels(model):
    return [w for layer in model.layers for w in layer.weights if hasattr(w, "latent_variable")]


@MODELS
@pytest.mark.parametrize("bits", LEVELS)
def test_a_bit_means_the_same_in_all_models(name, bits):
    model = create("models", name, bits=bits).build(SHAPE, 10)
    largest = max(kernels(model), key=lambda kernel: int(tf.size(kernel.latent_variable)))
    largest.latent_variable.assign(tf.random.stateless_uniform(largest.shape, (0, 1), -1.0, 1.0))
    layer = next(layer for layer in model.layers if any(w is largest for w in layer.weights))
    quantized = layer.kernel_quantizer(largest.latent_variable)
    np.testing.assert_array_equal(np.unique(quantized), LEVELS[bits])


@MODELS
@pytest.mark.parametrize(("bits", "takes"), thinned([(1, 1), (2, 3), (3, 4), (8, 9), (16, 17)]))
def test_the_memory_counts_as_many_bits_as_the_levels_need(name, bits, takes):
    builder = create("models", name, bits=bits)
    summary = builder.summary(SHAPE, 10)
    weights = sum(
        int(tf.size(kernel.latent_variable)) for kernel in kernels(builder.build(SHAPE, 10))
    )
    of_total = dict(zip(summary.columns, summary.rows[-1], strict=True))
    assert int(of_total[f"# {takes}-bit x 1"]) == weights
    kib = (weights * takes + int(of_total["# 32-bit x 1"]) * 32) / 8 / 1024
    assert float(of_total["Memory (kB)"]) == pytest.approx(kib, rel=1e-3)


def test_one_bit_is_the_binarized_network():
    signs, one = (
        create("models", name, **options).summary(SHAPE, 10)
        for name, options in (("lenet_bnn", {}), ("lenet_quantized", {"bits": 1}))
    )
    assert signs.rows[-1] == one.rows[-1]
