"""The detectors: their scores, what they learn, and their export."""

import math
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KernelDensity

from helpers.support import python
from helpers.thinned import thinned
from tfrobust import store
from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import ClassifierError, DataError, UsageError
from tfrobust.evaluation.detection import (
    best_threshold,
    figures,
    fitted_on,
    scores,
    separation,
    threshold,
)
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.evaluation.fitting_images import attacked_training_images
from tfrobust.registry import create, entries
from tfrobust.report.page import render
from tfrobust.report.tables import detector_table
from tfrobust.results.records import Results
from tfrobust.serving.guard import guard
from tfrobust.testing import detector_checks
from tfrobust_uncertainty.held_out import held_out_scores

ALL = [entry.name for entry in entries("detectors")]
WITHOUT_RATE = ("kernel_density", "mahalanobis", "feature_squeezing", "magnet_detector")
OPTIONS = {name: {"rate": 0.3} for name in ALL if name not in WITHOUT_RATE}


class Dim(Classifier):
    """A classifier with the mean pixel as uncertainty and the first two pixels as features."""

    def __init__(self):
        super().__init__(image_shape=(2, 2, 1), num_classes=2)

    def __call__(self, images):
        return tf.stack([images[:, 0, 0, 0], 0.5 + 0.0 * images[:, 0, 0, 0]], axis=1)

    def outputs(self, images):
        return super().outputs(images) | {"uncertainty": tf.reduce_mean(images, (1, 2, 3))}

    def features(self, images):
        return tf.reshape(images, (-1, 4))[:, :2]


def flat(values):
    """Return images of a single grey."""
    return np.repeat(np.asarray(values, np.float32), 4).reshape(-1, 2, 2, 1)


def two_kinds(count=200):
    draw = np.random.default_rng(0)
    clean = np.clip(draw.exponential(0.05, count), 0, 1)
    return clean, np.clip(draw.normal(0.4, 0.1, count), 0, 1)


@pytest.fixture(scope="module")
def with_dropout(digits):
    """A network with dropout that reads the digits."""
    from helpers.support import train_keras

    init = keras.initializers.GlorotUniform(seed=3)
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(64, activation="relu", kernel_initializer=init),
        keras.layers.Dropout(0.5, seed=5),
        keras.layers.Dense(10, kernel_initializer=init),
    ]
    model = keras.Sequential(layers)
    train_keras(model, *digits["train"], epochs=15)
    return KerasClassifier(model)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("check", detector_checks(), ids=lambda check: check.__name__)
def test_every_detector_keeps_the_contract(check, name):
    check(create("detectors", name, **OPTIONS.get(name, {})))


def test_variance_threshold_scores_the_uncertainty_itself():
    clean, adversarial = map(flat, two_kinds())
    fitted = create("detectors", "variance_threshold").fit(Dim(), clean, adversarial)
    np.testing.assert_allclose(scores(fitted, clean), clean.mean((1, 2, 3)), rtol=1e-6)


def test_variance_logistic_is_scikit_learns_regression():
    clean, adversarial = two_kinds()
    fitted = create("detectors", "variance_logistic").fit(Dim(), flat(clean), flat(adversarial))
    values = np.concatenate([clean, adversarial])[:, None]
    scaled = (values - values.mean()) / values.std()
    truth = np.repeat([0, 1], len(clean))
    expected = LogisticRegression().fit(scaled, truth).predict_proba(scaled)[:, 1]
    np.testing.assert_allclose(scores(fitted, flat(values[:, 0])), expected, atol=1e-4)
    assert fitted.threshold == 0.5


def test_mixture_scores_the_posterior_of_its_two_parts():
    clean, adversarial = two_kinds()
    fitted = create("detectors", "mixture").fit(Dim(), flat(clean), flat(adversarial))
    at = np.array([0.0, 0.1, 0.2, 0.4, 0.9])
    gaussian = stats.norm(adversarial.mean(), adversarial.std()).pdf(at)
    exponential = stats.expon(scale=clean.mean()).pdf(at)
    np.testing.assert_allclose(
        scores(fitted, flat(at)), gaussian / (gaussian + exponential), rtol=1e-3, atol=1e-6
    )


