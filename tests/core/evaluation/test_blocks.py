"""An evaluation in blocks: the same figures however it is cut, interrupted or spread."""

import functools
import gc
import json
import weakref

import numpy as np
import pytest

from helpers.support import Drawing, InMemory, python, small_classifier
from tfrobust.classifier import Wrapped
from tfrobust.data.block_reader import BlockReader
from tfrobust.data.survey import choose_examples, survey
from tfrobust.detector import Detector, FittedDetector
from tfrobust.errors import DataError, UsageError
from tfrobust.evaluation import EvaluationSettings, attack_runs, craft, evaluate, run, run_reattack
from tfrobust.evaluation.blocks import Block, cut
from tfrobust.evaluation.blocks.block import BlockImages, surveyed
from tfrobust.evaluation.blocks.columns import Columns
from tfrobust.evaluation.blocks.corrupted import ConditionBlock, CorruptionJob
from tfrobust.evaluation.blocks.prepared import Prepared
from tfrobust.evaluation.corruptions.settings import CorruptionSettings
from tfrobust.evaluation.evaluator import evaluate_settings
from tfrobust.evaluation.resuming import Partial
from tfrobust.execution import Failed, InProcess
from tfrobust.files.output_folders import PARTIAL
from tfrobust.options import plugin
from tfrobust.registry import create
from tfrobust.results import read_results
from tfrobust.results.outcomes import Outcomes

IMAGES = 50
FGSM = create("attacks", "fgsm", eps=0.1)
ATTACKS = [
    create("attacks", "pgd", eps=0.1, steps=4, targeted=True),
    create("attacks", "deepfool", steps=3, eps=0.1),
    create("attacks", "deepfool", steps=3, eps=0.3),
    create("attacks", "uniform_noise", eps=0.2),
    create("attacks", "white_to_black", count=2),
    create("attacks", "uap", eps=0.2, passes=1, training_images=20),
]


@functools.cache
def network():
    """One for all settings, so that an attack is traced once for the runs that are compared."""
    return small_classifier()


def settings(*attacks, **options):
    return EvaluationSettings(
        classifiers=options.pop("classifiers", None) or {"c": network()},
        scenario=InMemory(images=IMAGES),
        attacks=attacks,
        **options,
    )


def untimed(results):
    return json.loads(
        results.to_json(),
        object_hook=lambda record: {k: v for k, v in record.items() if k != "seconds"},
    )


def test_blocks_are_cut_by_position():
    assert cut(5, 2) == [Block(0, 2), Block(2, 4), Block(4, 5)]
    assert cut(2, 2) == [Block(0, 2)]
    with pytest.raises(UsageError, match="block_size: expected 1 or more; received: 0"):
        settings(block_size=0)


@pytest.mark.parametrize(
    ("rule", "baselines"),
    [("random", ()), ("least_likely", ()), pytest.param("random", None, marks=pytest.mark.slow)],
    ids=["random", "least likely", "random with noise"],
)
def test_the_block_size_changes_no_figure(rule, baselines):
    whole, *others = (
        evaluate_settings(
            settings(*ATTACKS, targets=rule, baselines=baselines, batch_size=7, block_size=size)
        )
        for size in (1022, 7, 21)
    )
    for cut_up in others:
        assert untimed(cut_up.results) == untimed(whole.results)
        for name in whole.outcomes.names:
            np.testing.assert_array_equal(cut_up.outcomes.column(name), whole.outcomes.column(name))
        for name, array in whole.outcomes.examples.items():
            np.testing.assert_array_equal(cut_up.outcomes.examples[name], array)


def test_blocks_that_are_smaller_than_a_batch_change_no_verdict():
    whole, cut_up = (evaluate_settings(settings(*ATTACKS, block_size=size)) for size in (1024, 7))
    for name in whole.outcomes.names:
        columns = [run.outcomes.column(name) for run in (cut_up, whole)]
        np.testing.assert_allclose(*columns, atol=1e-5)


def test_the_block_size_changes_no_image_that_is_kept():
    whole, cut_up = (
        evaluate_settings(settings(FGSM, keep_images=True, block_size=size)) for size in (1024, 7)
    )
    assert whole.images.shape == (IMAGES, 4, 4, 1)
    np.testing.assert_array_equal(cut_up.images, whole.images)
    np.testing.assert_array_equal(cut_up.adversarial[0][0], whole.adversarial[0][0])


