"""One call exports what `tfrobust export` exports."""

import numpy as np
import pytest

from helpers.support import InMemory, small_classifier, small_model
from tfrobust import store
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.registry import create
from tfrobust.serving import ExportSettings, export


def settings(**options):
    return ExportSettings(classifier="small.keras", **options)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder to work in, with a Keras file that ends in a softmax."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFROBUST_MODELS", str(tmp_path / "store"))
    small_model().save("small.keras")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": object()}, "detector: learns from an attack; give both or neither"),
        ({"attack": object()}, "detector: learns from an attack; give both or neither"),
        ({"only": "calibrater", "defenses": [object()]}, "only: exports a defence alone"),
        ({"quantize": "int8"}, "quantize: expected format tflite"),
        (
            {"detector": object(), "attack": object(), "format": "tflite"},
            "format tflite: has logits only",
        ),
    ],
)
def test_options_that_exclude_each_other_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        settings(**options)


def test_each_export_is_the_next_version_and_a_given_number_is_kept(small):
    paths = [
        export(settings(version=version), small / "served").path for version in (None, 7, None)
    ]
    assert [path.name for path in paths] == ["1", "7", "8"]
    images = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    expected = small_classifier()(images)
    np.testing.assert_allclose(store.load(paths[0])(images), expected, atol=1e-6)


def test_a_defence_that_trains_nothing_wraps_the_classifier_and_is_recorded(small):
    dropout = create("defenses", "mc_dropout", rate=0.5, samples=3)
    data = InMemory()
    path = export(settings(defenses=[dropout], scenario=data), small / "served").path
    card = store.read_card(path)
    assert [defense.name for defense in card.defenses] == ["mc_dropout"]
    assert card.passes == 3


def test_a_scenario_is_recorded_by_its_name_and_names_the_classes(small):
    data = InMemory()
    path = export(settings(scenario=data, scenario_name="in_memory"), small / "served").path
    card = store.read_card(path)
    assert (card.scenario, card.class_names) == ("in_memory", data.class_names)


def test_a_classifier_that_does_not_fit_the_scenario_leaves_no_folder(small):
    with pytest.raises(ClassifierError, match="does not fit the scenario"):
        export(settings(scenario=InMemory(classes=4)), small / "served")
    assert not (small / "served").exists()


def test_the_log_names_the_converted_model(small):
    from tfrobust.classifiers.loading import LoadOptions

    small_model(softmax=True).save("small.keras")
    lines = []
    export(settings(loading=LoadOptions(to_logits=True)), small / "served", log=lines.append)
    (line,) = lines
    assert line.startswith("small.keras: ")
