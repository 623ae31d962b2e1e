"""Regions: which pixels an attack may change, and where the boxes come from."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory
from tfrobust.attack import RegionalAttack, Threat
from tfrobust.data.names import Framed, Framing
from tfrobust.data.shifted import Shifted
from tfrobust.data.survey import survey
from tfrobust.engine import regions
from tfrobust.engine.ensemble import Ensemble
from tfrobust.engine.loop import iterate
from tfrobust.engine.object_boxes import boxes_for, free_of
from tfrobust.engine.run import run_attack
from tfrobust.errors import DataError, PluginError, UsageError
from tfrobust.evaluation.audit import audit
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.evaluation.fitting_images import attacked_training_images
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.report.tables import attack_title
from tfrobust.scenario import Shift
from tfrobust.testing import LinearClassifier, grey_images, some_boxes
from tfrobust.testing.attacks import keeps_to_its_region

SHAPE = (4, 4, 1)
QUARTER = np.array([[0.0, 0.0, 0.5, 0.5]], np.float32)


@plugin
class Boxed(InMemory):
    """Random noise with one box in every other image, and two in the rest."""

    fault: str = option("none, missing, empty or outside: of the image 3", default="none")

    def load(self, split):
        boxes = [QUARTER if k % 2 else np.concatenate([QUARTER, QUARTER + 0.5]) for k in range(99)]
        wrong = {"missing": QUARTER[:0], "empty": QUARTER * [1, 1, 0, 1], "outside": QUARTER * 3}
        boxes[3] = wrong.get(self.fault, boxes[3])
        padded = np.float32([np.pad(own, ((0, 2 - len(own)), (0, 0))) for own in boxes])
        counted = tf.data.Dataset.from_tensor_slices((padded, [len(own) for own in boxes]))
        both = tf.data.Dataset.zip(super().load(split), counted.map(lambda own, count: own[:count]))
        return both.map(lambda example, boxes: {**example, "boxes": boxes})


class Dimmed(Shift):
    """Every pixel is darker and stays at its place."""

    keeps_geometry = True

    def __call__(self, image, *, seed):
        return 0.9 * image


class Turned(Dimmed):
    """The image is upside down."""

    keeps_geometry = False


@plugin
class Whiten(RegionalAttack):
    """Makes every pixel white, whatever its region; or makes one mistake."""

    fault: str = option("which", default="none")

    @property
    def threat(self):
        return Threat("none", None)

    def __call__(self, classifier, images, labels, *, seed):
        if self.fault == "fewer":
            return images[:1]
        if self.fault == "idle":
            return images
        if self.fault == "part":
            classifier(images[:1])
        return tf.ones_like(images)


class Straying(Ensemble):
    """Declares a region, which its part leaves."""

    region = "foreground"

    @property
    def threat(self):
        return Threat("none", None)

    def attacks(self):
        return [Whiten()]


def case(count=5):
    classifier = LinearClassifier(SHAPE, 3)
    images, labels = grey_images(classifier, count)
    return classifier, images, labels, some_boxes(count)


def held_rows():
    """Return the first pixel of the clean images that are held, as they are now."""
    return regions.REGION.now.clean[:, 0, 0, 0]


class _Count(NamedTuple):
    left: Any
    seen: Any
    done: Any


@pytest.mark.parametrize("traced", [False, True])
def test_each_row_of_a_loop_keeps_its_own_region_loops_in_loops_too(traced):
    images = tf.reshape(tf.range(12.0), (12, 1, 1, 1))

    def inner(state, _):
        left = state.left - 1.0
        return _Count(left, held_rows(), left <= 0)

    def outer(state, number):
        every = tf.cast(number, tf.float32) + 1.0
        inside = iterate(inner, state._replace(left=state.left % 3.0 + 1.0), steps=9)
        return _Count(state.left - every, inside.seen, state.left - every <= 0)

    def run():
        start = tf.constant([5.0, 1.0, 9.0, 2.0, 30.0, 7.0, 3.0, 12.0, 4.0, 1.0, 8.0, 22.0])
        with regions.held(images, images > -1):
            state = _Count(start, tf.fill([12], -1.0), tf.fill([12], False))
            return iterate(outer, state, steps=20).seen

    seen = (tf.function(run) if traced else run)()
    assert seen.numpy().tolist() == list(range(12))
    assert regions.free_pixels() is None


def test_outside_of_the_region_the_gradient_is_zero_and_the_image_is_clean():
    classifier, images, _, boxes = case()
    free = free_of(create("attacks", "pgd", region="foreground"), boxes, images)
    for other in (images, 1.0 - images):  # the clean images themselves too
        moved = tf.constant(other)
        with regions.held(moved if other is images else tf.constant(images), free):
            with tf.GradientTape() as tape:
                tape.watch(moved)
                logits = regions.Confined(classifier)(moved)
            gradient = tape.gradient(logits, moved).numpy()
        assert np.allclose(logits, classifier(np.where(free, other, images)), atol=1e-6)
        assert ((gradient != 0) == free.numpy()).all()


def test_a_batch_that_is_not_the_regions_is_refused_by_name():
    classifier, images, labels, boxes = case()
    with pytest.raises(PluginError, match="a region needs one image a row: call the classifier"):
        run_attack(
            Whiten(region="background", fault="part"), classifier, images, labels, boxes=boxes
        )


@pytest.mark.parametrize("region", ["foreground", "background"])
@pytest.mark.parametrize("as_list", [False, True])
def test_changes_outside_of_the_region_are_undone(region, as_list):
    classifier, images, labels, boxes = case()
    given = [own[(own != 0).any(axis=1)] for own in boxes] if as_list else boxes
    attack = Whiten(region=region)
    crafted = run_attack(attack, classifier, images, labels, boxes=given, batch_size=2).images
    free = np.asarray(free_of(attack, boxes, images))
    assert np.array_equal(crafted, np.where(free, 1.0, images))


def test_the_shape_is_checked_before_anything_is_pasted():
    classifier, images, labels, boxes = case()
    attack = Whiten(region="background", fault="fewer")
    with pytest.raises(PluginError, match=r"received: float32 \(1, 4, 4, 1\)"):
        run_attack(attack, classifier, images, labels, boxes=boxes)


def test_without_boxes_a_region_is_refused_in_one_line():
    classifier, images, labels, boxes = case()
    says = r"pgd: region=foreground has no boxes: choose a scenario that has them \(coco, .* or reg"
    with pytest.raises(UsageError, match=says):
        run_attack(create("attacks", "pgd", region="foreground"), classifier, images, labels)
    with pytest.raises(UsageError, match="box_blur: region=foreground has no boxes"):
        run_attack(create("attacks", "box_blur"), classifier, images, labels)
    with pytest.raises(DataError, match="boxes: expected those of 5 images; received: 4"):
        run_attack(create("attacks", "box_blur"), classifier, images, labels, boxes=boxes[:4])


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("missing", "image 3: has no box; expected one or more"),
        ("empty", "image 3: box is empty"),
        ("outside", "image 3: box reaches out of the image"),
    ],
)
def test_a_box_that_is_missing_or_wrong_is_named_by_its_image(fault, says):
    with pytest.raises(DataError, match=says):
        boxes_for([create("attacks", "box_blur")], Boxed(fault=fault), "test")


def test_an_attack_that_changes_nothing_in_its_region_breaks_the_contract():
    keeps_to_its_region(Whiten())
    with pytest.raises(AssertionError, match="region=foreground: changed nothing inside of it"):
        keeps_to_its_region(Whiten(fault="idle"))


def test_boxes_are_read_only_where_an_attack_needs_them():
    pgd = create("attacks", "pgd")
    assert boxes_for([pgd], Boxed(fault="missing"), "test") is None
    boxes = boxes_for([pgd, create("attacks", "box_blur")], Boxed(), "test", 3)
    assert boxes.shape == (3, 2, 4)
    assert boxes[1].tolist() == [*QUARTER.tolist(), [0.0] * 4]
    bigger = Framed(Boxed(), Framing(size=8))
    assert np.array_equal(boxes_for([Whiten(region="background")], bigger, "test", 3), boxes)


def test_a_scenario_without_boxes_is_named_in_the_refusal():
    attack = create("attacks", "pgd", region="background")
    with pytest.raises(UsageError, match="pgd: digits has no boxes: choose a scenario that has"):
        boxes_for([attack], create("scenarios", "digits"), "test")


def test_a_shift_that_may_move_objects_is_refused_and_one_that_does_not_is_taken():
    attack = create("attacks", "box_blur")
    assert boxes_for([attack], Shifted(Boxed(), Dimmed()), "test", 4).shape == (4, 2, 4)
    with pytest.raises(UsageError, match=r"box_blur: the shift .* may move objects out of their"):
        boxes_for([attack], Shifted(Boxed(), Turned()), "test")
    plain = create("attacks", "pgd")
    assert boxes_for([plain], Shifted(Boxed(), Turned()), "test") is None


def test_an_evaluation_judges_a_region_and_a_whole_image_side_by_side():
    scenario, classifier = Boxed(images=16), LinearClassifier(SHAPE, 3)
    attacks = [create("attacks", "pgd", eps=0.2, region=region) for region in ("all", "foreground")]
    evaluation = evaluate({"x": classifier}, scenario, attacks, keep_images=True)
    whole, part = evaluation.adversarial[0]
    boxes = boxes_for(attacks, scenario, "test")
    free = np.broadcast_to(free_of(attacks[1], boxes, part), part.shape)
    assert np.array_equal(part[~free], evaluation.images[~free])
    assert (whole[~free] != evaluation.images[~free]).any()
    results = evaluation.results.evaluations[0].attacks
    assert [result.violations for result in results] == [0, 0]
    assert [result.params["region"] for result in results] == ["all", "foreground"]
    assert results[0].accuracy <= results[1].accuracy
    titles = [attack_title(result) for result in results]
    assert titles == ["pgd  L∞ ≤ 0.2", "pgd  L∞ ≤ 0.2, foreground only"]


def test_detectors_learn_from_training_images_attacked_in_the_same_region():
    scenario, attack = Boxed(images=16), Whiten(region="foreground")
    pairs = attacked_training_images(attack, LinearClassifier(SHAPE, 3), scenario, 6)
    free = np.asarray(free_of(attack, boxes_for([attack], scenario, "train", 6), pairs.clean))
    assert np.array_equal(pairs.adversarial, np.where(free, 1.0, pairs.clean))


def test_an_image_that_changed_outside_of_the_region_is_a_violation():
    classifier, images, labels, boxes = case()
    attack = create("attacks", "pgd", eps=0.1, region="foreground")
    free = np.asarray(free_of(attack, boxes, images))
    adversarial = np.where(free, images + np.float32(0.01), images)
    row, column = np.argwhere(~free[2, :, :, 0])[0]
    adversarial[2, row, column] += 1e-6
    fate = audit(classifier, attack, images, labels, adversarial, clean=labels, boxes=boxes)
    assert fate.violation.tolist() == [False, False, True, False, False]
    with pytest.raises(UsageError, match="pgd: region=foreground has no boxes"):
        audit(classifier, attack, images, labels, adversarial, clean=labels)


def test_an_ensemble_whose_part_leaves_its_region_is_a_violation():
    classifier, images, labels, boxes = case()
    attack = Straying()
    crafted = run_attack(attack, classifier, images, labels, boxes=boxes).images
    fate = audit(classifier, attack, images, labels, crafted, clean=labels, boxes=boxes)
    changed = (crafted != images).any(axis=(1, 2, 3))
    assert changed.any()
    assert np.array_equal(fate.violation, changed)
    assert not fate.success.any()


class Mirrored(Boxed):
    """The same images, with their boxes elsewhere."""

    def load(self, split):
        order = [2, 3, 0, 1]
        return (
            super()
            .load(split)
            .map(
                lambda example: {**example, "boxes": 1 - tf.gather(example["boxes"], order, axis=1)}
            )
        )


def test_what_is_kept_of_an_interrupted_run_is_kept_by_its_boxes():
    def digests(scenario, *, boxes):
        return survey(scenario, "test", 16, 8, boxes=boxes).digests

    here, there = digests(Boxed(), boxes=True), digests(Mirrored(), boxes=True)
    assert len(here) == len({*here, *there}) / 2 == 2
    assert digests(Boxed(), boxes=False) == digests(Mirrored(), boxes=False)


@pytest.mark.parametrize("block_size", [5, 64])
def test_an_attack_on_a_region_does_not_depend_on_the_blocks(block_size):
    classifier = LinearClassifier(SHAPE, 3)
    attack = create("attacks", "pgd", region="foreground", steps=3)
    both = [
        evaluate({"x": classifier}, Boxed(), [attack], limit=23, block_size=size)
        for size in (block_size, 23)
    ]
    assert both[0].results.run == both[1].results.run