@pytest.mark.slow
def test_the_block_size_changes_nothing_when_networks_are_attacked_again(tmp_path):
    both = {"old": small_classifier(), "new": small_classifier(dropout=0.0)}
    both["new"].model.layers[-1].bias.assign([0.5, 0.0, 0.0])
    results = []
    for size in (1024, 7):
        again = settings(
            FGSM,
            classifiers={"new": both["new"]},
            crafted_on=("old", both["old"]),
            block_size=size,
        )
        results.append(run_reattack(again, tmp_path / str(size)))
    assert untimed(results[0]) == untimed(results[1])


class Interrupting:
    """Interrupts the run before attack number `at`, and counts what is run."""

    def __init__(self, monkeypatch, at=None):
        self.ran, self._at, self._run = [], at, attack_runs.run_attack
        monkeypatch.setattr(attack_runs, "run_attack", self)

    def __call__(self, attack, classifier, images, labels, **options):
        if len(self.ran) == self._at:
            self._at = None
            raise KeyboardInterrupt
        self.ran.append((type(attack), len(images)))
        return self._run(attack, classifier, images, labels, **options)


@pytest.mark.parametrize("at", [0, 1, 4, 7])
def test_an_attack_that_is_interrupted_goes_on_with_the_block_it_was_at(at, tmp_path, monkeypatch):
    two = settings(FGSM, create("attacks", "uniform_noise", eps=0.2), baselines=(), block_size=16)
    whole = run(two, tmp_path / "whole")
    counted = Interrupting(monkeypatch, at)
    with pytest.raises(KeyboardInterrupt):
        run(two, tmp_path / "run")
    assert len(counted.ran) == at
    resumed = run(two, tmp_path / "run")
    assert len(counted.ran) == 8  # four blocks under two attacks, none of them twice
    assert untimed(resumed) == untimed(whole)
    assert not (tmp_path / "run" / PARTIAL).exists()
    files = [(tmp_path / name / "outcomes.parquet").read_bytes() for name in ("whole", "run")]
    assert files[0] == files[1]


