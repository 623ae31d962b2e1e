"""Contextual fusion: the background of an object confirms it.

A network trained on objects (the foreground) and others trained on scenes (the background) are
frozen. Their penultimate features are concatenated and classified by one linear layer, which is
trained on cross-entropy + α · ‖W_foreground‖²: the larger α, the less the foreground counts. With a
large α nothing of it is left, and the joint classifier is the background; `found` tells.

Akumalla, Haney & Bazhenov, "Contextual fusion for adversarial robustness" (2020). Departures: more
than one background is possible; the paper names no optimizer, ours is Adam. Cross-entropy is the
mean over a batch, where the paper writes a sum over all images. Each stream also gets its own
linear layer on the same features, and is a classifier by itself. `layer=recurrent` is the paper's
future work, which it names and does not define: ours is a plain recurrent layer that is shown the
same features at every step (`heads`). There the penalty binds less: what reads the state can make
up for small foreground weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import keras
import pydantic

from tfrobust.adaptive import AdaptiveAttack, descent
from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier, copied
from tfrobust.classifiers.keras.graph import trunk
from tfrobust.defense import NOTHING, Changes, Defended, Defense, Need, Stage
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.pipeline.fine_tuning import described
from tfrobust.pipeline.named_networks import several
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import KerasModel
from tfrobust_fusion.backgrounds import Backgrounds
from tfrobust_fusion.features import FeatureScenario, beside, features_of
from tfrobust_fusion.fused import Fused
from tfrobust_fusion.heads import Heads, Recurrence
from tfrobust_fusion.shares import BACKGROUND_ALONE, contributions

FOREGROUND = "foreground"


@plugin
class ContextualFusion(Defense):
    """Lets networks trained on scenes vouch for a network trained on objects."""

    stage: ClassVar[Stage] = Stage.AUXILIARY
    undone_by: ClassVar[Changes] = NOTHING
    changes_classes: ClassVar[bool] = True

    background: str | tuple[str, ...] | None = option(
        "network trained on scenes, or several: a name in the store, a path, a .pth or "
        ".safetensors file with torchvision's names, or imagenet (if the architecture has "
        "such weights)",
        default=None,
    )
    architecture: str = option(
        "model plugin that fits the weights file; for imagenet one with such weights, such as "
        "resnet50",
        default="resnet18",
    )
    options: dict[str, Any] | None = option(
        'further options of the architecture: {"stem": "cifar"}', default=None
    )
    alpha: float = option("α: penalty on the joint layer's foreground weights", default=0.0, ge=0)
    layer: Literal["linear", "recurrent"] = option(
        "joint layer: linear, or recurrent: a state that settles", default="linear"
    )
    units: int = option("units of the recurrent layer's state", default=128, ge=1)
    steps: int = option("steps of the recurrent layer", default=4, ge=1, le=100)
    finetune: bool = option("also train the networks, not only the layers on top", default=False)
    epochs: int | None = option(
        "epochs of the layers on top; none: those of the training", default=None, ge=0
    )
    learning_rate: float = option(
        "learning rate of the layers on top, with Adam", default=1e-3, gt=0
    )

    _listed = pydantic.field_validator("background")(several)

    @property
    def changes(self) -> Changes:
        """The head; and the weights of every network where they are trained along."""
        return frozenset({"head", "weights"} if self.finetune else {"head"})

    @property
    def needs(self) -> frozenset[Need]:
        """Networks whose layers can be trained, where they are; else features, which all show."""
        return frozenset({"network"} if self.finetune else ())

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Projected gradient descent through both streams; see `Defense`."""
        return descent(
            "the joint decision has gradients: the attack goes through both streams",
            "Tramèr et al. 2020",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse streams that do not fit; see `Defense`.

        Raises:
            UsageError: no background is given, or one takes other images; `finetune` with a
                network that is no Keras 3 model.
            ClassifierError: one shows no features.
        """
        self._fitting(classifier, scenario)

    def _fitting(self, classifier: Classifier, scenario: Scenario) -> dict[str, Classifier]:
        """Return the streams, each of which fits the scenario."""
        streams = self.streams(classifier)
        for name, stream in streams.items():
            if stream.image_shape != scenario.image_shape:
                raise UsageError(
                    f"contextual_fusion: {name}: expected a network for images "
                    f"{scenario.image_shape}; received: one for {stream.image_shape}"
                )
            if self.finetune and not isinstance(stream, KerasClassifier):
                raise UsageError(
                    f"contextual_fusion: finetune: expected Keras models; {name} is "
                    f"{described(stream)}"
                )
            stream.features(keras.ops.zeros((1, *stream.image_shape)))
        return streams

    def streams(self, classifier: Classifier) -> dict[str, Classifier]:
        """Return the networks whose features are fused, the foreground first.

        Raises:
            UsageError: no background is given, or one cannot be found.
        """
        if not self.background:
            raise UsageError(
                "contextual_fusion: background: expected the network of scenes; give "
                "-p background=NAME, a path or a weights file"
            )
        named = Backgrounds(
            "contextual_fusion: background",
            self.architecture,
            self.options or {},
            classifier.image_shape,
        )
        return {FOREGROUND: classifier, **named.networks(self.background)}

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train the layers on top, and the networks where `finetune`; see `Defense`.

        Returns:
            The joint classifier. It `found`, on the training images: each stream's share of the
            joint decision (`share_foreground`), and for how many images it decides as the stream
            alone does (`agrees_background`).

        Raises:
            UsageError: as `check` does.
        """
        streams = self._fitting(classifier, scenario)
        own = trainer.altered(
            epochs=trainer.options.epochs if self.epochs is None else self.epochs,
            optimizer="adam",
            learning_rate=self.learning_rate,
            target=None,
        )
        if self.finetune:
            model, heads, features = self._tuned(streams, scenario, own)
        else:
            features, widths = _all_features(streams, scenario, own)
            with own.strategy.scope():
                heads = self._heads(widths, scenario, own)
                model = heads.model()
            heads.fit(features, own)
            heads.fit_own(features, own)
        found = contributions(heads.model(), features.of("train"), heads.widths)
        if found[f"share_{FOREGROUND}"] < BACKGROUND_ALONE:
            own.log(self._background_alone(found))
        return Defended(Fused(streams, model, scenario.class_names), found)

    def summary_totals(self, classifier: Classifier, found: Mapping[str, Any]) -> dict[str, str]:
        """Return how much of the joint decision is the foreground's; see `Defense`."""
        share = found.get(f"share_{FOREGROUND}")
        return {} if share is None else {"foreground's share of the decision": f"{share:.1%}"}

    def _background_alone(self, found: Mapping[str, float]) -> str:
        advice = "; take a smaller alpha to fuse both" if self.alpha else ""
        return (
            f"contextual_fusion: alpha={self.alpha:g} leaves the foreground "
            f"{found[f'share_{FOREGROUND}']:.1%} of the joint decision: the joint classifier is "
            f"the background{advice}"
        )

    def restore(self, classifier: Classifier, model: KerasModel) -> Classifier:
        """Put trained layers on top of the networks; see `Defense`."""
        return Fused(self.streams(classifier), model)

    def _heads(self, widths: dict[str, int], scenario: Scenario, trainer: Trainer) -> Heads:
        recurrence = Recurrence(self.units, self.steps) if self.layer == "recurrent" else None
        return Heads(
            widths,
            scenario.num_classes,
            alpha=self.alpha,
            seed=trainer.options.seed,
            recurrence=recurrence,
        )

    def _tuned(
        self, streams: dict[str, Classifier], scenario: Scenario, trainer: Trainer
    ) -> tuple[KerasModel, Heads, FeatureScenario]:
        """Return a model from images to every layer's logits, trained from its first layer on.

        With it its layers, and the features that they read now.
        """
        with trainer.strategy.scope():
            images = keras.Input(scenario.image_shape, name="images")
            seen = {name: _renamed(stream, name)(images) for name, stream in streams.items()}
            widths = {name: int(features.shape[-1]) for name, features in seen.items()}
            heads = self._heads(widths, scenario, trainer)
            joint = keras.Model(images, heads.joint(seen), name="joint_tuned")
            features = keras.layers.Concatenate(name="side_by_side")(list(seen.values()))
            model = keras.Model(images, heads.logits(features) | {"features": features})
        trainer.altered().fit(KerasClassifier(joint), scenario)
        tuned = {
            name: KerasClassifier(keras.Model(images, heads.own[name](features)))
            for name, features in seen.items()
        }
        after, _ = _all_features(tuned, scenario, trainer)
        heads.fit_own(after, trainer)
        return model, heads, after


def _all_features(
    streams: dict[str, Classifier], scenario: Scenario, trainer: Trainer
) -> tuple[FeatureScenario, dict[str, int]]:
    """Return the features of all streams, of the splits that a training reads, and their widths."""
    features_of_splits = {
        split: features_of(streams, scenario, split, trainer.report)
        for split in scenario.splits
        if split in ("train", "validation")
    }
    widths = {
        name: features.values.shape[1] for name, features in features_of_splits["train"].items()
    }
    joined = {split: beside(features) for split, features in features_of_splits.items()}
    return FeatureScenario(joined, scenario.class_names), widths


def _renamed(stream: Any, name: str) -> Any:
    """Return a copy of a network up to its features, as a layer of this name."""
    below = trunk(copied(stream).model)
    return keras.Model(below.inputs[0], below.outputs[0], name=name + ".network")
