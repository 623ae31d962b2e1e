"""Records and arrays from anywhere are checked where they are read, and cost one line."""

import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory, refused, small_classifier, small_model
from tfrobust import store
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.errors import ClassifierError, RobustError, StoreError
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.files.arrays import read_arrays
from tfrobust.files.reading import UnreadableError, checked_record
from tfrobust.pipeline.plans import read_plan
from tfrobust.registry import create
from tfrobust.report import write_report
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.run_files import read_results, write_results
from tfrobust.store import models
from tfrobust.store.cards import CARD, read_card
from tfrobust.study.cells.result_file import Result
from tfrobust.training.checkpoints import Checkpoints, Progressed


def put(content, path, value):
    """Set, or with `del` remove, what lies at a path of keys inside JSON."""
    *way, last = path
    for key in way:
        content = content[key]
    if value is del_:
        del content[last]
    else:
        content[last] = value


del_ = object()


@pytest.fixture(scope="module")
def evaluated():
    """A run of two attacks on one classifier."""
    attacks = [create("attacks", "fgsm", eps=0.2), create("attacks", "ddn", steps=2)]
    return evaluate({"a": small_classifier()}, InMemory(images=12), attacks)


@pytest.fixture
def run(evaluated, tmp_path):
    write_results(tmp_path, evaluated.results, evaluated.outcomes)
    return tmp_path


def test_an_honest_run_is_reported(run):
    assert write_report(run).stat().st_size > 10_000


FIRST = ("evaluations", 0)
ATTACK = (*FIRST, "attacks", 0)
RESULTS = [
    ((*FIRST, "clean", "accuracy"), 1e308),
    ((*FIRST, "clean", "accuracy"), float("nan")),
    ((*FIRST, "clean", "accuracy"), float("inf")),
    ((*FIRST, "clean", "accuracy"), -0.1),
    ((*FIRST, "clean", "accuracy"), "high"),
    ((*FIRST, "clean", "interval"), [0.1]),
    ((*FIRST, "clean", "interval"), [0.1, 2.0]),
    ((*FIRST, "worst_case", "accuracy"), 1.5),
    ((*FIRST, "scenario", "images"), -1),
    ((*FIRST, "scenario", "images"), 1e300),
    ((*FIRST, "scenario", "name"), "a\x1b[2J"),
    ((*FIRST, "scenario", "name"), "x" * 200_000),
    ((*FIRST, "classifier", "name"), "a\nb"),
    ((*FIRST, "classifier", "image_shape"), [4, 4]),
    ((*FIRST, "classifier", "image_shape"), [4, 4, 0]),
    ((*FIRST, "classifier", "class_names"), ["\x07"]),
    ((*ATTACK, "accuracy"), float("nan")),
    ((*ATTACK, "fooling_ratio"), 1e308),
    ((*ATTACK, "seconds"), float("inf")),
    ((*ATTACK, "gradients_per_image"), -160.0),
    ((*ATTACK, "violations"), -1),
    ((*ATTACK, "params"), {"eps": "big"}),
    ((*ATTACK, "params"), {"eps": float("nan")}),
    ((*ATTACK, "params"), []),
    ((*ATTACK, "distance"), {}),
    ((*ATTACK, "distance", "l2", "median"), float("nan")),
    ((*ATTACK, "threat", "norm"), "l7"),
    ((*ATTACK, "name"), 5),
    ((*FIRST, "attacks"), del_),
    (("evaluations",), []),
    (("evaluations",), {}),
    (("format",), "other"),
    (("version",), 2),
    (("environment",), {"a": {"b": 1}}),
    (("corruptions",), [{"classifier": "a", "clean": 0.1, "errors": {}, "mean": {}, "mce": 0.1}]),
    (
        ("corruptions",),
        [{"classifier": "a", "clean": 0.1, "errors": {"f": [0.1]}, "mean": {}, "mce": 0.1}],
    ),
]


@pytest.mark.parametrize(("path", "value"), RESULTS, ids=range(len(RESULTS)))
def test_impossible_results_never_reach_a_page(path, value, run):
    content = json.loads((run / "results.json").read_text())
    put(content, path, value)
    (run / "results.json").write_text(json.dumps(content))
    refused(StoreError, lambda: write_report(run), "results.json", "evaluate again")
    assert not (run / "report.html").exists()


