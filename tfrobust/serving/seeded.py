"""A random classifier whose draws belong to the image: one request has one answer.

What is drawn for an image depends on a seed and on what the image shows (`keys_of`), and not on the
batch it comes in: images go through one at a time. Who holds the export can foresee the draws of
an image. White-box attacks follow the mean of fresh draws: the gradient of the draws of one image
says little about the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.draws import keys_of, seeded
from tfrobust.engine.victim import SAMPLES, Expected
from tfrobust.errors import UsageError
from tfrobust.types import Images, Logits, PerImage

SEEDED = "seeded"
_HARMLESS = {"ReadVariableOp", "Assert", "StatefulPartitionedCall", "If", "While", "Case"}


class Seeded(Wrapped):
    """A classifier that answers an image by the draws that belong to it.

    Args:
        inner: a random one, whose defences draw by `tfrobust.draws.Draws`.

    Raises:
        UsageError: it is not random, its answers depend on the batch, or it draws otherwise.
    """

    def __init__(self, inner: Classifier) -> None:
        if not inner.stochastic:
            raise UsageError("draws: the classifier draws nothing; leave the option out")
        if inner.batch_dependent:
            raise UsageError(
                "draws: expected answers that do not depend on the rest of the batch; leave the "
                "option out, or take the defence with batch_statistics=running"
            )
        calls = math.ceil(SAMPLES / inner.passes)
        super().__init__(
            inner,
            stochastic=False,
            passes=1,
            differentiable=False,
            surrogate=inner if calls == 1 else Expected(inner, calls),
        )
        self._forms = _forms(inner)

    def __call__(self, images: Images) -> Logits:
        """Return the logits of the draws of seed 0."""
        return self.outputs(images)["logits"]

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return all outputs of the draws of seed 0."""
        return self.outputs_of(images, tf.zeros((tf.shape(images)[0],), tf.int32))

    @tf.autograph.experimental.do_not_convert  # as attacks trace it
    def outputs_of(self, images: Images, seeds: PerImage) -> dict[str, Any]:
        """Return all outputs.

        Args:
            images: float32 `(batch, height, width, channels)`.
            seeds: int32 `(batch,)`, 0 or more.
        """

        def one(given: tuple[Any, Any]) -> dict[str, Any]:
            image, keys = given
            with seeded(keys):
                outputs = self.inner.outputs(image[tf.newaxis])
            return {name: outputs[name][0] for name in self._forms}

        return tf.map_fn(one, (images, keys_of(seeds, images)), fn_output_signature=self._forms)

    def signature(self) -> Any:
        """Return the function of images and seeds that is served as `seeded`."""
        images = tf.TensorSpec((None, *self.image_shape), tf.float32, name="images")
        seeds = tf.TensorSpec((None,), tf.int32, name="seed")

        @tf.function(input_signature=[images, seeds])
        def by_seed(images: Images, seed: PerImage) -> dict[str, Any]:
            return self.outputs_of(images, seed)

        return by_seed


def _forms(inner: Classifier) -> dict[str, tf.TensorSpec]:
    """Return the form of each output of an image, once it is sure that all draws are seeded.

    Raises:
        UsageError: names what keeps a state.
    """
    image = tf.TensorSpec((1, *inner.image_shape), tf.float32)

    @tf.function(input_signature=[image], autograph=False)
    def one(image: Images) -> dict[str, Any]:
        with seeded(keys_of(tf.zeros((1,), tf.int32), image)[0]):
            return inner.outputs(image)

    traced = one.get_concrete_function()
    if kept := sorted(set(_with_state(traced.graph))):
        raise UsageError(
            f"draws: a part of the classifier draws from a state of its own ({kept[0]}); export "
            "the classifier where it was trained, by its name in the store, or let the defence "
            "draw by tfrobust.draws.Draws"
        )
    return {
        name: tf.TensorSpec(output.shape[1:], output.dtype)
        for name, output in traced.structured_outputs.items()
    }


def _with_state(graph: Any) -> Iterator[str]:
    """Yield the operations of a graph, and of the functions in it, that change a state."""
    definition = graph.as_graph_def()
    nodes = [*definition.node]
    for function in definition.library.function:
        nodes += function.node_def
    for node in nodes:
        known = op_def_registry.get(node.op)
        if known is not None and known.is_stateful and node.op not in _HARMLESS:
            yield node.op