def test_kernel_density_is_scikit_learns_within_the_predicted_class():
    draw = np.random.default_rng(0)
    clean = draw.uniform(size=(60, 2, 2, 1)).astype(np.float32)
    fitted = create("detectors", "kernel_density", bandwidth=0.2).fit(Dim(), clean, 1 - clean)
    new = draw.uniform(size=(9, 2, 2, 1)).astype(np.float32)
    for image, score in zip(new, scores(fitted, new), strict=True):
        of_class = (clean[:, 0, 0, 0] >= 0.5) == (image[0, 0, 0] >= 0.5)
        near = KernelDensity(bandwidth=0.2).fit(clean[of_class].reshape(-1, 4)[:, :2])
        expected = -near.score_samples(image.reshape(1, 4)[:, :2])[0]
        assert score == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_bandwidth_is_chosen_within_the_classes():
    """The two classes are narrow and far apart."""
    draw = np.random.default_rng(0)
    clean = np.clip(draw.normal(0.05, 0.01, size=(80, 2, 2, 1)), 0, 1).astype(np.float32)
    clean[40:] += 0.9
    fitted = create("detectors", "kernel_density").fit(Dim(), clean, 1 - clean)
    features, classes = clean.reshape(-1, 4)[:, :2], np.repeat([0, 1], 40)

    def left_out(bandwidth):
        total = 0.0
        for i in range(80):
            others = features[(classes == classes[i]) & (np.arange(80) != i)]
            total += KernelDensity(bandwidth=bandwidth).fit(others).score(features[i : i + 1])
        return total

    chosen = left_out(fitted.bandwidth)
    assert all(chosen >= left_out(fitted.bandwidth * 10 ** (step / 7)) - 1e-6 for step in (-1, 1))


@pytest.mark.parametrize("name", ["kernel_density", "mahalanobis"])
def test_false_alarms_on_fresh_images_are_as_the_boundary_promises(name, with_dropout, digits):
    """Images that a detector remembers are nearest to themselves; new ones are not."""
    scenario = create("scenarios", "digits")
    images = attacked_training_images(
        create("attacks", "fgsm", eps=0.1), with_dropout, scenario, 500
    )
    fitted = fitted_on(images, create("detectors", name), with_dropout)
    left_out, attacked = held_out_scores(fitted, images.clean, images.adversarial)
    promised = (left_out > fitted.threshold).mean()
    fresh, _ = digits["test"]
    alarms = (scores(fitted, fresh) > threshold(fitted, images)).mean()
    assert alarms == pytest.approx(promised, abs=0.06)
    assert alarms < 0.5 < (attacked > fitted.threshold).mean()


def test_density_and_uncertainty_are_calibrated_on_held_out_images(with_dropout, digits):
    images = attacked_training_images(
        create("attacks", "fgsm", eps=0.1), with_dropout, create("scenarios", "digits"), 500
    )
    fitted = fitted_on(images, create("detectors", "density_and_uncertainty"), with_dropout)
    alarms = (scores(fitted, digits["test"][0]) > fitted.threshold).mean()
    caught = (scores(fitted, images.adversarial) > fitted.threshold).mean()
    assert alarms < 0.4 < caught


@pytest.mark.slow
def test_one_seed_gives_one_judgement(with_dropout):
    def judged(seed, *names):
        evaluated = evaluate(
            {"net": with_dropout},
            create("scenarios", "digits"),
            [create("attacks", "fgsm", eps=0.3)],
            detectors=[create("detectors", name) for name in names],
            limit=64,
            baselines=(),
            seed=seed,
        )
        return evaluated.outcomes.column(f"e0_d{len(names) - 1}_clean")

    first = judged(0, "variance_logistic")
    random.random()  # noqa: S311 (whatever else draws in this process)
    np.testing.assert_array_equal(judged(0, "variance_logistic"), first)
    np.testing.assert_array_equal(judged(0, "variance_threshold", "variance_logistic"), first)
    assert not np.array_equal(judged(1, "variance_logistic"), first)


def test_a_class_without_clean_images_still_gets_a_finite_score():
    fitted = create("detectors", "kernel_density").fit(Dim(), flat([0.1, 0.2, 0.3]), flat([0.9]))
    assert np.isfinite(scores(fitted, flat([0.9]))).all()


def test_mahalanobis_is_the_distance_to_the_nearest_class_mean():
    draw = np.random.default_rng(0)
    clean = draw.uniform(size=(4000, 2, 2, 1)).astype(np.float32)
    fitted = create("detectors", "mahalanobis").fit(Dim(), clean, 1 - clean)
    features, dark = clean.reshape(-1, 4)[:, :2], clean[:, 0, 0, 0] < 0.5
    means = np.stack([features[dark].mean(0), features[~dark].mean(0)])
    centred = features - means[np.where(dark, 0, 1)]
    precision = np.linalg.inv(np.cov(centred.T, bias=True))
    apart = features[:20, None] - means[None]
    expected = np.einsum("icu,uv,icv->ic", apart, precision, apart).min(1)
    np.testing.assert_allclose(scores(fitted, clean[:20]), expected, rtol=0.02, atol=1e-3)