NOT_JSON = [
    b"", b"{", b"null", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000,
    b'"\\ud800"',
]  # fmt: skip


@pytest.mark.parametrize("content", NOT_JSON, ids=range(len(NOT_JSON)))
def test_a_file_that_is_no_record_costs_one_line_everywhere(content, tmp_path):
    (tmp_path / "results.json").write_bytes(content)
    refused(StoreError, lambda: read_results(tmp_path), "results.json")
    (tmp_path / CARD).parent.mkdir()
    (tmp_path / CARD).write_bytes(content)
    refused(StoreError, lambda: read_card(tmp_path), "the card cannot be read", "delete the card")
    (tmp_path / "plan.json").write_bytes(content)
    refused(StoreError, lambda: read_plan(tmp_path / "plan.json"), "plan.json", "--force")


@pytest.mark.parametrize("name", ["results.json", "plan.json", "a.npz", "m.keras"])
def test_pipes_are_refused_without_waiting(name, tmp_path):
    os.mkfifo(tmp_path / name)
    read = {
        "results.json": lambda: read_results(tmp_path),
        "plan.json": lambda: read_plan(tmp_path / name),
        "a.npz": lambda: read_arrays(tmp_path / name),
        "m.keras": lambda: models._from_keras_file(tmp_path / name, LoadOptions()),
    }[name]
    refused(RobustError, read, "folder, pipe or device")


PLAN = {
    "model": {"name": "linear", "params": {}},
    "scenario": {"called": "digits", "name": "digits", "params": {}, "shift": None},
    "defenses": [{"name": "mc_dropout", "params": {"rate": 0.5}}],
    "training": {"epochs": 1},
}
PLANS = [
    (("model",), []),
    (("model",), del_),
    (("model", "deployed"), 7),
    (("scenario",), "digits"),
    (("scenario", "shift"), {"name": "fog"}),
    (("scenario", "params"), None),
    (("defenses",), {"a": 1}),
    (("defenses",), ["mc_dropout"]),
    (("defenses", 0), {"name": "x"}),
    (("defenses", 0, "name"), ["x"]),
    (("training",), 3),
]
VERSIONS = [del_, "../../elsewhere", -1, 1.5, True, None, 10**30]


@pytest.mark.parametrize(("path", "value"), PLANS, ids=range(len(PLANS)))
def test_a_plan_of_wrong_types_costs_one_line(path, value, tmp_path):
    content = json.loads(json.dumps(PLAN))
    put(content, path, value)
    (tmp_path / "plan.json").write_text(json.dumps(content))
    refused(StoreError, lambda: read_plan(tmp_path / "plan.json"), "plan.json", path[0], "--force")


@pytest.mark.parametrize("version", VERSIONS, ids=range(len(VERSIONS)))
def test_a_finished_plan_names_its_version_which_is_a_number(version, tmp_path):
    (tmp_path / "training").mkdir()
    path = tmp_path / "training/plan.json"
    path.write_text(json.dumps(PLAN | {"version": 3}))
    assert read_plan(path) == PLAN | {"version": 3}
    path.write_text(json.dumps(PLAN if version is del_ else PLAN | {"version": version}))
    refused(StoreError, lambda: read_plan(path), "version")


def _without(name):
    return lambda arrays: arrays.pop(name)


def _with(name, change):
    return lambda arrays: arrays.update({name: change(arrays[name])})


