"""What a retraining crafts: how many images, of which classes, and which of them it keeps."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from helpers.retraining_runs import FGSM, retrained, retraining, small_network
from tfrobust.attack import Attack, Threat
from tfrobust.classifiers.inference import BATCH_SIZE, predict
from tfrobust.data import spooled
from tfrobust.data.reading import arrays
from tfrobust.engine.run import run_attack
from tfrobust.errors import StoreError, UsageError
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.training import data
from tfrobust.training.data import TrainingData
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_retraining import crafting
from tfrobust_retraining.collected import Collected, Joined
from tfrobust_retraining.retraining import Retraining
from tfrobust_retraining.widening import add_classes

GAP = {"attack": "gap", "options": {"eps": 0.25, "filters": 4, "blocks": 0, "passes": 2}}


@pytest.fixture(scope="module")
def scenario():
    return create("scenarios", "digits")


@pytest.fixture(scope="module")
def network(scenario):
    return small_network(scenario)


def crafted(network, scenario, folder, **options):
    """Return what is crafted, read into memory: images, and the rows they were made of."""
    images, labels = arrays(scenario, "train")
    how = create("defenses", "retraining", **options)
    given = {
        "known_classes": scenario.num_classes,
        "trainer": Trainer(TrainingOptions()),
        "folder": folder,
    }
    how = how.collecting_options()
    files = crafting.Crafting(how, network, images, labels, **given).crafted()
    return crafting.CraftedImages(np.concatenate(list(files.blocks())), files.rows)


@pytest.fixture
def folder(tmp_path_factory):
    """Return a function that gives another empty folder each time."""
    return lambda: tmp_path_factory.mktemp("kept")


@pytest.mark.slow
def test_more_adversarial_images_than_training_images_are_crafted_in_turns(network, scenario):
    messages = []
    record = retraining(
        network, scenario, attack="pgd", options={"eps": 0.1}, adversarial_images=2000,
        epochs=1, log=messages.append,
    ).found  # fmt: skip
    assert record["adversarial_images"] == 2000
    assert messages[:1] == [
        "retraining: 2000 adversarial images of 1437 training images: each is attacked 1.39 times, "
        "with another seed each time; an attack that draws nothing at random makes the same again"
    ]
    assert re.fullmatch(
        r"retraining: 2000 adversarial images, \d\d\.\d% of them read right; "
        r"100\.0% of the labels are right \(9\d\.\d% without originals\)",
        messages[1],
    )


def test_an_attack_that_breaks_nothing_stops_the_training_with_a_reason(network, scenario):
    with pytest.raises(UsageError, match="fgsm changes the class of none of 1000 images"):
        retrained(network, scenario, attack="fgsm", options={"eps": 1e-6})


@plugin
class Careless(Attack):
    """Returns images of which some contain NaN."""

    interval: int = option("one image in so many is broken", default=2)

    @property
    def threat(self):
        return Threat("none", None)

    def __call__(self, classifier, images, labels, *, seed):
        broken = tf.range(tf.shape(images)[0]) % self.interval == self.interval - 1
        dark = tf.where(broken, np.nan, 0.0)
        return images * 0.3 + dark[:, None, None, None]


@pytest.mark.slow
def test_broken_images_are_left_out_and_reported(network, scenario, digits, monkeypatch):
    messages = []
    monkeypatch.setattr(Retraining, "collected_attack", lambda _: Careless())
    done = retraining(network, scenario, fooling="class", epochs=1, log=messages.append)
    broken = np.arange(1437) % BATCH_SIZE % 2  # every other one of a batch
    assert done.found["broken_images"] == broken.sum()
    assert messages[0] == (
        f"retraining: {broken.sum()} of 1437 images that gap made have pixels that are no numbers "
        "in [0, 1]; they are left out"
    )
    assert np.isfinite(predict(done.classifier, digits["test"][0][:20])).all()


def test_a_training_without_a_valid_image_stops_with_a_reason(network, scenario, monkeypatch):
    monkeypatch.setattr(Retraining, "collected_attack", lambda _: Careless(interval=1))
    with pytest.raises(UsageError, match="gap makes no adversarial images"):
        retrained(network, scenario, epochs=1)


def test_images_that_the_attack_did_not_change_are_left_out_and_reported(network, scenario):
    """DeepFool does not change images that are misclassified already."""
    images, labels = arrays(scenario, "train")
    wrong = int((predict(network, images).argmax(axis=1) != labels).sum())
    messages = []
    record = retraining(network, scenario, attack="deepfool", epochs=0, log=messages.append).found
    assert record["unchanged_images"] == wrong > 0
    assert record["adversarial_images"] == 1437 - wrong
    assert messages[0] == (
        f"retraining: {wrong} of 1437 images that deepfool made are the clean ones: it found "
        "nothing; they are left out"
    )


def test_rounding_beyond_the_range_is_cut_off():
    images = np.array([0.0, 1 + 4e-7, -4e-7, 1.1], np.float32).reshape(4, 1, 1, 1)
    kept = crafting.sound(crafting.CraftedImages(images, np.arange(4)))
    assert kept.rows.tolist() == [0, 1, 2]
    assert kept.images.ravel().tolist() == [0.0, 1.0, 0.0]


def test_an_interrupted_collection_goes_on(network, scenario, folder, monkeypatch):
    monkeypatch.setattr(crafting, "_PART", 600)
    options = {**FGSM, "adversarial_images": 2000}
    whole = crafted(network, scenario, folder(), **options)
    calls = []
    real = crafting.run_attack

    def failing(*args, **options):
        calls.append(options["seed"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(crafting, "run_attack", failing)
    kept = folder()
    with pytest.raises(KeyboardInterrupt):
        crafted(network, scenario, kept, **options)
    again = crafted(network, scenario, kept, **options)
    assert calls == [0, 0, 0, 0, 1]  # of 600, 600, 237, and 563 in a second turn; two were kept
    np.testing.assert_array_equal(again.images, whole.images)
    np.testing.assert_array_equal(again.rows, whole.rows)


def test_crafting_in_parts_gives_what_crafting_at_once_gives(
    network, scenario, folder, monkeypatch
):
    whole = crafted(network, scenario, folder(), **FGSM)
    monkeypatch.setattr(spooled, "_BLOCK", 300 * 8 * 8 * 4)
    parts = folder()
    again = crafted(network, scenario, parts, **FGSM)
    assert len(list(parts.glob("crafted-*.npy"))) == 5  # of 1437 images
    np.testing.assert_array_equal(again.images, whole.images)
    np.testing.assert_array_equal(again.rows, whole.rows)


def test_a_damaged_part_is_refused_in_one_line(network, scenario, folder):
    kept = folder()
    crafted(network, scenario, kept, **FGSM)
    [file] = kept.glob("crafted-*.npy")
    for content in [file.read_bytes()[:-4], b"no array", b""]:
        file.write_bytes(content)
        with pytest.raises(StoreError, match="is damaged; delete it and crafted-") as refusal:
            crafted(network, scenario, kept, **FGSM)
        assert "\n" not in str(refusal.value)


def test_a_disk_that_is_too_small_is_reported_before_anything_is_crafted(
    network, scenario, folder, monkeypatch
):
    monkeypatch.setattr(spooled.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**5))
    monkeypatch.setattr(crafting, "run_attack", lambda *_, **__: pytest.fail("it crafts"))
    with pytest.raises(StoreError, match=r"0\.0 GB of free disk .* collect fewer"):
        crafted(network, scenario, folder(), **FGSM)


@pytest.mark.slow
def test_another_attack_or_network_takes_nothing_from_a_workspace(network, scenario, folder):
    """Two retrainings may stand in one chain of defences."""
    images, _ = arrays(scenario, "train")
    shared = folder()
    first = crafted(network, scenario, shared, **FGSM)
    for other, options in [
        (network, {"attack": "fgsm", "options": {"eps": 0.1}}),
        (retrained(network, scenario, **FGSM, epochs=1), FGSM),
    ]:
        kept = crafted(other, scenario, shared, **options)
        alone = crafted(other, scenario, folder(), **options)
        np.testing.assert_array_equal(kept.images, alone.images)
        assert not np.array_equal(kept.images, first.images)
    largest = np.abs(kept.images - images[kept.rows]).max()
    assert largest == pytest.approx(0.15, abs=1e-5)


def test_an_interrupted_crafting_keeps_what_the_attack_learned(
    network, scenario, folder, monkeypatch
):
    kept = folder()
    whole = crafted(network, scenario, folder(), **GAP)

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(crafting, "run_attack", stopped)
        with pytest.raises(KeyboardInterrupt):
            crafted(network, scenario, kept, **GAP)
    learning = type(create("attacks", "gap"))
    monkeypatch.setattr(learning, "learn", stopped)
    np.testing.assert_array_equal(crafted(network, scenario, kept, **GAP).images, whole.images)


@pytest.mark.slow
def test_collecting_uses_the_same_pattern_that_an_evaluation_learns(network, scenario, folder):
    images, labels = arrays(scenario, "train")
    attack = create("attacks", "gap", **GAP["options"])
    collected = crafted(network, scenario, folder(), **GAP)
    again = run_attack(attack, network, images, labels).images
    np.testing.assert_array_equal(collected.images, again[collected.rows])


@pytest.mark.parametrize("targets", ["least_likely", "next", "random"])
def test_no_image_is_sent_to_a_class_of_nothing(network, scenario, targets, folder, monkeypatch):
    sent = []

    def keeping(*args, **options):
        done = run_attack(*args, **options)
        sent.append(done.targets)
        return done

    monkeypatch.setattr(crafting, "run_attack", keeping)
    options = {"eps": 0.3, "targeted": True}
    wider = add_classes(network, ["nothing"], seed=0)
    crafted(wider, scenario, folder(), attack="fgsm", options=options, targets=targets)
    assert set(np.concatenate(sent)) <= set(range(10))


def test_an_attack_without_a_budget_that_breaks_nothing_gets_other_advice(network, scenario):
    with pytest.raises(UsageError, match="give it other options, or take another attack"):
        retrained(network, scenario, attack="fooling", options={"steps": 1})


@pytest.mark.parametrize("kept", [1 << 30, 0])
def test_every_part_of_an_epoch_has_clean_and_adversarial_images(scenario, kept, monkeypatch):
    """This holds also for images that do not fit into memory: only a few are shuffled at a time."""
    monkeypatch.setattr(data, "_CACHED", kept)
    images = np.full((1500, 8, 8, 1), 0.9, np.float32)
    images = tf.data.Dataset.from_tensor_slices(images)
    more = Collected(images, np.zeros(1500, np.int64), scenario.class_names, (), {}, among=1437)
    training_data = TrainingData(Joined(scenario, more), TrainingOptions(batch_size=16))
    adversarial = np.concatenate(
        [(shown[:, 0, 0, 0] == 0.9) for shown, *_ in training_data.epoch(0)]
    )
    shares = [part.mean() for part in np.array_split(adversarial, 10)]
    assert shares == pytest.approx([1500 / 2937] * 10, abs=0.12)
    assert adversarial.sum() == pytest.approx(1500 * 0.9, abs=30)


def test_both_kinds_are_spread_evenly_and_none_is_lost(scenario):
    images = np.full((500, 8, 8, 1), 0.9, np.float32)
    images = tf.data.Dataset.from_tensor_slices(images)
    more = Collected(images, np.arange(500) % 10, scenario.class_names, (), {}, among=1437)
    joined = Joined(scenario, more)
    shown, labels = arrays(joined, "train")
    is_more = shown[:, 0, 0, 0] == np.float32(0.9)
    assert np.ptp(np.diff(np.flatnonzero(is_more))) <= 1
    np.testing.assert_array_equal(labels[is_more], more.labels)
    for mine, theirs in zip((shown, labels), arrays(scenario, "train"), strict=True):
        np.testing.assert_array_equal(mine[~is_more], theirs)
    assert len(joined.load("train")) == 1937