def test_crafted_images_are_written_a_block_at_a_time_and_resumed(tmp_path, monkeypatch):
    one = settings(FGSM, block_size=16)
    craft(one, tmp_path / "whole")
    counted = Interrupting(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        craft(one, tmp_path / "run")
    craft(one, tmp_path / "run")
    fgsm = [count for attack, count in counted.ran if attack is type(FGSM)]
    assert sorted(fgsm) == [2, 16, 16, 16]
    for name in ("images", "clean", "labels"):
        whole, resumed = (
            np.load(tmp_path / folder / f"adversarial/{name}.npy") for folder in ("whole", "run")
        )
        assert len(whole) == IMAGES
        np.testing.assert_array_equal(resumed, whole)


def test_a_damaged_file_of_an_interrupted_run_is_computed_again(tmp_path):
    one = settings(FGSM, baselines=(), block_size=16)
    whole = evaluate_settings(one, partial=Partial(tmp_path))
    kept = sorted((tmp_path / PARTIAL).glob("*.npz"))
    kept[0].write_bytes(b"nothing")
    np.savez(kept[1], prediction=np.zeros(3))
    again = evaluate_settings(one, partial=Partial(tmp_path))
    assert untimed(again.results) == untimed(whole.results)


class Dying:
    """Gives up on some blocks, and computes the others in another order."""

    def __init__(self, *starts):
        self._starts = starts

    def map(self, job, items):
        work = job.start()
        for item in reversed(list(items)):
            failed = item.start in self._starts
            yield item, Failed("its workers died three times") if failed else work(item)


def test_a_block_that_fails_is_named_and_left_out_until_the_same_run_computes_it(tmp_path):
    one = settings(FGSM, block_size=16)
    results = run(one, tmp_path, executor=Dying(16))
    assert read_results(tmp_path) == results
    assert [failure.model_dump() for failure in results.incomplete] == [
        {"start": 16, "stop": 32, "cause": "its workers died three times"}
    ]
    assert results.evaluations[0].scenario.images == IMAGES - 16
    outcomes = Outcomes.read(tmp_path)
    whole = evaluate_settings(one)
    rest = np.r_[0:16, 32:IMAGES]
    for name in whole.outcomes.names:
        np.testing.assert_array_equal(outcomes.column(name), whole.outcomes.column(name)[rest])
    right = whole.outcomes.column("e0_clean") == whole.outcomes.column("label")
    assert results.evaluations[0].clean.accuracy == right[rest].mean()
    resumed = run(one, tmp_path)
    assert not resumed.incomplete
    assert untimed(resumed) == untimed(whole.results)
    assert not (tmp_path / PARTIAL).exists()


def test_images_of_a_failed_block_are_left_out_of_the_adversarial_folder(tmp_path):
    one = settings(FGSM, block_size=16)
    craft(one, tmp_path / "part", executor=Dying(0, 32))
    craft(one, tmp_path / "whole")
    rest = np.r_[16:32, 48:IMAGES]
    for name in ("images", "clean", "labels"):
        part, whole = (
            np.load(tmp_path / folder / f"adversarial/{name}.npy") for folder in ("part", "whole")
        )
        np.testing.assert_array_equal(part, whole[rest])


@pytest.mark.slow
def test_the_order_of_the_blocks_changes_nothing(tmp_path):
    some = settings(*ATTACKS, block_size=16)
    assert untimed(run(some, tmp_path, executor=Dying())) == untimed(
        evaluate_settings(some, executor=InProcess()).results
    )


FITS: list[object] = []


@plugin
class CountingDetector(Detector):
    """Its threshold tells how often one was fitted before."""

    def fit(self, classifier, clean, adversarial):
        class Fitted(FittedDetector):
            eager = True
            threshold = float(len(FITS))

            def score(self, images, outputs=None):
                return images.mean((1, 2, 3))

        FITS.append(self)
        return Fitted()


class Anew(InProcess):
    """Starts the job for each item, as if each had a worker of its own."""

    def __init__(self, order):
        self._order = order

    def map(self, job, items):
        for item in list(items)[:: self._order]:
            yield item, job.start()(item)


@pytest.mark.parametrize(("order", "threshold"), [(1, 0.0), (-1, 3.0)])
def test_the_threshold_of_a_detector_is_that_of_the_first_block(order, threshold):
    FITS.clear()
    some = settings(FGSM, detectors=[CountingDetector()], block_size=16)
    (evaluation,) = evaluate_settings(some, executor=Anew(order)).results.evaluations

    assert len(FITS) == 4
    assert [detector.threshold for detector in evaluation.detectors] == [threshold]


@pytest.mark.slow
def test_a_stochastic_classifier_draws_the_same_after_an_interruption(tmp_path, monkeypatch):
    drawing = {"c": Drawing(small_classifier())}
    some = settings(FGSM, classifiers=drawing, baselines=(), block_size=16)
    whole = evaluate_settings(some).results
    assert untimed(evaluate_settings(some).results) == untimed(whole)
    assert untimed(evaluate_settings(some, executor=Dying()).results) == untimed(whole)
    Interrupting(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        run(some, tmp_path)
    assert untimed(run(some, tmp_path)) == untimed(whole)


def test_targets_of_a_stochastic_classifier_do_not_depend_on_the_order_of_blocks():
    targeted = create("attacks", "fgsm", eps=0.2, targeted=True)
    drawing = {"c": Drawing(small_classifier())}
    some = settings(targeted, classifiers=drawing, baselines=(), block_size=16)
    in_order = evaluate_settings(some).results
    reversed_order = evaluate_settings(some, executor=Dying()).results
    assert untimed(reversed_order) == untimed(in_order)


def test_what_training_an_attack_cost_is_counted_once():
    uap = create("attacks", "uap", eps=0.2, passes=1, training_images=20)
    costs = [
        evaluate_settings(settings(uap, block_size=size)).results.evaluations[0].attacks[0]
        for size in (1024, 7)
    ]
    assert costs[0].gradients_per_image == costs[1].gradients_per_image > 0
    assert costs[0].queries_per_image == costs[1].queries_per_image


def test_an_attack_is_traced_once_for_all_blocks():
    traced = []

    class Watched(Wrapped):
        def __call__(self, images):
            traced.append(images.shape)
            return self.inner(images)

    def traces(size):
        traced.clear()
        evaluate({"c": Watched(small_classifier())}, InMemory(images=IMAGES), ATTACKS[1:5],
                 baselines=(), block_size=size)  # fmt: skip
        return len(traced)

    assert traces(7) == traces(1024)


def test_what_several_classifiers_share_is_held_for_one_attack_at_a_time(monkeypatch):
    alive, most, run = [], [], attack_runs.run_attack

    def watched(*given, **options):
        gc.collect()
        most.append(sum(crafted() is not None for crafted in alive))
        crafted = run(*given, **options)
        alive.append(weakref.ref(crafted))
        return crafted

    monkeypatch.setattr(attack_runs, "run_attack", watched)
    classifiers = {name: small_classifier() for name in "ab"}
    attacks = [create("attacks", "fgsm", eps=eps) for eps in (0.1, 0.2, 0.3)]
    evaluate_settings(
        settings(*attacks, classifiers=classifiers, crafted_on=("s", small_classifier()),
                 baselines=())
    )  # fmt: skip
    assert most == [0, 0, 0]  # each crafted once for both, and forgotten before the next


def test_no_more_than_the_first_64_images_stay_in_memory():
    some = EvaluationSettings(classifiers={"c": small_classifier()}, scenario=InMemory(images=999))
    prepared = Prepared(some, 999)
    prepared.identity(some.classifiers["c"])
    block = BlockImages(Block(0, 9), lambda: BlockReader(some.scenario, "test", 9, 9).read(0))
    prepared.targets(FGSM, some.classifiers["c"], block)
    held = [array for array in vars(prepared).values() if isinstance(array, np.ndarray)]
    assert [len(array) for array in held] == [64]


def test_the_examples_are_those_that_all_labels_choose():
    scenario = InMemory(images=IMAGES, classes=3)
    for size in (1, 7, 1024):
        seen = survey(scenario, "test", None, size)
        firsts = np.unique(seen.labels, return_index=True)[1]
        np.testing.assert_array_equal(seen.examples, choose_examples(firsts, IMAGES))
        images = np.stack([example["image"] for example in scenario.load("test")])
        np.testing.assert_array_equal(seen.example_images, images[seen.examples])


class Changing(InMemory):
    """Shows other images, or fewer, once all have been read."""

    images_later = IMAGES
    factor = 1.0

    def load_rows(self, split, start, stop):
        if stop > IMAGES:  # the survey asks for all there are
            return super().load_rows(split, start, stop)
        rows = super().load_rows(split, start, min(stop, self.images_later))
        return rows.map(lambda row: row | {"image": row["image"] * self.factor})


class Fewer(Changing):
    images_later = 20


class Darker(Changing):
    factor = 0.5


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        (Fewer, "rows 16–32 differ from those surveyed: expected 16 images .* received: 4 images"),
        (Darker, "rows 0–16 differ from those surveyed: .* received: others, on .*same data"),
    ],
)
def test_images_that_are_not_those_surveyed_are_refused(scenario, message):
    some = EvaluationSettings(
        classifiers={"c": small_classifier()}, scenario=scenario(images=IMAGES), block_size=16
    )
    with pytest.raises(DataError, match=message):
        evaluate_settings(some)


