"""Image by image: fates, what classes are taken for, probabilities, and how large a page gets."""

import base64
import io
import re
import types

import numpy as np
import pytest
from PIL import Image

from helpers.support import InMemory, small_classifier
from tfrobust.errors import StoreError
from tfrobust.evaluation import evaluate
from tfrobust.evaluation.example_answers import example_probabilities
from tfrobust.registry import create
from tfrobust.report import write_report, write_run
from tfrobust.report.charts.tiles import PAGE_BYTES, tile
from tfrobust.report.explorer import answers, confusions, fate_table
from tfrobust.report.page import render
from tfrobust.results.outcomes import Outcomes


@pytest.fixture(scope="module")
def evaluated():
    attacks = [create("attacks", "fgsm", eps=eps) for eps in (0.1, 0.3)]
    return evaluate({"x": small_classifier()}, InMemory(images=40), attacks, baselines=())


def test_each_image_has_one_fate_and_is_named_under_it(evaluated):
    results, outcomes = evaluated.results, evaluated.outcomes
    rows = {row[1]: row for row in fate_table(results, outcomes).sections[0]}
    assert sum(int(row[2]) for row in rows.values()) == 40
    label, clean = outcomes.column("label"), outcomes.column("e0_clean")
    left = [outcomes.row(0, k, "prediction") == label for k in range(2)]
    everything = np.flatnonzero((clean == label) & ~left[0] & ~left[1])
    named = rows["every one of 2"][4].removesuffix(", …").split(", ")
    assert [int(number) for number in named] == everything[:12].tolist()
    assert int(rows["nothing: wrong before"][2]) == (clean != label).sum()


def test_a_matrix_tells_what_each_class_is_taken_for_before_and_after(evaluated):
    results, outcomes = evaluated.results, evaluated.outcomes
    before, after = confusions(results, outcomes)
    label = outcomes.column("label")
    for matrix, predicted in (
        (before, [outcomes.column("e0_clean")]),
        (after, [outcomes.row(0, k, "prediction") for k in range(2)]),
    ):
        for k, (_, cells) in zip(np.unique(label), matrix.rows, strict=True):
            for answered, (share, _) in enumerate(cells):
                expected = np.mean([p[label == k] == answered for p in predicted])
                assert share == pytest.approx(expected)


def test_probabilities_are_those_of_the_images_before_and_after(evaluated):
    examples, names = evaluated.outcomes.examples, evaluated.results.evaluations[0].classifier
    for kind in ("clean", "a0", "a1"):
        array = examples[f"e0_example_{kind}_probabilities"]
        assert array.dtype == np.float16
        assert np.allclose(array.astype(float).sum(axis=1), 1, atol=0.01)
    rows = examples["example_index"]
    predicted = evaluated.outcomes.row(0, 1, "prediction")[rows]
    assert examples["e0_example_a1_probabilities"].argmax(axis=1).tolist() == predicted.tolist()
    first = answers(0, 1, 0, evaluated.outcomes, names.class_names)
    likeliest = max(first, key=lambda one: one.after)
    assert likeliest.name == names.class_names[predicted[0]]
    page = render(evaluated.results, evaluated.outcomes)
    shown = f"{likeliest.name}: {100 * likeliest.before:.0f} → {100 * likeliest.after:.0f} %"
    assert shown in page


def test_a_classifier_that_changes_its_mind_or_whose_answers_cost_tells_no_probabilities(evaluated):
    def judged(prediction, **traits):
        classifier = small_classifier().replace(**traits) if traits else small_classifier()
        subject = types.SimpleNamespace(classifier=classifier, clean=prediction)
        return types.SimpleNamespace(subject=subject, attacked=[])

    rows, images = np.arange(8), evaluated.outcomes.examples["example_images"]
    examples = {"example_images": images}
    prediction = evaluated.outcomes.column("e0_clean")[evaluated.outcomes.examples["example_index"]]
    other = np.where(rows == 3, (prediction + 1) % 3, prediction)
    answered = example_probabilities([judged(other)], rows, examples)
    array = answered["e0_example_clean_probabilities"]
    assert np.isnan(array).all(axis=1).tolist() == (rows == 3).tolist()
    for traits in ({"decisions_only": True}, {"batch_dependent": True}, {"meter": object()}):
        assert example_probabilities([judged(prediction, **traits)], rows, examples) == {}


def test_probabilities_of_another_shape_are_refused_and_older_runs_have_none(evaluated, tmp_path):
    write_run(tmp_path, evaluated)
    outcomes = evaluated.outcomes
    kept = {k: v for k, v in outcomes.examples.items() if "probabilities" not in k}
    assert "→" in render(evaluated.results, Outcomes(outcomes._table, kept))
    file = tmp_path / "examples.npz"
    with np.load(file) as archive:
        arrays = dict(archive)
    arrays["e0_example_a0_probabilities"] = arrays["e0_example_a0_probabilities"] + np.float16(2)
    np.savez(file, **arrays)
    with pytest.raises(StoreError, match="e0_example_a0_probabilities: expected probabilities"):
        write_report(tmp_path)


def test_a_small_image_is_shown_exactly_and_a_large_one_fits_its_bytes():
    small = np.random.default_rng(0).uniform(size=(8, 8, 3)).astype(np.float32)
    shown = np.asarray(opened(tile(small)))
    assert np.array_equal(shown, np.rint(255 * small).astype(np.uint8))
    large = np.random.default_rng(1).uniform(size=(224, 224, 3))
    assert len(base64.b64decode(tile(large, 2000).partition(",")[2])) <= 2000


def opened(address):
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_a_page_of_three_classifiers_and_ten_attacks_can_be_mailed():
    scenario = InMemory(images=12, shape=(32, 32, 3))
    one = evaluate(
        {"x": small_classifier((32, 32, 3), 3)},
        scenario,
        [create("attacks", "fgsm", eps=0.05)],
        baselines=(),
    )
    results, columns, examples = many(one, classifiers=3, attacks=10)
    page = render(results, Outcomes.of(columns, examples))
    assert len(re.findall(r"<div class=\"grid\"", page)) == 30
    assert 0.5 * PAGE_BYTES < len(page.encode()) <= 1e6  # of noise, which compresses worst


def many(evaluated, *, classifiers, attacks):
    """A run of one attack as one of several classifiers under several attacks."""
    [evaluation], outcomes = evaluated.results.evaluations, evaluated.outcomes
    [attack] = evaluation.attacks
    copies = [attack.model_copy(update={"name": f"attack{k}"}) for k in range(attacks)]
    evaluations = [
        evaluation.model_copy(
            update={
                "classifier": evaluation.classifier.model_copy(update={"name": f"c{number}"}),
                "attacks": copies,
            }
        )
        for number in range(classifiers)
    ]

    def copied(arrays):
        found = {}
        for name, array in arrays.items():
            for number in range(classifiers):
                own = name.replace("e0_", f"e{number}_", 1)
                for k in range(attacks if "a0" in name else 1):
                    found[own.replace("a0", f"a{k}")] = array
        return found

    columns = copied({name: outcomes.column(name) for name in outcomes.names})
    results = evaluated.results.model_copy(update={"evaluations": evaluations})
    return results, columns, copied(outcomes.examples)
