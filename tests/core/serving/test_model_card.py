"""The model card of an export: what it is, and how robust."""

import numpy as np
import pytest
import yaml

from helpers.support import InMemory, small_classifier, small_model
from tfrobust import evaluate
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.results.run_files import write_results
from tfrobust.serving import ExportSettings, export
from tfrobust.serving.model_card import evaluation_in, model_card
from tfrobust.store.cards import Imitation, card_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of two classifiers under FGSM."""
    folder = tmp_path_factory.mktemp("run")
    classifiers = {"small": small_classifier(), "other": small_classifier()}
    attacks = [create("attacks", "fgsm", eps=0.1)]
    done = evaluate(classifiers, InMemory(), attacks, baselines=())
    write_results(folder, done.results, done.outcomes)
    return folder


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_card_has_the_figures_of_the_run_as_the_hub_reads_them(run):
    card = card_of(small_classifier(), scenario="digits+b2")
    found = evaluation_in(run, "small", card)
    text = model_card(card, "served", found)
    data = front_matter(text)
    assert data["pipeline_tag"] == "image-classification"
    assert data["datasets"] == ["digits"]
    (model,) = data["model-index"]
    titles = [metric["name"] for metric in model["results"][0]["metrics"]]
    assert titles == [
        "accuracy", "robust accuracy under fgsm L∞ ≤ 0.1", "robust accuracy under all attacks",
    ]  # fmt: skip
    values = [metric["value"] for metric in model["results"][0]["metrics"]]
    expected = [found.clean.accuracy, found.attacks[0].accuracy, found.worst_case.accuracy]
    np.testing.assert_allclose(values, expected, atol=5e-5)
    assert "| fgsm L∞ ≤ 0.1 |" in text
    assert "| other |" not in text


def test_without_a_run_the_card_says_that_nothing_is_known_and_how_to_know():
    text = model_card(card_of(small_classifier()), "d1")
    assert "Nothing is known of it. Measure it: `tfrobust evaluate d1" in text
    assert "model-index" not in front_matter(text)


def test_a_surrogate_tells_what_it_imitates_and_how_well():
    imitated = Imitation(
        of="http://host:1/v1/models/d1", answers="labels", queries=3000, images=1600, rounds=4,
        held_out=100, agreement=(0.85, 0.93),
    )  # fmt: skip
    text = model_card(card_of(small_classifier(), imitates=imitated), "d1")
    assert "the same class for 93.0% of 100 held-out images, after 3,000 queries" in text


def test_names_from_files_are_no_markup():
    card = card_of(small_classifier()).model_copy(
        update={"class_names": ("<script>", "a|b", "[x](http://y)"), "scenario": 'a": b'}
    )
    text = model_card(card, "# <b>")
    assert "\\<script\\>" in text
    assert "\\[x\\]" in text
    assert "# \\# \\<b\\>" in text
    assert front_matter(text)["datasets"] == ['a": b']


def test_a_run_of_other_classifiers_is_refused(run):
    card = card_of(small_classifier())
    with pytest.raises(UsageError, match="has no classifier 'smal', only small, other; did you"):
        evaluation_in(run, "smal", card)
    larger = card.model_copy(update={"image_shape": (8, 8, 1)})
    with pytest.raises(UsageError, match="it takes 4 × 4 × 1, this one 8 × 8 × 1"):
        evaluation_in(run, "small", larger)


def test_an_export_writes_the_card_beside_the_savedmodel(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_model().save("small.keras")
    settings = ExportSettings(classifier="small.keras", evaluated=run)
    with pytest.raises(UsageError, match=r"has no classifier 'small\.keras'"):
        export(settings, tmp_path / "served")
    assert not list(tmp_path.glob("served/*"))
    path = export(ExportSettings(classifier="small.keras"), tmp_path / "served").path
    assert "# served" in (path / "README.md").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="evaluated: is of a SavedModel that classifies"):
        ExportSettings(classifier="small.keras", evaluated=run, format="tflite")
