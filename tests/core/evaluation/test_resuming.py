"""What a resumed run takes over: only what nothing that decides it has changed of."""

import dataclasses
import functools

import numpy as np
import pytest

from helpers.support import Drawing, InMemory, small_classifier
from tfrobust.classifiers.identity import identity
from tfrobust.data.survey import survey
from tfrobust.engine.learning import learned, read_learned
from tfrobust.evaluation import EvaluationSettings, attack_runs, resuming
from tfrobust.evaluation.blocks.block import surveyed
from tfrobust.evaluation.blocks.job import BlockWork, EvaluationJob
from tfrobust.evaluation.blocks.prepared import Prepared
from tfrobust.evaluation.evaluator import evaluate_settings
from tfrobust.evaluation.resuming import Partial
from tfrobust.registry import create

FGSM = create("attacks", "fgsm", eps=0.1)
UAP = create("attacks", "uap", eps=0.2, passes=1, training_images=20)


class OtherTraining(InMemory):
    """The same test images, and other training images."""

    def load(self, split):
        rows = super().load(split)
        if split == "train":
            return rows.map(lambda row: row | {"image": 1 - row["image"]})
        return rows


@pytest.fixture
def ran(monkeypatch):
    """Return how many images were attacked, a number each time."""
    counts, run = [], attack_runs.run_attack

    def counted(attack, classifier, images, labels, **options):
        counts.append(len(images))
        return run(attack, classifier, images, labels, **options)

    monkeypatch.setattr(attack_runs, "run_attack", counted)
    return counts


@functools.cache
def network():
    """One for all settings, so that an attack is traced once."""
    return small_classifier()


def settings(*attacks, **options):
    return EvaluationSettings(
        **{"classifiers": {"c": network()}, "scenario": InMemory(images=32)} | options,
        attacks=attacks or (FGSM,),
        baselines=(),
        block_size=16,
    )


def computed_again(first, second, folder, ran):
    """Return how many blocks of the second evaluation the first one has not computed already."""
    evaluate_settings(first, partial=Partial(folder))
    ran.clear()
    evaluate_settings(second, partial=Partial(folder))
    return len(ran)


def test_the_same_evaluation_computes_nothing_again(tmp_path, ran):
    for number, some in enumerate([settings(), settings(UAP)]):
        assert computed_again(some, some, tmp_path / str(number), ran) == 0


@pytest.mark.parametrize("change", [{"batch_size": 8}, {"seed": 1}])
def test_another_batch_size_or_seed_computes_everything_again(change, tmp_path, ran):
    drawing = settings(classifiers={"c": Drawing(small_classifier())})
    files = Partial(tmp_path).folder
    assert computed_again(drawing, dataclasses.replace(drawing, **change), tmp_path, ran) == 2
    assert len(list(files.glob("*.npz"))) == 8  # clean predictions too


def test_another_number_of_threads_computes_everything_again(tmp_path, ran, monkeypatch):
    some = settings()
    evaluate_settings(some, partial=Partial(tmp_path))
    ran.clear()
    monkeypatch.setattr(resuming, "threads", lambda: 97)
    evaluate_settings(some, partial=Partial(tmp_path))
    assert len(ran) == 2


def test_what_is_learned_again_into_a_file_is_applied_to_all_blocks(tmp_path, ran):
    some = settings(dataclasses.replace(UAP, file=tmp_path / "uap.npz"))
    evaluate_settings(some, partial=Partial(tmp_path / "run"))
    ready = read_learned(some.attacks[0])
    others = {name: -array for name, array in ready.arrays.items()}
    dataclasses.replace(ready, arrays=others).save(tmp_path / "uap.npz")
    ran.clear()
    evaluate_settings(some, partial=Partial(tmp_path / "run"))
    assert len(ran) == 2


