"""One call claims a folder, evaluates, writes it, and goes on after an interruption."""

import random

import numpy as np
import pytest

from helpers.support import InMemory, small_classifier, small_model, typed_options
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import DataError, StoreError, UsageError
from tfrobust.evaluation import (
    CorruptionSettings,
    EvaluationSettings,
    attack_runs,
    craft,
    evaluate,
    run,
    run_corruptions,
    run_reattack,
)
from tfrobust.evaluation.settings import EvaluationOptions
from tfrobust.files.output_folders import PARTIAL
from tfrobust.registry import create
from tfrobust.results import read_results

FILES = {"results.json", "outcomes.parquet", "examples.npz", "report.html"}


@pytest.fixture(scope="module")
def classifier():
    return small_classifier()


def settings(classifier, *attacks, **options):
    options = {"baselines": ()} | options
    return EvaluationSettings(
        classifiers={"c": classifier}, scenario=InMemory(images=8), attacks=attacks, **options
    )


def names(folder):
    return {path.name for path in folder.iterdir()}


FGSM, BLIND = create("attacks", "fgsm", eps=0.1), create("attacks", "uniform_noise", eps=0.1)


def test_a_run_writes_the_results_of_evaluate(classifier, tmp_path):
    results = run(settings(classifier, FGSM), tmp_path / "run")
    assert names(tmp_path / "run") == FILES
    assert read_results(tmp_path / "run") == results
    evaluated = evaluate({"c": classifier}, InMemory(images=8), [FGSM], baselines=())
    assert evaluated.results.run == results.run


def test_an_interrupted_run_continues_where_it_stopped(classifier, tmp_path, monkeypatch):
    whole, ran, run_attack = settings(classifier, FGSM, BLIND), [], attack_runs.run_attack

    def interrupt_the_second(attack, *rest, **options):
        ran.append(attack)
        if len(ran) == 2:
            raise KeyboardInterrupt
        return run_attack(attack, *rest, **options)

    monkeypatch.setattr(attack_runs, "run_attack", interrupt_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(whole, tmp_path)
    assert names(tmp_path) == {PARTIAL}
    results = run(whole, tmp_path)
    assert ran == [FGSM, BLIND, BLIND]
    assert names(tmp_path) == FILES
    assert (
        results.run
        == evaluate({"c": classifier}, InMemory(images=8), [FGSM, BLIND], baselines=()).results.run
    )


def test_a_folder_with_other_things_is_refused_unless_forced(classifier, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(StoreError, match="is not empty"):
        run(settings(classifier, BLIND), tmp_path)
    run(settings(classifier, BLIND), tmp_path, force=True)
    assert names(tmp_path) == {*FILES, "mine.txt"}


def test_notices_of_a_classifier_are_noted(tmp_path):
    noted = []
    converted = KerasClassifier(small_model(), notices=["converted to logits"])
    run(settings(converted, BLIND), tmp_path, note=noted.append)
    assert noted == ["c: converted to logits"]


def test_crafted_images_are_written_next_to_the_results(classifier, tmp_path):
    craft(settings(classifier, FGSM), tmp_path)
    assert names(tmp_path) == {*FILES, "adversarial"}
    folder = tmp_path / "adversarial"
    assert names(folder) == {"images.npy", "clean.npy", "labels.npy", "run.json"}
    images, clean = (np.load(folder / f"{name}.npy") for name in ("images", "clean"))
    assert np.abs(images - clean).max() == pytest.approx(0.1, abs=1e-6)
    with pytest.raises(UsageError, match="expected one classifier and one attack; received: c and"):
        craft(settings(classifier, FGSM, BLIND), tmp_path)


def test_a_second_attack_after_training_is_a_run_too(classifier, tmp_path):
    both = settings(classifier, FGSM, crafted_on=("old", small_classifier()))
    results = run_reattack(both, tmp_path)
    assert [evaluation.classifier.name for evaluation in results.evaluations] == ["old", "c"]
    assert names(tmp_path) == FILES


class Drawing(InMemory):
    """Draws from the global state when it is read, and holds no images."""

    def load(self, split):
        raise DataError(f"drawn: {random.getrandbits(31)}")


@pytest.mark.parametrize("call", [run, run_reattack, run_corruptions])
def test_the_seed_decides_the_draws_from_the_global_state(call, classifier, tmp_path):
    def drawn(seed):
        common = {"classifiers": {"c": classifier}, "scenario": Drawing(), "seed": seed}
        if call is run_corruptions:
            chosen = CorruptionSettings(**common)
        else:
            earlier = ("old", small_classifier()) if call is run_reattack else None
            chosen = EvaluationSettings(**common, attacks=[FGSM], crafted_on=earlier)
        random.getrandbits(31)
        with pytest.raises(DataError) as refused:
            call(chosen, tmp_path)
        return str(refused.value)

    assert drawn(3) == drawn(3) != drawn(4)


def test_the_keyword_arguments_of_evaluate_are_the_settings():
    assert typed_options(EvaluationOptions) == typed_options(
        EvaluationSettings, without={"classifiers", "scenario", "attacks"}
    )
