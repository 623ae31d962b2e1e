"""torchvision's ResNet and VGG in plain code: their tensors by name, and what they compute.

Written from the papers and from torchvision's names with NumPy and `tf.nn` alone; nothing of
`tfrobust_models` is used.
"""

import numpy as np
import tensorflow as tf

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
REPEATS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def resnet_shapes(depth, classes, *, width=1.0):
    """Return the shape of every tensor of a torchvision ResNet, in its order."""
    basic = depth < 50
    expansion = 1 if basic else 4
    first = round(64 * width)
    shapes = {"conv1.weight": (first, 3, 7, 7), **_norm("bn1", first)}
    before = first
    for stage, blocks in enumerate(BLOCKS[depth]):
        filters = round(64 * 2**stage * width)
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            sizes = (3, 3) if basic else (1, 3, 1)
            outs = (filters, filters) if basic else (filters, filters, 4 * filters)
            reads = before
            for k, (size, out) in enumerate(zip(sizes, outs, strict=True), 1):
                shapes[f"{name}.conv{k}.weight"] = (out, reads, size, size)
                shapes |= _norm(f"{name}.bn{k}", out)
                reads = out
            if block == 0 and (stage > 0 or not basic):
                shapes[f"{name}.downsample.0.weight"] = (filters * expansion, before, 1, 1)
                shapes |= _norm(f"{name}.downsample.1", filters * expansion)
            before = filters * expansion
    return shapes | {"fc.weight": (classes, before), "fc.bias": (classes,)}


def vgg_shapes(depth, classes, *, width=1.0, batch_norm=False):
    """Return the shape of every tensor of a torchvision VGG."""
    shapes, number, before = {}, 0, 3
    for filters, repeats in zip((64, 128, 256, 512, 512), REPEATS[depth], strict=True):
        out = round(filters * width)
        for _ in range(repeats):
            shapes[f"features.{number}.weight"] = (out, before, 3, 3)
            shapes[f"features.{number}.bias"] = (out,)
            if batch_norm:
                shapes |= _norm(f"features.{number + 1}", out)
            number, before = number + (3 if batch_norm else 2), out
        number += 1
    units = round(4096 * width)
    dense = {0: (49 * before, units), 3: (units, units), 6: (units, classes)}
    for k, (reads, out) in dense.items():
        shapes[f"classifier.{k}.weight"] = (out, reads)
        shapes[f"classifier.{k}.bias"] = (out,)
    return shapes


def random_state(shapes, seed=0):
    """Return tensors of these shapes that keep activations near 1."""
    draw = np.random.default_rng(seed)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = np.array(7, np.int64)
        elif name.endswith("running_var"):
            state[name] = draw.uniform(0.5, 2.0, shape).astype(np.float32)
        elif len(shape) == 1:
            near = 1.0 if name.endswith("weight") else 0.0
            state[name] = (near + draw.normal(0, 0.2, shape)).astype(np.float32)
        else:
            scale = (2 / np.prod(shape[1:])) ** 0.5
            state[name] = draw.normal(0, scale, shape).astype(np.float32)
    return state


def resnet_logits(state, images, depth):
    """Return a torchvision ResNet's logits of images in [0, 1], `(batch, height, width, 3)`."""
    x = _conv(state, "conv1", (images - MEAN) / DEVIATION, 2, 3)
    x = np.maximum(_batch_norm(state, "bn1", x), 0)
    around = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    x = tf.nn.max_pool2d(around, 3, 2, "VALID").numpy()
    for stage, blocks in enumerate(BLOCKS[depth]):
        for block in range(blocks):
            x = _block(state, f"layer{stage + 1}.{block}", x, 2 if stage and not block else 1)
    return x.mean((1, 2)) @ state["fc.weight"].T + state["fc.bias"]


def vgg_logits(state, images, depth):
    """Return a torchvision VGG's logits (no batch normalisation)."""
    x, number = (images - MEAN) / DEVIATION, 0
    for repeats in REPEATS[depth]:
        for _ in range(repeats):
            x = np.maximum(_conv(state, f"features.{number}", x, 1, 1), 0)
            number += 2
        x = tf.nn.max_pool2d(x, 2, 2, "VALID").numpy()
        number += 1
    x = _adaptive_mean(x, 7).transpose(0, 3, 1, 2).reshape(len(x), -1)
    for k in (0, 3, 6):
        x = x @ state[f"classifier.{k}.weight"].T + state[f"classifier.{k}.bias"]
        x = np.maximum(x, 0) if k < 6 else x
    return x


def _norm(name, size):
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (size,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def _block(state, name, x, stride):
    y, last = x, 3 if f"{name}.conv3.weight" in state else 2
    for k in range(1, last + 1):
        size = state[f"{name}.conv{k}.weight"].shape[-1]
        # Basic blocks stride in the first convolution, bottlenecks (v1.5) in the 3×3.
        step = stride if k == last - 1 else 1
        y = _batch_norm(state, f"{name}.bn{k}", _conv(state, f"{name}.conv{k}", y, step, size // 2))
        y = np.maximum(y, 0) if k < last else y
    if f"{name}.downsample.0.weight" in state:
        x = _conv(state, f"{name}.downsample.0", x, stride, 0)
        x = _batch_norm(state, f"{name}.downsample.1", x)
    return np.maximum(x + y, 0)


def _conv(state, name, x, stride, padding):
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    kernel = state[f"{name}.weight"].transpose(2, 3, 1, 0).astype(x.dtype)
    return tf.nn.conv2d(x, kernel, stride, "VALID").numpy() + state.get(f"{name}.bias", 0)


def _batch_norm(state, name, x):
    gamma, beta, mean, variance = (
        state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def _adaptive_mean(x, size):
    """Return the means of `size`×`size` cells, which overlap or repeat where they do not divide."""

    def cells(length):
        return [(k * length // size, -(-(k + 1) * length // size)) for k in range(size)]

    rows = [
        [x[:, a:b, c:d].mean((1, 2)) for c, d in cells(x.shape[2])] for a, b in cells(x.shape[1])
    ]
    return np.stack([np.stack(row, 1) for row in rows], 1)
