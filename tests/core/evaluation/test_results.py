"""`results.json` and `outcomes.npz`: the agreed form, written and read."""

import json

import numpy as np
import pytest

from helpers.support import InMemory, noise, small_classifier
from tfrobust.errors import StoreError
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.registry import create
from tfrobust.results.run_files import read_results, write_results
from tfrobust.testing import LinearClassifier


@pytest.fixture
def several():
    """Two classifiers under two attacks on 24 noise images."""
    scenario = InMemory(count=24)
    both = {"a": small_classifier(), "b": LinearClassifier((4, 4, 1), 3)}
    attacks = [create("attacks", "fgsm", eps=0.2), create("attacks", "pgd", eps=0.1, steps=3)]
    return evaluate(both, scenario, attacks, seed=5)


def test_results_come_back_as_they_were_written(several, tmp_path):
    write_results(tmp_path, several.results, several.outcomes)
    assert read_results(tmp_path) == several.results
    assert sorted(p.name for p in tmp_path.iterdir()) == ["outcomes.npz", "results.json"]


def test_results_are_strict_json_of_the_agreed_form(several, tmp_path):
    write_results(tmp_path, several.results, several.outcomes)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (tmp_path / "results.json").read_text()
    content = json.loads(text, parse_constant=refuse)
    assert (content["format"], content["version"]) == ("tfrobust/evaluation", 1)
    assert len(content["evaluations"]) == 2
    first = content["evaluations"][0]
    assert first["classifier"] == {
        "name": "a", "path": "", "num_classes": 3, "image_shape": [4, 4, 1], "defenses": [],
        "class_names": ["class 0", "class 1", "class 2"],
    }  # fmt: skip
    scenario = {"name": "in_memory", "shift": None, "split": "test", "images": 24, "seed": 5}
    assert first["scenario"] == scenario
    assert set(first["clean"]) == set(first["worst_case"]) == {"accuracy", "interval"}
    assert set(first["attacks"][0]) >= {
        "name", "params", "threat", "crafted_on", "accuracy", "interval", "success_rate",
        "fooling_ratio", "distance", "gradients_per_image", "queries_per_image", "violations",
        "seconds",
    }  # fmt: skip
    assert first["attacks"][1]["name"] == "pgd"
    assert first["attacks"][1]["threat"] == {
        "knowledge": "white-box", "norm": "linf", "targeted": False,
    }  # fmt: skip
    assert "tensorflow" in content["environment"]


def test_outcomes_keep_every_images_fate_in_the_order_of_the_attacks(several, tmp_path):
    write_results(tmp_path, several.results, several.outcomes)
    with np.load(tmp_path / "outcomes.npz", allow_pickle=False) as file:
        kept = {name: file[name] for name in file.files}
    labels = noise(1, 24)[1]
    assert np.array_equal(kept["label"], labels)
    for i, evaluation in enumerate(several.results.evaluations):
        clean = kept[f"e{i}_clean"]
        assert clean.shape == (24,)
        assert (clean == labels).mean() == evaluation.clean.accuracy
        for name in ("prediction", "l0", "l1", "l2", "linf"):
            assert kept[f"e{i}_{name}"].shape == (2, 24)
        for row, attack in zip(kept[f"e{i}_prediction"], evaluation.attacks, strict=True):
            assert ((row == labels) & (clean == labels)).mean() == attack.accuracy
        assert kept[f"e{i}_linf"][0].max() == pytest.approx(0.2, abs=1e-6)
        assert kept[f"e{i}_linf"][1].max() <= 0.1 + 1e-6


def test_one_seed_gives_one_result():
    def outcomes(seed):
        attack = create("attacks", "pgd", eps=0.1, steps=3)
        classifiers = {"a": LinearClassifier((4, 4, 1), 3)}
        return evaluate(classifiers, InMemory(count=12), [attack], seed=seed).outcomes

    first, second = outcomes(3), outcomes(3)
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("content", ["", "{}", '{"format": "other", "version": 1}'])
def test_a_damaged_results_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(StoreError, match=r"not a result of this version") as refusal:
        read_results(tmp_path)
    assert "\n" not in str(refusal.value)


def test_missing_results_say_what_to_run(tmp_path):
    with pytest.raises(StoreError, match=r"run `tfrobust evaluate` first"):
        read_results(tmp_path)