@pytest.mark.parametrize("condition", [0, 1])
def test_a_condition_of_images_that_are_not_those_surveyed_is_refused(condition):
    some = CorruptionSettings(
        classifiers={"c": small_classifier()},
        scenario=Darker(images=IMAGES),
        shifts={"noise": [create("shifts", "gaussian_noise", severity=1)]},
        block_size=16,
    )
    (block, *_) = surveyed(survey(some.scenario, "test", None, 16), 16)
    compute = CorruptionJob(some, IMAGES).start()
    with pytest.raises(DataError, match="rows 0–16 differ from those surveyed"):
        compute(ConditionBlock(condition, block))


def test_a_column_takes_one_value_an_image():
    columns = Columns(10)
    with pytest.raises(DataError, match=r"prediction: .* images 4–8 of 10; received: \(3,\)"):
        columns.write("prediction", 4, 8, np.zeros(3))


_MEMORY = """
import re, sys
from pathlib import Path
import tensorflow as tf
from tfrobust.evaluation import EvaluationSettings, run
from tfrobust.options import plugin
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.testing import LinearClassifier

class Generated(Scenario):
    image_shape, class_names, splits = (16, 16, 3), ("a", "b", "c"), ("train", "test")
    options = {}

    def load(self, split):
        return self.load_rows(split, 0, int(sys.argv[1]))

    def load_rows(self, split, start, stop):
        rows = tf.data.Dataset.range(start, min(stop, int(sys.argv[1]))).batch(512)
        def image(numbers):
            seeds = tf.stack([numbers[0], 0])
            shape = tf.concat([tf.shape(numbers), (16, 16, 3)], 0)
            return {"image": tf.random.stateless_uniform(shape, seeds), "label": numbers % 3}
        return rows.map(image).unbatch()

run(EvaluationSettings(
    classifiers={"linear": LinearClassifier((16, 16, 3), 3)}, scenario=Generated(),
    attacks=[create("attacks", "fgsm", eps=0.1)], baselines=()), sys.argv[2])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
def test_ten_times_as_many_images_take_no_more_memory(tmp_path):
    def peak(images):
        done = python(_MEMORY, str(images), str(tmp_path / str(images)), timeout=900)
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[-1])

    few, many = peak(20_000), peak(200_000)
    assert many < 1.05 * few, f"{few} kB, {many} kB"