@pytest.mark.parametrize("learns", ["an attack", "a detector"])
def test_other_training_images_compute_again_what_learned_from_them(learns, tmp_path, ran):
    detectors = [create("detectors", "kernel_density")] if learns == "a detector" else []
    first = settings(*([] if detectors else [UAP]), detectors=detectors)
    second = dataclasses.replace(first, scenario=OtherTraining(images=32))
    assert computed_again(first, second, tmp_path, ran) == 2
    without = dataclasses.replace(first, attacks=(FGSM,), detectors=())
    other = dataclasses.replace(without, scenario=OtherTraining(images=32))
    assert computed_again(without, other, tmp_path / "without", ran) == 0


def test_a_stochastic_classifier_whose_file_was_overwritten_is_another_one():
    images = np.zeros((2, 4, 4, 1), np.float32)
    before, after = (Drawing(small_classifier()).replace(source="net.keras") for _ in range(2))
    assert identity(before, images) == identity(after, images)
    after.inner.model.layers[-1].bias.assign([0.5, 0.0, 0.0])
    assert identity(before, images) != identity(after, images)


DAMAGED = {
    "an example too few": ("examples", lambda array: array[1:]),
    "examples of another size": ("examples", lambda array: array[:, 1:]),
    "examples of another type": ("examples", lambda array: array.astype(np.float64)),
    "wider images": ("images", lambda array: np.repeat(array, 2, axis=2)),
    "an image that is none": ("images", lambda array: array * np.nan),
    "a class that is none": ("prediction", lambda array: array + 3),
    "a negative class": ("prediction", lambda array: array - 3),
    "more violations than images": ("violations", lambda array: array + 17),
    "an endless cost": ("cost", lambda array: array + np.inf),
    "half a cost": ("cost", lambda array: array[:1]),
}


def test_a_block_whose_file_is_damaged_anywhere_is_computed_again(tmp_path, ran):
    some = settings(keep_images=True)
    whole = evaluate_settings(some, partial=Partial(tmp_path))
    for file in Partial(tmp_path).folder.glob("*.npz"):
        with np.load(file) as archive:
            if "examples" in archive:
                path, arrays = file, dict(archive)
                if len(arrays["examples"]):
                    break
    for name, damage in DAMAGED.values():
        np.savez(path, **{**arrays, name: damage(arrays[name])})
        ran.clear()
        again = evaluate_settings(some, partial=Partial(tmp_path))
        assert len(ran) == 1, name
        np.testing.assert_array_equal(again.adversarial[0][0], whole.adversarial[0][0])
    for file in Partial(tmp_path).folder.glob("*.npz"):
        with np.load(file) as archive:
            clean = dict(archive)
        if list(clean) == ["prediction"]:
            np.savez(file, prediction=clean["prediction"] + 3)
    again = evaluate_settings(some, partial=Partial(tmp_path))
    for name in whole.outcomes.names:
        np.testing.assert_array_equal(again.outcomes.column(name), whole.outcomes.column(name))


def test_a_worker_reads_no_training_images_for_an_attack_that_has_learned(tmp_path):
    some = settings(UAP)
    seen = survey(some.scenario, "test", None, 16)
    job = EvaluationJob((some,), 32, out=tmp_path)
    given = BlockWork(job).with_learned(Partial(tmp_path).folder)

    class OnlyTest(InMemory):
        def load(self, split):
            assert split == "test"
            return super().load(split)

    there = dataclasses.replace(some, scenario=OnlyTest(images=32))
    (block, _) = surveyed(seen, 16)
    rows = [
        j.start()(block).passes[0][0].attacked[0]
        for j in (dataclasses.replace(given, passes=(there,)), dataclasses.replace(job, out=None))
    ]
    assert rows[0].learning == rows[1].learning
    np.testing.assert_array_equal(rows[0].prediction, rows[1].prediction)
    assert rows[0].distance.keys() == rows[1].distance.keys()


def test_a_block_is_attacked_with_training_images_on_disk(monkeypatch):
    some = settings(UAP)
    mapped = []

    def learns(attack, classifier, images, labels, **options):
        mapped.append(isinstance(images, np.memmap))
        return learned(attack, classifier, images, labels, **options)

    monkeypatch.setattr("tfrobust.evaluation.blocks.prepared.learned", learns)
    Prepared(some, 32).ready(UAP, some.classifiers["c"])
    assert mapped == [True]