def test_the_step_towards_the_nearest_class_shortens_the_distance():
    draw = np.random.default_rng(0)
    clean = draw.uniform(0.2, 0.8, size=(400, 2, 2, 1)).astype(np.float32)
    plain, stepped = (
        create("detectors", "mahalanobis", magnitude=magnitude).fit(Dim(), clean, 1 - clean)
        for magnitude in (0.0, 0.02)
    )
    assert (scores(stepped, clean) <= scores(plain, clean) + 1e-4).mean() > 0.95


@pytest.mark.parametrize("name", ALL)
def test_images_of_one_kind_are_not_enough(name):
    detector = create("detectors", name, **OPTIONS.get(name, {}))
    some, none = flat([0.1, 0.2]), flat([])
    for clean, adversarial in ((some, none), (none, some)):
        with pytest.raises(DataError, match=r"learns from clean and adversarial images; received"):
            detector.fit(Dim(), clean, adversarial)


@pytest.mark.parametrize("name", ALL)
def test_images_that_no_attack_changed_are_one_kind_only(name):
    detector = create("detectors", name, **OPTIONS.get(name, {}))
    with pytest.raises(DataError, match=r"2 clean, 2 adversarial, all of them unchanged"):
        detector.fit(Dim(), flat([0.1, 0.2]), flat([0.1, 0.2]))


def test_a_detector_that_needs_randomness_says_so(trained, digits):
    images, _ = digits["test"]
    with pytest.raises(UsageError, match=r"give a rate to insert some: -p rate=0.5"):
        create("detectors", "variance_threshold").fit(trained, images[:9], images[9:19])


def test_a_detector_that_needs_features_says_so():
    class Bare(Dim):
        def features(self, images):
            return Classifier.features(self, images)

    with pytest.raises(ClassifierError, match="shows no hidden layer"):
        create("detectors", "mahalanobis").fit(Bare(), flat([0.1]), flat([0.2]))


def test_the_best_threshold_makes_the_fewest_errors():
    assert best_threshold(np.array([0.0, 1.0]), np.array([2.0, 4.0])) == 1.5
    draw = np.random.default_rng(0)
    clean, adversarial = draw.normal(0, 1, 500), draw.normal(1, 1, 300)
    cut = best_threshold(clean, adversarial)
    errors = [(clean > c).mean() + (adversarial <= c).mean() for c in np.linspace(-3, 4, 300)]
    assert (clean > cut).mean() + (adversarial <= cut).mean() <= min(errors) + 1e-9


@pytest.mark.parametrize("scores", [([1.0, 2.0], [0.0, 0.5]), ([1.0, 1.0], [1.0]), ([0.0], [1.0])])
def test_a_boundary_is_finite_even_where_a_detector_is_of_no_use(scores):
    clean, adversarial = map(np.array, scores)
    cut = best_threshold(clean, adversarial)
    assert math.isfinite(cut)
    errors = (clean > cut).mean() + (adversarial <= cut).mean()
    assert errors <= 1.0


def test_figures_cover_clean_and_attacked_images():
    measured = figures(np.array([0.0, 0.2, 0.9]), np.array([0.4, 0.8]), 0.5)
    assert measured["accuracy"] == pytest.approx(3 / 5)
    assert measured["clean"].mean == pytest.approx(1.1 / 3)
    assert measured["adversarial"].variance == pytest.approx(0.04)
    assert measured["auroc"] == pytest.approx(4 / 6)


def test_attacked_digits_are_distinguished_from_clean_ones(with_dropout):
    detectors = [create("detectors", name) for name in ALL]
    evaluated = evaluate(
        {"net": with_dropout},
        create("scenarios", "digits"),
        [create("attacks", "fgsm", eps=0.3)],
        detectors=detectors,
        limit=200,
        baselines=(),
    )
    lines = evaluated.results.evaluations[0].detectors
    assert [line.name for line in lines] == ALL
    # These look at the image itself, which 64 pixels say little of; they have tests of their own.
    useful = [line for line in lines if line.name not in ("feature_squeezing", "magnet_detector")]
    assert min(line.auroc for line in useful) > 0.7
    assert min(line.accuracy for line in useful) > 0.5
    assert max(line.accuracy for line in lines) > 0.7
    for k, line in enumerate(lines):
        column = evaluated.outcomes.column
        clean, attacked = (column(f"e0_d{k}_{kind}") for kind in ("clean", "adversarial"))
        assert clean.shape == attacked.shape == (200,)
        assert line.clean.mean == pytest.approx(clean.mean(), rel=1e-4)
        assert math.isfinite(line.threshold)


