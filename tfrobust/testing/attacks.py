"""The contract of attacks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.options import has_option, record
from tfrobust.testing.classifiers import SHAPE, grey_images
from tfrobust.testing.crafting import audited, constant, crafted_by, linear, network


def attack_checks() -> Sequence[Callable[[Attack], None]]:
    """Return the checks every attack must pass; each takes a built attack."""
    return (
        keeps_to_the_ball_and_the_box,
        without_budget_returns_the_image,
        same_seed_same_result,
        batch_size_changes_no_verdict,
        randomness_belongs_to_the_image,
        does_not_touch_its_inputs,
        leaves_alone_what_cannot_be_broken,
        leaves_alone_what_is_broken_already,
        is_adversarial_in_any_batch,
        has_a_json_record,
        reaches_its_targets,
        keeps_to_its_region,
        takes_all_pixels_for_a_region_too,
    )


def keeps_to_the_ball_and_the_box(attack: Attack) -> None:
    """Return images of the same shape, inside the ball and [0, 1], without NaN."""
    classifier = network()
    draw = np.random.default_rng(3)
    images = draw.uniform(size=(9, *SHAPE)).astype(np.float32)
    images[0], images[1] = 0.0, 1.0
    labels = clean_predictions(classifier, images)
    crafted = crafted_by(attack, classifier, images, labels, batch_size=4)
    assert crafted.images.dtype == np.float32, f"expected float32; got {crafted.images.dtype}"
    judged = audited(attack, classifier, images, labels, crafted)
    assert not judged.violation.any(), (
        f"images {np.flatnonzero(judged.violation).tolist()} leave the ball or [0, 1], or hold NaN"
    )


def without_budget_returns_the_image(attack: Attack) -> None:
    """Return the very image where `eps` is 0; skipped for attacks that have no budget."""
    if attack.minimum_norm or not has_option(attack, "eps"):
        return
    changes = {"eps": 0.0}
    if has_option(attack, "eps_iter"):
        changes["eps_iter"] = 0.0
    nothing = dataclasses.replace(attack, **changes)  # type: ignore[type-var]
    classifier = network()
    images, labels = grey_images(classifier)
    crafted = crafted_by(nothing, classifier, images, labels)
    assert np.abs(crafted.images - images).max() <= 1e-6, "eps = 0 changed an image"


def same_seed_same_result(attack: Attack) -> None:
    """Return the same bits twice for one seed."""
    classifier = network()
    images, labels = grey_images(classifier)
    first, second = (crafted_by(attack, classifier, images, labels, seed=5) for _ in range(2))
    assert np.array_equal(first.images, second.images), "one seed gave two results"


def batch_size_changes_no_verdict(attack: Attack) -> None:
    """Break the same images for all batch sizes."""
    classifier = network()
    images, labels = grey_images(classifier)
    verdicts = []
    for batch_size in (1, 4, len(images)):
        crafted = crafted_by(attack, classifier, images, labels, batch_size=batch_size)
        verdicts.append(audited(attack, classifier, images, labels, crafted).success)
    assert np.array_equal(verdicts[0], verdicts[1]), "batch sizes 1 and 4 disagree"
    assert np.array_equal(verdicts[0], verdicts[2]), "batch size 1 and one batch disagree"


def randomness_belongs_to_the_image(attack: Attack) -> None:
    """Make nearly the same images for all batch sizes: draw from each image's own seed."""
    classifier = linear()
    images, labels = grey_images(classifier)
    alone, together = (
        crafted_by(attack, classifier, images, labels, batch_size=size).images for size in (1, 11)
    )
    apart = float(np.abs(alone - together).max())
    assert apart <= 0.02, f"batch sizes 1 and 11 give images {apart:.3f} apart; see tfrobust.random"


def does_not_touch_its_inputs(attack: Attack) -> None:
    """Leave the caller's images and labels as they were."""
    classifier = network()
    images, labels = grey_images(classifier)
    before = images.copy(), labels.copy()
    crafted_by(attack, classifier, images, labels)
    assert np.array_equal(images, before[0]), "the attack wrote into its images"
    assert np.array_equal(labels, before[1]), "the attack wrote into its labels"


