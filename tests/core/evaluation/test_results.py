"""`results.json` and the outcomes: the agreed form, written and read."""

import json
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from helpers.support import InMemory, noise, small_classifier
from tfrobust.errors import StoreError
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.registry import create
from tfrobust.report import write_report
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.run_files import read_results, write_results
from tfrobust.testing import LinearClassifier


@pytest.fixture(scope="module")
def several():
    """Two classifiers under two attacks on 24 noise images."""
    scenario = InMemory(images=24)
    both = {"a": small_classifier(), "b": LinearClassifier((4, 4, 1), 3)}
    attacks = [create("attacks", "fgsm", eps=0.2), create("attacks", "pgd", eps=0.1, steps=3)]
    return evaluate(both, scenario, attacks, seed=5)


def test_results_come_back_as_they_were_written(several, tmp_path):
    write_results(tmp_path, several.results, several.outcomes)
    assert read_results(tmp_path) == several.results
    names = ["examples.npz", "outcomes.parquet", "results.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names


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
        "megabytes": 0.001292,
        "passes": 1,
        "imitates": None,
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
    kept = Outcomes.read(tmp_path)
    labels = noise(1, 24)[1]
    assert np.array_equal(kept.column("label"), labels)
    for i, evaluation in enumerate(several.results.evaluations):
        clean = kept.column(f"e{i}_clean")
        assert clean.shape == (24,)
        assert (clean == labels).mean() == evaluation.clean.accuracy
        for name in ("prediction", "l0", "l1", "l2", "linf"):
            assert kept.rows(i, name).shape == (2, 24)
        for row, attack in zip(kept.rows(i, "prediction"), evaluation.attacks, strict=True):
            assert ((row == labels) & (clean == labels)).mean() == attack.accuracy
        assert kept.row(i, 0, "linf").max() == pytest.approx(0.2, abs=1e-6)
        assert kept.row(i, 1, "linf").max() <= 0.1 + 1e-6


def test_outcomes_are_narrow_columns_that_any_reader_of_parquet_takes_one_by_one(several, tmp_path):
    write_results(tmp_path, several.results, several.outcomes)
    table = pq.read_table(tmp_path / "outcomes.parquet", columns=["label", "e1_a0_linf"])
    assert table.num_rows == 24
    assert [str(field.type) for field in table.schema] == ["int32", "float"]
    schema = pq.read_schema(tmp_path / "outcomes.parquet")
    assert schema.metadata[b"run"].decode() == several.results.run
    assert {str(field.type) for field in schema} == {"int32", "bool", "float"}


@pytest.mark.slow
def test_a_million_rows_of_an_attack_are_read_within_a_second(tmp_path):
    random = np.random.default_rng(0)
    columns = {name: random.integers(0, 10, 10**6, np.int32) for name in ("label", "e0_clean")}
    columns["e0_a0_prediction"] = random.integers(0, 10, 10**6, np.int32)
    columns["e0_a0_linf"] = random.uniform(size=10**6).astype(np.float32)
    Outcomes.of(columns).write(tmp_path, "some")
    began = time.perf_counter()
    outcomes = Outcomes.read(tmp_path)
    read = {name: outcomes.column(name) for name in columns}
    assert time.perf_counter() - began < 1
    for name, column in columns.items():
        np.testing.assert_array_equal(read[name], column)


def test_a_run_of_an_older_version_is_refused_with_what_to_do(several, tmp_path):
    write_results(tmp_path, several.results, several.outcomes)
    (tmp_path / "outcomes.parquet").rename(tmp_path / "outcomes.npz")
    with pytest.raises(StoreError, match=r"written by an older version; evaluate again"):
        write_report(tmp_path)


def test_one_seed_gives_one_result():
    def outcomes(seed):
        attack = create("attacks", "pgd", eps=0.1, steps=3)
        classifiers = {"a": LinearClassifier((4, 4, 1), 3)}
        return evaluate(
            classifiers, InMemory(images=12), [attack], baselines=(), seed=seed
        ).outcomes

    first, second = outcomes(3), outcomes(3)
    assert all(np.array_equal(first.column(n), second.column(n)) for n in first.names)


@pytest.mark.parametrize("content", ["", "{}", '{"format": "other", "version": 1}'])
def test_a_damaged_results_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(StoreError, match=r"not a result of this version") as refusal:
        read_results(tmp_path)
    assert "\n" not in str(refusal.value)


def test_missing_results_say_what_to_run(tmp_path):
    with pytest.raises(StoreError, match=r"run `tfrobust evaluate` first"):
        read_results(tmp_path)
