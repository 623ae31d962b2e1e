"""Several networks whose features are classified by one joint layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.identity import answers_differ, logits_differ
from tfrobust.classifiers.inference import megabytes, megabytes_of, parameters
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.graph import is_functional, trunk
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.classifiers.summary import Component
from tfrobust.errors import ClassifierError
from tfrobust.types import Images, ImageShape, KerasModel, Logits
from tfrobust_fusion.heads import JOINT, is_recurrent, mean_weights

_LINEAR = "linear layers"


class Fused(Wrapped):
    """The joint classifier; its `members` are each stream's own.

    Args:
        streams: name → the network whose features it gives; the first is the foreground.
        model: of `Heads.model`, from features to logits by name; or from images to the same, with
            the features by the name of `features`, where the networks were trained along.
        class_names: of the logits.

    Raises:
        ClassifierError: the layers were trained for other features, or other images.
    """

    def __init__(
        self, streams: Mapping[str, Classifier], model: KerasModel, class_names: Sequence[str] = ()
    ) -> None:
        networks = list(streams.values())
        self._whole = len(model.input_shape) == 4
        num_classes = int(model.get_layer(JOINT).output.shape[-1])
        self.streams, self.model = dict(streams), model
        self._widths = [int(model.get_layer(f"{JOINT}.{n}").kernel.shape[0]) for n in streams]
        shape = networks[0].image_shape
        self._check(shape)
        doubtful = any(network.stochastic for network in networks)  # mostly, features are sure
        super().__init__(
            networks[0],
            num_classes=num_classes,
            class_names=tuple(class_names),
            differentiable=all(network.differentiable for network in networks),
            stochastic=doubtful and logits_differ(self, shape),
            passes=1,
            megabytes=megabytes_of(model.count_params())
            + (0.0 if self._whole else sum(map(megabytes, networks))),
        )
        members = {name: self._member(name) for name in streams}
        if doubtful:
            members = {n: m.replace(stochastic=answers_differ(m)) for n, m in members.items()}
        self.members = members

    def __call__(self, images: Images) -> Logits:
        """Return the joint logits."""
        return self._all(images, training=False)[JOINT]

    def logits_in_training(self, images: Images) -> Logits:
        """Return them with the layers in training mode; see `Trainable`."""
        return self._all(images, training=True)[JOINT]

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return the joint logits and probabilities, and each stream's own logits by its name."""
        every = self._all(images, training=False)
        joint = every[JOINT]
        own = {name: every[name] for name in self.streams}
        return {"logits": joint, "probabilities": tf.nn.softmax(joint)} | own

    def features(self, images: Images) -> Any:
        """Return what the joint layer reads: the features of all streams side by side."""
        if self._whole:
            return tf.cast(self.model(images, training=False)["features"], tf.float32)
        return tf.concat([stream.features(images) for stream in self.streams.values()], axis=1)

    def features_by_stream(self, images: Images) -> dict[str, Any]:
        """Return each stream's features, `(batch, its units)`."""
        parts = tf.split(self.features(images), self._widths, axis=1)
        return dict(zip(self.streams, parts, strict=True))

    def mean_weights(self) -> dict[str, float]:
        """Return the mean absolute weight of each stream in the joint decision."""
        return mean_weights(self.model, list(self.streams))

    def components(self) -> list[Component]:
        """Return the streams and the layers over them; see `tfrobust.classifiers.summary`."""
        whole = self.model.count_params()
        called = "recurrent and linear layers" if is_recurrent(self.model) else _LINEAR
        if not self._whole:
            streams = [_part(name, stream) for name, stream in self.streams.items()]
            return [*streams, _layers(whole, called)]
        trained = {n: self.model.get_layer(f"{n}.network").count_params() for n in self.streams}
        streams = [Component(n, count, megabytes_of(count)) for n, count in trained.items()]
        return [*streams, _layers(whole - sum(trained.values()), called)]

    def trackables(self) -> list[Any]:
        """Return what all networks need kept."""
        return [part for stream in self.streams.values() for part in stream.trackables()]

    def _all(self, images: Images, *, training: bool) -> dict[str, Any]:
        given = images if self._whole else self.features(images)
        every = self.model(given, training=training)
        return {name: tf.cast(logits, tf.float32) for name, logits in every.items()}

    def _check(self, image_shape: ImageShape) -> None:
        taken, given = tuple(self.model.input_shape[1:]), tuple(image_shape)
        if self._whole and taken != given:
            raise ClassifierError(f"the fusion was trained for images {taken}; received: {given}")
        if self._whole:
            return
        probe = tf.zeros((1, *image_shape))
        for (name, stream), width in zip(self.streams.items(), self._widths, strict=True):
            if (has := int(stream.features(probe).shape[1])) != width:
                raise ClassifierError(
                    f"{name}: the fusion was trained for {width} features; the network has {has}"
                )

    def _member(self, name: str) -> Classifier:
        """Return a stream's own classifier: a Keras one where the stream is, to be trained on."""
        stream, head = self.streams[name], self.model.get_layer(name)
        if self._whole:
            keras = keras_of(self.model)
            model = keras.Model(self.model.inputs[0], self.model.output[name], name=name)
            return KerasClassifier(model, class_names=self.class_names)
        if _can_be_cut(stream):
            below = trunk(stream.model)
            model = keras_of(below).Model(below.inputs[0], head(below.outputs[0]), name=name)
            return KerasClassifier(
                model, class_names=self.class_names, differentiable=stream.differentiable
            )
        return _Stream(stream, head, self)


def _part(name: str, stream: Classifier) -> Component:
    return Component(name, parameters(stream), megabytes(stream))


def _layers(count: int, called: str = _LINEAR) -> Component:
    return Component(called, count, megabytes_of(count))


def _can_be_cut(stream: Classifier) -> bool:
    """Tell whether a stream is one Keras 3 model, whose layers can be read from."""
    if not isinstance(stream, KerasClassifier) or stream.stochastic:
        return False
    return is_functional(stream.model) and keras_of(stream.model).__name__ == "keras"


class _Stream(Wrapped):
    """A stream's own linear layer over any network's features."""

    def __init__(self, inner: Classifier, head: Any, joint: Fused) -> None:
        own = megabytes(inner) + megabytes_of(head.count_params())
        names = joint.class_names
        super().__init__(
            inner,
            num_classes=len(names),
            class_names=names,
            stochastic=False,
            passes=1,
            megabytes=own,
        )
        self._head = head

    def components(self) -> list[Component]:
        """Return the network and the layer over it."""
        return [_part("network", self.inner), _layers(self._head.count_params())]

    def __call__(self, images: Images) -> Logits:
        """Return the stream's logits."""
        return tf.cast(self._head(self.inner.features(images)), tf.float32)

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return its logits and probabilities alone."""
        return Classifier.outputs(self, images)