OUTCOMES = {
    "no labels": _without("label"),
    "no predictions": _without("e0_a0_prediction"),
    "no pictures": _without("example_images"),
    "rows too few": lambda arrays: arrays.update(
        {name: a[:-1] for name, a in arrays.items() if "example" not in name}
    ),
    "labels that are text": _with("label", lambda a: a.astype(str)),
    "labels below zero": _with("label", lambda a: a - 100),
    "labels in lists": _with("label", lambda a: [[int(label)] for label in a]),
    "labels that are missing": _with("label", lambda a: [None, *a[1:].tolist()]),
    "predictions that are numbers": _with("e0_a0_prediction", lambda a: a.astype(float)),
    "predictions of one attack": _without("e0_a1_prediction"),
    "predictions below zero": _with("e0_a0_prediction", lambda a: a * 0 - 1),
    "success that is counted": _with("e0_a0_reached", lambda a: a.astype(int)),
    "distances that are text": _with("e0_a1_l2", lambda a: a.astype(str)),
    "pictures without channels": _with("example_images", lambda a: a[..., 0]),
    "pictures of five channels": _with("example_images", lambda a: np.repeat(a, 5, axis=3)),
    "pictures of no size": _with("example_images", lambda a: a[:, :0]),
    "pictures that are not finite": _with("example_images", lambda a: a * np.nan),
    "other attacked pictures": _with("e0_example_a1", lambda a: a[:, :2]),
    "attacked pictures that are whole": _with("e0_example_a0", lambda a: a.astype(int)),
    "pictures of images there are not": _with("example_index", lambda a: a + 100),
    "an index below zero": _with("example_index", lambda a: a - 1),
    "another run's": _with("e0_clean", lambda a: (a + 1) % 3),
    "another attack's": _with("e0_a0_prediction", lambda a: (a + 1) % 3),
}


@pytest.mark.parametrize("change", OUTCOMES)
def test_misshapen_outcomes_cost_one_line(change, evaluated, tmp_path):
    outcomes = evaluated.outcomes
    arrays = {name: outcomes.column(name) for name in outcomes.names} | outcomes.examples
    OUTCOMES[change](arrays)
    examples = {name: array for name, array in arrays.items() if "example" in name}
    columns = {name: array for name, array in arrays.items() if name not in examples}
    write_results(tmp_path, evaluated.results, Outcomes.of(columns, examples))
    refused(StoreError, lambda: write_report(tmp_path), "outcomes.parquet", "evaluate again")
    assert not (tmp_path / "report.html").exists()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return store.export(small_classifier(), tmp_path_factory.mktemp("store") / "m/1")


CARDS = [
    ({"passes": -5, "stochastic": True}, "passes"),
    ({"passes": 0, "stochastic": True}, "passes"),
    ({"passes": 10**9, "stochastic": True}, "passes"),
    ({"passes": 7}, "passes"),
    ({"model": {"name": "linear"}}, "model"),
    ({"model": {"name": ["linear"], "params": {}}}, "model"),
    ({"passes": 7, "stochastic": True}, "stochastic"),  # its answers never differ
    ({"image_shape": [8, 8, 1]}, "image_shape"),
    ({"image_shape": [0, 0, 0]}, "image_shape"),
    ({"class_names": ["a", "b"]}, "classes"),
    ({"class_names": ["a", "b", "\x1b[31mc"]}, "class_names"),
    ({"class_names": "abc"}, "class_names"),
    ({"members": ["absent"]}, "absent"),
    ({"clean_accuracy": 1e308}, "clean_accuracy"),
    ({"megabytes": -1}, "megabytes"),
    ({"megabytes": float("nan")}, "megabytes"),
    ({"seed": 10**40}, "seed"),
    ({"defenses": [{"name": "x"}]}, "defenses"),
    ({"defenses": [{"name": "\x00", "params": {}}]}, "defenses"),
    ({"scenario": "x" * 10**6}, "scenario"),
]


@pytest.mark.parametrize(("changes", "word"), CARDS, ids=range(len(CARDS)))
def test_a_card_with_impossible_values_is_refused(changes, word, exported):
    path = exported / CARD
    honest = path.read_text()
    try:
        path.write_text(json.dumps(json.loads(honest) | changes))
        refused(RobustError, lambda: store.load(exported), word)
    finally:
        path.write_text(honest)
    assert store.load(exported).num_classes == 3