def test_an_attack_that_hardly_fools_is_judged_over_its_fooling_images_and_named_in_the_report(
    with_dropout,
):
    evaluated = evaluate(
        {"net": with_dropout},
        create("scenarios", "digits"),
        [create("attacks", "fgsm", eps=0.3), create("attacks", "fgsm", eps=0.03)],
        detectors=[create("detectors", "variance_threshold"), create("detectors", "mahalanobis")],
        limit=150,
        baselines=(),
    )
    (evaluation,), outcomes = evaluated.results.evaluations, evaluated.outcomes
    for k, line in enumerate(evaluation.detectors):
        right = outcomes.column("e0_clean") == outcomes.column("label")
        fooled = outcomes.row(0, k // 2, "success") & right
        clean, attacked = (outcomes.column(f"e0_d{k}_{kind}") for kind in ("clean", "adversarial"))
        expected = separation(clean, attacked[fooled])
        assert (line.fooled.images, line.attacked) == (fooled.sum(), 150)
        assert (line.fooled.auroc, line.fooled.tpr_at_5_fpr) == pytest.approx(expected)
        assert line.fitted_on.only_fooling == (line.fitted_on.fooling >= 30)
    strong, weak = evaluation.detectors[1::2]
    assert strong.fitted_on.only_fooling
    assert 0 < weak.fooled.images < 30 < strong.fooled.images
    assert weak.fooled.auroc > weak.auroc + 0.1
    table = detector_table(evaluated.results)
    cells = dict(zip(table.columns, table.sections[0][3], strict=True))
    assert cells["of fooling"] == f"{weak.fooled.auroc:.3f} ({weak.fooled.images} of 150)"
    page = render(evaluated.results, outcomes)
    assert "fooling among them" in page
    older = Results.model_validate(
        evaluated.results.model_dump(
            exclude={"evaluations": {"__all__": {"detectors": {"__all__": NEW_FIELDS}}}}
        )
    )
    assert detector_table(older).sections[0][3][-1] == "–"
    assert "fooling among them" not in render(older, outcomes)


NEW_FIELDS = {"attacked", "fooled", "fitted_on"}  # older results do not hold it


SERVED = """
import sys
import numpy as np
import tensorflow as tf

loaded = tf.saved_model.load(sys.argv[1])
images = tf.constant(np.load(sys.argv[2]))
np.save(sys.argv[3], loaded.signatures["serving_default"](images=images)["adversarial_score"])
"""


def nodes_of(graph):
    """Return the operations of a graph, or of a function in its library."""
    return graph.node_def if hasattr(graph, "node_def") else graph.node


@pytest.mark.parametrize("name", thinned(ALL, one_in=2))
def test_a_fitted_detector_is_served_with_the_model_and_calls_no_python(
    name, with_dropout, digits, tmp_path
):
    images, _ = digits["test"]
    guarded = guard(
        with_dropout,
        create("detectors", name),
        create("attacks", "fgsm", eps=0.3),
        create("scenarios", "digits"),
        images=100,
    )
    fitted_on = guarded.defenses[-1].params["fitted_on"]
    assert fitted_on["attack"]["name"] == "fgsm"
    # Of 100 images the detector learned from those that fool.
    assert fitted_on["adversarial"] == fitted_on["fooling"] >= 30
    folder = store.export(guarded, tmp_path / "1")
    served = store.load(folder)
    score = served.outputs(images[:20])["adversarial_score"].numpy()
    assert score.shape == (20,)
    plain = tf.saved_model.load(folder).signatures["serving_default"]
    alone = plain(images=tf.constant(images[:20]))["adversarial_score"]
    if name in ("kernel_density", "mahalanobis"):  # nothing is random in these
        expected = guarded.outputs(tf.constant(images[:20]))["adversarial_score"]
        np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-4)
    graph = plain.graph.as_graph_def()
    nodes = [node.op for part in (graph, *graph.library.function) for node in nodes_of(part)]
    assert len(nodes) > 20
    assert not [op for op in nodes if "Py" in op]


@pytest.mark.slow
def test_a_served_score_needs_nothing_but_tensorflow(with_dropout, digits, tmp_path):
    images, _ = digits["test"]
    guarded = guard(
        with_dropout,
        create("detectors", "kernel_density"),
        create("attacks", "fgsm", eps=0.3),
        create("scenarios", "digits"),
        images=100,
    )
    folder = store.export(guarded, tmp_path / "1")
    np.save(tmp_path / "images.npy", images[:20])
    done = python(SERVED, folder, tmp_path / "images.npy", tmp_path / "scores.npy")
    assert done.returncode == 0, done.stderr[-1500:]
    expected = guarded.outputs(tf.constant(images[:20]))["adversarial_score"]
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, rtol=1e-4, atol=1e-4)


def test_a_loaded_model_shows_its_hidden_layer(with_dropout, digits, tmp_path):
    images, _ = digits["test"]
    served = store.load(store.export(with_dropout, tmp_path / "1"))
    np.testing.assert_allclose(
        served.features(images[:5]), with_dropout.features(images[:5]), atol=1e-5
    )
