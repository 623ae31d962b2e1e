"""One attack on one classifier, judged: from an audit to the line of `results.json`."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.run import Crafted
from tfrobust.engine.victim import FirstGradients
from tfrobust.evaluation.audit import Audit, CleanImages, audit_images
from tfrobust.evaluation.settings import EvaluationInputs
from tfrobust.registry import signature
from tfrobust.results import metrics
from tfrobust.results.records import (
    NORMS,
    AttackResult,
    GradientShares,
    Proportion,
    Spread,
    ThreatRecord,
)
from tfrobust.types import Flags, Images, Labels


@dataclasses.dataclass(frozen=True)
class Subject:
    """A classifier that is judged.

    Attributes:
        name: in
        classifier: itself.
        clean: int64 `(n,)`: what it predicts for the evaluation's clean images.
    """

    name: str
    classifier: Classifier
    clean: Labels


@dataclasses.dataclass(frozen=True)
class Attacked:
    """One attack on one classifier, judged.

    Attributes:
        attack: with its options.
        examples: the evaluation's example images, attacked.
        images: all images, attacked, `(n, height, width, channels)`; none unless they are kept.
        audit: the fate of each image.
        survivors: bool `(n,)`: right before and after; if corrective, right after.
        fooled: bool `(n,)`: right before, and the attack reached its goal.
        result: the line of `results.json`.
    """

    attack: Attack
    examples: Images
    images: Images
    audit: Audit
    survivors: Flags
    fooled: Flags
    result: AttackResult

    def without_images(self) -> Attacked:
        """Return the same without the images, which take memory."""
        return dataclasses.replace(self, images=np.empty_like(self.images[:0]))


def audit_attack(
    inputs: EvaluationInputs, subject: Subject, attack: Attack, crafted: Crafted
) -> Attacked:
    """Audit the images of an attack, and compute its figures."""
    audited = audit_images(
        subject.classifier,
        attack,
        CleanImages(inputs.images, inputs.labels, subject.clean, inputs.boxes),
        crafted.images,
        targets=crafted.targets,
        batch_size=inputs.settings.batch_size,
    )
    fooled = audited.success & left_to_do(attack, subject.clean, inputs.labels)
    # A slice of none would be a view, and keep all of them in memory.
    kept = crafted.images if inputs.keeps_images else np.empty_like(crafted.images[:0])
    return Attacked(
        attack=attack,
        examples=crafted.images[inputs.examples],
        images=kept,
        audit=audited,
        survivors=_survivors(inputs, subject, attack, audited),
        fooled=fooled,
        result=_attack_result(inputs, subject, attack, crafted, audited),
    )


def _attack_result(
    inputs: EvaluationInputs,
    subject: Subject,
    attack: Attack,
    crafted: Crafted,
    audited: Audit,
) -> AttackResult:
    """Return the line of `results.json`."""
    count, known = len(inputs.labels), inputs.settings.scenario.num_classes
    to_do = left_to_do(attack, subject.clean, inputs.labels)
    rate = metrics.success_rate(audited.success, to_do)
    new_classes = subject.classifier.num_classes > known
    return AttackResult(
        **signature(attack),
        **dict(proportion(_survivors(inputs, subject, attack, audited))),
        threat=ThreatRecord(**dataclasses.asdict(attack.threat)),
        minimum_norm=attack.minimum_norm,
        corrective=attack.corrective,
        crafted_on=inputs.settings.crafted_on_name,
        success_rate=None if np.isnan(rate) else rate,
        fooling_ratio=metrics.fooling_ratio(audited.prediction, subject.clean),
        distance={
            norm: Spread(**metrics.summary(audited.distance[norm][audited.success & to_do]))
            for norm in NORMS
        },
        gradients=gradient_shares(crafted.first),
        gradients_per_image=crafted.gradients / count,
        queries_per_image=crafted.queries / count,
        violations=int(audited.violation.sum()),
        rejected=metrics.share(audited.prediction >= known) if new_classes else None,
        seconds=round(crafted.seconds, 3),
    )


def _survivors(inputs: EvaluationInputs, subject: Subject, attack: Attack, audited: Audit) -> Flags:
    """Return which images count as right, bool `(n,)`."""
    if attack.corrective:
        return audited.prediction == inputs.labels
    return metrics.survivors(audited.prediction, subject.clean, inputs.labels)


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


def proportion(right: Flags) -> Proportion:
    """Return the share of true flags with its interval."""
    interval = metrics.wilson(int(right.sum()), len(right))
    return Proportion(accuracy=metrics.share(right), interval=interval)
