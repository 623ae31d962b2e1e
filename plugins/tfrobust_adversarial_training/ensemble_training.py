"""Ensemble adversarial training: train on images that were also attacked on other networks.

min_θ E_{x,y} E_s (1 − ρ) · L(x, y; θ) + ρ · L(A(x, y; s), y; θ)

ρ is `share`, ½ by default. A is the inner attack, on a source s drawn for the batch, each as likely
as the others: the network itself, or one of several that were trained before and stay as they are.
An attack on other networks does not get weaker when this network masks its own gradients.

Tramèr, Kurakin, Papernot, Goodfellow, Boneh & McDaniel, "Ensemble adversarial training: attacks and
defenses" (2018). Threat: black-box, by images that transfer from other networks; the inner attack
is white-box for its source. Every network is attacked in inference mode; clean and attacked images
then make one pass in training mode, and one set of averages. Departures, from the authors' code for
MNIST: there every image of a batch is passed twice, clean and attacked, and the two mean losses
weigh a half each; here ⌈ρ · batch⌉ images are attacked and the others are clean, and the batch has
one mean. That is the same in expectation for half the passes, and noisier. There FGSM climbs the
loss of the class that the source itself predicts, and in training mode; here that of the true
class, which a network under FGSM may learn to read from the perturbation (label leaking): `pgd`
leaks less. ε is one for all images, as there, but 0.1 by default and not 0.3; it is not drawn for
each image, as Kurakin et al. (2017) do for ImageNet. The inner attack is any attack plugin, or what
one has learned before (its `file`), which then asks no source; on several devices each draws a
source of its own for its part of the batch. The best epoch is that of the highest accuracy on
validation images that are all attacked, in equal parts on every source; the authors take the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pydantic
import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.defense import Defended, Need
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.pipeline.named_networks import NamedNetworks, is_weights_file, several
from tfrobust.random import fold
from tfrobust.scenario import Scenario
from tfrobust.training.task import Perturb, TrainingTask
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Labels, Seeds
from tfrobust_adversarial_training.inner_attack import TrainsOnAttacked, in_drawn_order, partly

_SHOWN = 5  # names of classes, in a message
_SOURCE = 104729  # folded into seeds for the draw of the source, far from any count of restarts


@plugin
class EnsembleTraining(TrainsOnAttacked):
    """Trains on images attacked on other networks and on the network itself.

    Example:
        >>> others = create("defenses", "ensemble_training", networks=["d1", "d2"], eps=0.1)
        >>> train(create("models", "lenet"), scenario, Trainer(), [others])
    """

    takes_learned: ClassVar[bool] = True

    networks: str | tuple[str, ...] | None = option(
        "the other networks, one or several: a name in the store, a path, or a .pth or "
        ".safetensors file with torchvision's names",
        default=None,
    )
    architecture: str = option("model plugin that fits the weights file", default="resnet18")
    network_options: dict[str, Any] | None = option(
        'further options of the architecture: {"stem": "cifar"}', default=None
    )
    attack: str = option("inner attack: the name of an attack plugin", default="fgsm")
    share: float = option("share of each batch that is attacked", default=0.5, gt=0, le=1)

    _listed = pydantic.field_validator("networks")(several)

    @property
    def needs(self) -> frozenset[Need]:
        """The other networks have the classes of this one."""
        return super().needs | {"classes"}

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse networks that do not fit, and an attack that no step can run; see `Defense`.

        Raises:
            UsageError: no network is given; one takes other images, has other classes or no
                gradients; see `TrainsOnAttacked` too.
        """
        super().check(classifier, scenario)
        self.static_networks(classifier)

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train `classifier` on clean and attacked images; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        attack = self.inner_attack()
        attack.check(classifier)  # what a file holds may be of other images
        # Not in the strategy's scope: a SavedModel that is loaded there runs on no replica.
        sources = [classifier, *self.static_networks(classifier)]
        task = TrainingTask(
            perturb=partly(attacked_on_one(attack, sources), self.share),
            validate_on=in_drawn_order(attacked_in_parts(attack, sources), trainer.options.seed),
            ramp=self.ramp,
        )
        trainer.fit(classifier, scenario, task)
        return Defended(classifier)

    def static_networks(self, classifier: Classifier) -> list[Classifier]:
        """Return the other networks.

        Raises:
            UsageError: there are none, or one does not fit the classifier.
        """
        wanted_by = "ensemble_training: networks"
        if not self.networks:
            raise UsageError(
                f"{wanted_by}: expected networks that were trained before; give -p networks=NAME, "
                "a path or a weights file, or a list of them"
            )
        if self.network_options and not any(map(is_weights_file, self.networks)):
            raise UsageError(
                "ensemble_training: network_options: mean something for a weights file alone; "
                f"received: {', '.join(self.networks)}; leave them out"
            )
        shape, classes = classifier.image_shape, classifier.num_classes
        named = NamedNetworks(wanted_by, self.architecture, self.network_options or {}, shape)
        networks = {called: named.open(called, classes) for called in self.networks}
        for called, network in networks.items():
            if (network.image_shape, network.num_classes) != (shape, classes):
                raise UsageError(
                    f"{wanted_by}: expected images {shape} and {classes} classes; received: "
                    f"{called!r} for {network.image_shape} and {network.num_classes}"
                )
            if _told_apart(classifier.class_names, network.class_names):
                raise UsageError(
                    f"{wanted_by}: expected the classes of the network that is trained, in their "
                    f"order: {_shown(classifier)}; received: {called!r}, whose are "
                    f"{_shown(network)}"
                )
            if not network.differentiable and self.inner_attack().needs_gradients:
                raise UsageError(
                    f"{wanted_by}: {called!r} has no gradients that {self.attack} can climb"
                )
        return list(networks.values())


def attacked_on_one(attack: Attack, sources: Sequence[Classifier]) -> Perturb:
    """Return what attacks batches, each on a source drawn by the batch's first seed."""

    def perturb(_: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Any:
        drawn = tf.random.stateless_uniform(
            (), fold(seeds[:1], _SOURCE)[0], 0, len(sources), dtype=tf.int32
        )
        branches = [_on(attack, source, images, labels, seeds) for source in sources]
        return tf.switch_case(drawn, branches)

    return perturb


def attacked_in_parts(attack: Attack, sources: Sequence[Classifier]) -> Perturb:
    """Return what attacks whole batches, in equal parts on every source."""

    def perturb(_: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Any:
        ends = [tf.size(labels) * part // len(sources) for part in range(len(sources) + 1)]
        parts = []
        for source, start, end in zip(sources, ends[:-1], ends[1:], strict=True):
            given = images[start:end], labels[start:end], seeds[start:end]
            # An attack need not know what to do with no images at all.
            part = tf.cond(end > start, _on(attack, source, *given), lambda given=given: given[0])
            parts.append(part)
        return tf.concat(parts, axis=0)

    return perturb


def _told_apart(names: Sequence[str], others: Sequence[str]) -> bool:
    """Tell whether classes differ that both have names: numbers are what a nameless one has."""
    named = [not all(name.isdigit() for name in both) for both in (names, others)]
    return all(named) and tuple(names) != tuple(others)


def _shown(classifier: Classifier) -> str:
    more = ", …" if classifier.num_classes > _SHOWN else ""
    return ", ".join(classifier.class_names[:_SHOWN]) + more


def _on(
    attack: Attack, source: Classifier, images: Images, labels: Labels, seeds: Seeds
) -> Callable[[], Any]:
    return lambda: attack(source, images, labels, seed=seeds)