@pytest.mark.parametrize(
    ("passes", "drawn", "believed"), [(1000, (), 1), (1000, (7,), 7), (6, (2, 3), 6), (5, (50,), 5)]
)
def test_a_card_that_exaggerates_its_passes_does_not_weaken_attacks(
    passes, drawn, believed, tmp_path
):
    class Random(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 1), tf.float32, name="images")])
        def logits(self, images):
            given = tf.reshape(images, (-1, 16))[:, :3]
            return {"logits": given + tf.random.normal(tf.shape(given))}

    module, folder = Random(), tmp_path / "m"
    tf.saved_model.save(module, str(folder), {"serving_default": module.logits})
    (folder / CARD).parent.mkdir()
    card = {"image_shape": [4, 4, 1], "class_names": ["a", "b", "c"], "passes": passes}
    card["defenses"] = [{"name": "mc_dropout", "params": {"samples": samples}} for samples in drawn]
    (folder / CARD).write_text(json.dumps(card | {"stochastic": True}))
    classifier = store.load(folder)
    assert (classifier.stochastic, classifier.passes) == (True, believed)


LISTS = [
    b"", b"\xff", b"nonsense", b'model_checkpoint_path: ""\n',
    b'model_checkpoint_path: "/etc/precious"\nall_model_checkpoint_paths: "/etc/precious"\n',
    b'model_checkpoint_path: "ckpt-1"\nall_model_checkpoint_paths: "../other/ckpt-1"\n',
]  # fmt: skip


@pytest.mark.parametrize("content", LISTS, ids=range(len(LISTS)))
def test_a_list_that_names_no_checkpoint_of_its_folder_costs_one_line(content, tmp_path):
    model = small_model()
    first = Checkpoints(tmp_path, model, keras.optimizers.SGD())
    first.save(Progressed([{"loss": 1.0}], 0))
    again = Checkpoints(tmp_path, model, keras.optimizers.SGD())
    assert again.restore().best == 1
    (tmp_path / "checkpoint").write_bytes(content)
    refused(
        StoreError, lambda: Checkpoints(tmp_path, model, keras.optimizers.SGD()), "checkpoint",
        "--force",
    )  # fmt: skip


CELL = {
    "study": "s", "scale": "tiny", "network": "n", "condition": "c", "seed": 0, "key": "k",
    "figures": {"plain.clean": 0.5}, "histograms": {"clean": [1, 2]},
    "exhibits": {"original": [[[[0]]]], "classes": ["a"]}, "seconds": 1.0,
    "command": "tfrobust study run s", "versions": {},
}  # fmt: skip
CELLS = [
    ({"figures": {"plain.clean": float("nan")}}, "figures"),
    ({"figures": {"plain.clean": "0.5x"}}, "figures"),
    ({"figures": [1]}, "figures"),
    ({"histograms": {"clean": [-1]}}, "histograms"),
    ({"exhibits": {"original": [[1], [1, 2]]}}, "exhibits"),
    ({"exhibits": {"original": ["a"]}}, "exhibits"),
    ({"exhibits": {"original": [None]}}, "exhibits"),
    ({"network": "../../n"}, "network"),
    ({"command": "a\x1b[2J"}, "command"),
    ({"seconds": float("inf")}, "seconds"),
    ({"seed": "zero"}, "seed"),
]


@pytest.mark.parametrize(("changes", "word"), CELLS, ids=range(len(CELLS)))
def test_an_impossible_cell_of_a_study_is_refused(changes, word):
    assert checked_record(Result, json.dumps(CELL)).figures == CELL["figures"]
    refused(UnreadableError, lambda: checked_record(Result, json.dumps(CELL | changes)), word)


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\nb", "\udcff", "\u202egnp", "x" * 2000])
def test_an_invalid_name_is_refused_before_anything_is_attacked(name):
    attacks = [create("attacks", "fgsm", eps=0.2)]
    call = lambda: evaluate({name: small_classifier()}, InMemory(images=4), attacks)  # noqa: E731
    refused(ClassifierError, call, "control character", "rename it")


@pytest.mark.parametrize("name", ["naïve", "数字", "🧑‍🚀", "a b", "x:y/1"])
def test_names_of_any_language_are_recorded_and_read_back(name, tmp_path):
    evaluation = evaluate({name: small_classifier()}, InMemory(images=4), [])
    write_results(tmp_path, evaluation.results, evaluation.outcomes)
    assert read_results(tmp_path).evaluations[0].classifier.name == name