def leaves_alone_what_cannot_be_broken(attack: Attack) -> None:
    """Return sound images where nothing changes the class; a minimum-norm attack the clean ones."""
    classifier = constant()
    images, _ = grey_images(classifier, 3)
    labels = np.full(len(images), int(attack.corrective))  # right, or wrong, and remains so
    crafted = crafted_by(attack, classifier, images, labels, targets="next")
    judged = audited(attack, classifier, images, labels, crafted)
    assert not judged.violation.any(), "images leave the ball or [0, 1], or hold NaN"
    assert not judged.success.any(), "counted as broken"
    if attack.minimum_norm:
        assert np.array_equal(crafted.images, images), "changed an image that cannot be broken"


def leaves_alone_what_is_broken_already(attack: Attack) -> None:
    """Return misclassified images unchanged; asked of untargeted minimum-norm attacks only."""
    if not attack.minimum_norm or attack.threat.targeted:
        return
    classifier = network()
    images, labels = grey_images(classifier, 4)
    crafted = crafted_by(attack, classifier, images, (labels + 1) % classifier.num_classes)
    assert np.array_equal(crafted.images, images), "changed an image that was misclassified"


def is_adversarial_in_any_batch(attack: Attack) -> None:
    """Find images that are adversarial in a batch of any size, not just in the one they lay in."""
    if not attack.minimum_norm:
        return
    classifier = network()
    images, labels = grey_images(classifier, 9)
    crafted = crafted_by(attack, classifier, images, labels)
    goal = labels if crafted.targets is None else crafted.targets
    changed = np.flatnonzero((crafted.images != images).any(axis=(1, 2, 3)))
    for size in (1, 2, 5):
        predicted = clean_predictions(classifier, crafted.images, batch_size=size)[changed]
        hit = predicted == goal[changed] if attack.threat.targeted else predicted != goal[changed]
        assert hit.all(), (
            f"images {changed[~hit].tolist()} are not adversarial in batches of {size}"
        )


def has_a_json_record(attack: Attack) -> None:
    """Have options that `results.json` can record."""
    json.dumps(record(attack), allow_nan=False)


def reaches_its_targets(attack: Attack) -> None:
    """Reach the target, not just leave the label, given a generous budget.

    Skipped for attacks without the option `targeted`, and without a budget to widen.
    """
    if not has_option(attack, "targeted") or not has_option(attack, "eps"):
        return
    wide = {"linf": 0.5, "l2": 6.0, "l1": 60.0, "l0": 20.0}.get(attack.threat.norm or "", 0.5)
    changes: dict[str, Any] = {"targeted": True}
    if not attack.minimum_norm:
        changes["eps"] = wide
    aimed = dataclasses.replace(attack, **changes)  # type: ignore[type-var]
    classifier = linear()
    images, labels = grey_images(classifier)
    crafted = crafted_by(aimed, classifier, images, labels, targets="next")
    reached = clean_predictions(classifier, crafted.images) == crafted.targets
    assert reached.mean() > 0.5, f"reached only {reached.mean():.0%} of its targets"


def keeps_to_its_region(attack: Attack) -> None:
    """Use what the region leaves it, and break the same images in any batch.

    The engine puts back what lies outside: an attack that spends its budget there changes nothing.
    One without a budget may find nothing. Asked of attacks with the option `region`, as the next.
    """
    if not has_option(attack, "region"):
        return
    classifier = network()
    images, labels = grey_images(classifier)
    if attack.corrective:
        labels = (labels + 1) % classifier.num_classes  # or there is nothing to correct
    for region in ("foreground", "background"):
        confined: Any = dataclasses.replace(attack, region=region)  # type: ignore[type-var]
        verdicts = []
        for batch_size in (3, len(images)):
            crafted = crafted_by(confined, classifier, images, labels, batch_size=batch_size)
            idle = np.array_equal(crafted.images, images) and not attack.minimum_norm
            assert not idle, f"region={region}: changed nothing inside of it"
            verdicts.append(audited(confined, classifier, images, labels, crafted).success)
        assert np.array_equal(*verdicts), f"region={region}: batch sizes disagree"


def takes_all_pixels_for_a_region_too(attack: Attack) -> None:
    """Make the same images with `region=all` whether or not it is told where objects are."""
    if not has_option(attack, "region"):
        return
    everywhere: Any = dataclasses.replace(attack, region="all")  # type: ignore[type-var]
    classifier = network()
    images, labels = grey_images(classifier)
    with_boxes = crafted_by(everywhere, classifier, images, labels).images
    plain = run_attack(everywhere, classifier, images, labels).images
    assert np.array_equal(with_boxes, plain), "boxes change what region=all makes"
