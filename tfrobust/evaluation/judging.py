"""One attack on one classifier, judged: rows of a block, and the line of `results.json`."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.counted import FirstGradients
from tfrobust.engine.run import Crafted
from tfrobust.evaluation.audit import CleanImages, audit_images
from tfrobust.evaluation.blocks.block import BlockImages
from tfrobust.evaluation.blocks.rows import AttackRows, Cost
from tfrobust.evaluation.curves.queries import curve_of
from tfrobust.registry import signature
from tfrobust.results import metrics
from tfrobust.results.attack_records import NORMS, AttackResult, GradientShares, ThreatRecord
from tfrobust.results.proportions import Proportion, Spread
from tfrobust.types import Flags, Labels


@dataclasses.dataclass(frozen=True)
class Subject:
    """A classifier that is judged.

    Attributes:
        name: in the results.
        classifier: itself.
        clean: `(n,)`: what it predicts for the clean images.
    """

    name: str
    classifier: Classifier
    clean: Labels


def audited_rows(
    block: BlockImages,
    subject: Subject,
    attack: Attack,
    crafted: Crafted,
    batch_size: int,
    *,
    keep: bool = False,
) -> AttackRows:
    """Audit the images that an attack made of a block.

    Args:
        block: the clean images.
        subject: the classifier that they should fool.
        attack: with its options.
        crafted: what it made.
        batch_size: images at a time.
        keep: whether to keep all the images.

    Returns:
        The rows, without what it took to learn the attack and without detectors.
    """
    audited = audit_images(
        subject.classifier,
        attack,
        CleanImages(block.images, block.labels, subject.clean, block.boxes),
        crafted.images,
        targets=crafted.targets,
        batch_size=batch_size,
    )
    return AttackRows(
        prediction=audited.prediction.astype(np.int32),
        success=audited.success,
        reached=audited.reached,
        distance=audited.distance,
        violations=int(audited.violation.sum()),
        cut_off=crafted.cut_off,
        cost=Cost.of(crafted, None),
        learning=None,
        examples=crafted.images[block.examples],
        images=crafted.images if keep else None,
        found=crafted.found,
    )


class Attacked(Protocol):
    """One attack on one classifier, over all blocks; columns are read one at a time."""

    @property
    def attack(self) -> Attack:
        """The attack, with its options."""

    @property
    def crafted_on(self) -> str | None:
        """Name of the classifier that it saw instead, if there is one."""

    @property
    def imitated(self) -> str | None:
        """What that classifier is a surrogate of, if it is one."""

    @property
    def violations(self) -> int:
        """How many images break the rules of the attack."""

    @property
    def cut_off(self) -> int:
        """How many images' attacks ended early, because a budget of queries was spent."""

    @property
    def cost(self) -> Cost:
        """Of crafting all images, and of learning the attack."""

    @property
    def recorded(self) -> bool:
        """Whether what it reached by each number of queries was recorded, for all images."""

    def column(self, name: str) -> np.ndarray:
        """Return `prediction`, `success`, `reached` or a norm's distances, `(images,)`.

        Where it was recorded, also `asked` and `by100`: see `tfrobust.engine.recording`.
        """


def attack_result(
    subject: Subject, attacked: Attacked, labels: Labels, known_classes: int
) -> AttackResult:
    """Return the line of `results.json`.

    Args:
        subject: the classifier.
        attacked: it under the attack.
        labels: int64 `(n,)`.
        known_classes: how many classes the scenario has.
    """
    attack, cost, count = attacked.attack, attacked.cost, len(labels)
    to_do = left_to_do(attack, subject.clean, labels)
    success = attacked.column("success")
    rate = metrics.success_rate(success, to_do)
    success = success & to_do
    prediction = attacked.column("prediction")
    new_classes = subject.classifier.num_classes > known_classes
    return AttackResult(
        **signature(attack),
        **dict(Proportion.of(survivors(attack, prediction, subject.clean, labels))),
        threat=ThreatRecord(**dataclasses.asdict(attack.threat)),
        minimum_norm=attack.minimum_norm,
        corrective=attack.corrective,
        crafted_on=attacked.crafted_on,
        imitated=attacked.imitated,
        success_rate=None if np.isnan(rate) else rate,
        fooling_ratio=metrics.fooling_ratio(prediction, subject.clean),
        distance={
            norm: Spread(**metrics.summary(attacked.column(norm)[success])) for norm in NORMS
        },
        gradients=gradient_shares(cost.first),
        gradients_per_image=cost.gradients / count,
        queries_per_image=cost.queries / count,
        violations=attacked.violations,
        cut_off=attacked.cut_off or None,
        by_queries=curve_of(attacked, subject.clean == labels) if attacked.recorded else None,
        rejected=metrics.share(prediction >= known_classes) if new_classes else None,
        seconds=round(cost.seconds, 3),
    )


def survivors(attack: Attack, prediction: Labels, clean: Labels, labels: Labels) -> Flags:
    """Return which images count as right, bool `(n,)`: before and after; if corrective, after."""
    if attack.corrective:
        return prediction == labels
    return metrics.survivors(prediction, clean, labels)


def left_to_do(attack: Attack, clean: Labels, labels: Labels) -> Flags:
    """Return the images that an attack has to change, bool `(n,)`.

    An image that was wrong before needs no change, and its distance of zero says nothing.

    Args:
        attack: hostile, or corrective.
        clean: int64 `(n,)`: what is predicted for the clean images.
        labels: int64 `(n,)`.
    """
    return clean != labels if attack.corrective else clean == labels


def gradient_shares(first: FirstGradients) -> GradientShares | None:
    """Return the shares of images without a gradient; `None` of an attack that asked for none."""
    if not first.images:
        return None
    zero, non_finite = first.zero / first.images, first.non_finite / first.images
    return GradientShares(zero=zero, non_finite=non_finite)
