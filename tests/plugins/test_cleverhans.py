"""CleverHans runs in our engine: the same images, and no unrolled loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from cleverhans.tf2.attacks.basic_iterative_method import basic_iterative_method
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.tf2.attacks.momentum_iterative_method import momentum_iterative_method
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

from helpers.support import small_model
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.testing import grey_images

ORDER = {"linf": np.inf, "l2": 2, "l1": 1}
BUDGET = {"linf": 0.1, "l2": 0.8, "l1": 2.0}
SHAPE = (6, 5, 2)
generations = pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras3", "tf_keras"])
aims = pytest.mark.parametrize("targeted", [False, True], ids=["untargeted", "targeted"])


def case(kind, targeted):
    """Return the plain model, its classifier, images, labels and the classes to reach or leave."""
    model = small_model(SHAPE, 4, kind=kind)
    classifier = KerasClassifier(model)
    images, labels = grey_images(classifier, 9, spread=0.5)
    goal = (labels + 1) % 4 if targeted else labels
    return model, classifier, images, labels, goal


def ours(name, classifier, images, labels, goal, **options):
    attack = create("attacks", name, **options)
    targets = {"targets": goal} if options.get("targeted") else {}
    return run_attack(attack, classifier, images, labels, batch_size=4, **targets).images


def theirs(attack, model, images, goal, norm, targeted, **options):
    return attack(
        model,
        tf.constant(images),
        norm=ORDER[norm],
        clip_min=0.0,
        clip_max=1.0,
        y=tf.constant(goal),
        targeted=targeted,
        **options,
    ).numpy()


@generations
@aims
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_fgsm_equals_that_of_cleverhans(kind, norm, targeted):
    model, *run, goal = case(kind, targeted)
    eps = BUDGET[norm]
    expected = theirs(fast_gradient_method, model, run[1], goal, norm, targeted, eps=eps)
    crafted = ours("cleverhans_fgsm", *run, goal, eps=eps, norm=norm, targeted=targeted)
    assert np.abs(crafted - expected).max() <= 1e-6


@generations
@aims
@pytest.mark.parametrize("norm", ["linf", pytest.param("l2", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "attack", "more"),
    [
        ("cleverhans_bim", basic_iterative_method, {}),
        ("cleverhans_pgd", projected_gradient_descent, {"rand_init": False}),
        ("cleverhans_mim", momentum_iterative_method, {"decay_factor": 0.9}),
    ],
    ids=["bim", "pgd", "mim"],
)
def test_iterated_attacks_equal_those_of_cleverhans(kind, norm, targeted, name, attack, more):
    model, *run, goal = case(kind, targeted)
    steps = {"eps": BUDGET[norm], "eps_iter": BUDGET[norm] / 4, "nb_iter": 6} | more
    checks = {} if name == "cleverhans_mim" else {"sanity_checks": False}
    expected = theirs(attack, model, run[1], goal, norm, targeted, **steps, **checks)
    crafted = ours(name, *run, goal, norm=norm, targeted=targeted, **steps)
    assert np.abs(crafted - expected).max() <= 1e-6


def graph(name, classifier, **options):
    """Return the concrete function of an attack's trace."""
    attack = create("attacks", name, **options)
    seeds = tf.zeros((2, 2), tf.int32)

    @tf.function
    def traced(images, labels):
        return attack(classifier, images, labels, seed=seeds)

    spec = (tf.TensorSpec((2, *SHAPE), tf.float32), tf.TensorSpec((2,), tf.int64))
    return traced.get_concrete_function(*spec).graph


def nodes(graph):
    """Return all operations, including those of loop bodies and other functions."""
    definition = graph.as_graph_def(add_shapes=False)
    inner = [node for function in definition.library.function for node in function.node_def]
    return [*definition.node, *inner]


@pytest.mark.parametrize(
    "name", ["cleverhans_bim", "cleverhans_mim", "cleverhans_pgd", "cleverhans_madry"]
)
def test_iterations_are_one_loop_and_never_unrolled(name):
    _, classifier, *_ = case(keras, targeted=False)
    start = {"rand_init": False} if name == "cleverhans_pgd" else {}
    few, many = (
        nodes(graph(name, classifier, nb_iter=n, eps=0.3, eps_iter=0.01, **start)) for n in (2, 90)
    )
    assert len(few) == len(many)
    loops = [node.op for node in many if node.op in ("While", "StatelessWhile")]
    drawing = 2 if name == "cleverhans_madry" else 1  # one more call draws the starts
    assert len(loops) == drawing


@pytest.mark.parametrize(
    ("name", "option"),
    [("cleverhans_cw_l2", "max_iterations"), ("pgd", "steps"), ("cleverhans_spsa", "nb_iter")],
)
def test_longer_attacks_have_no_larger_graph(name, option):
    _, classifier, *_ = case(keras, targeted=False)
    few, many = (nodes(graph(name, classifier, **{option: n})) for n in (2, 50))
    assert len(few) == len(many)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("name", "radius"), [("cleverhans_pgd", None), ("cleverhans_madry", 0.05)])
def test_random_starts_are_drawn_in_the_ball_from_each_images_seed(name, radius, norm):
    _, classifier, images, labels, _ = case(keras, targeted=False)
    own = {} if radius is None else {"rand_minmax": radius}
    attack = create("attacks", name, norm=norm, eps=0.2, eps_iter=0.0, nb_iter=1, **own)
    first, again, other = (
        run_attack(attack, classifier, images, labels, seed=seed, batch_size=size).images
        for seed, size in ((0, 9), (0, 2), (1, 9))
    )
    assert np.abs(first - again).max() <= 1e-6
    assert np.abs(first - other).max() > 0.01
    moved = np.linalg.norm((first - images).reshape(9, -1), ORDER[norm], axis=1)
    assert (moved > 0).all()
    assert (moved <= (radius or 0.2) + 1e-6).all()


def test_the_random_vectors_of_cleverhans_are_restored_after_a_run(linear):
    from cleverhans.tf2.attacks import projected_gradient_descent as module

    before = module.random_lp_vector
    run_attack(create("attacks", "cleverhans_pgd", nb_iter=2), *linear)
    assert module.random_lp_vector is before


def test_a_step_longer_than_the_budget_is_refused():
    with pytest.raises(UsageError, match=r"cleverhans_bim.*eps_iter: expected at most eps \(0.1\)"):
        create("attacks", "cleverhans_bim", eps_iter=0.2)


def test_spsa_lowers_the_margin_of_most_images(trained, test_images):
    images, labels = (part[:20] for part in test_images)
    attack = create(
        "attacks", "cleverhans_spsa", eps=0.3, nb_iter=15, spsa_samples=32, learning_rate=0.1
    )
    crafted = run_attack(attack, trained, images, labels)
    right = clean_predictions(trained, images) == labels
    still_right = clean_predictions(trained, crafted.images) == labels
    assert right.sum() >= 15
    assert still_right.sum() <= right.sum() / 2


def test_carlini_wagners_confidence_is_the_margin_of_the_logits(trained, test_images):
    images, labels = (part[:12] for part in test_images)
    attack = create(
        "attacks", "cleverhans_cw_l2", confidence=2.0, max_iterations=100, learning_rate=0.05
    )
    crafted = run_attack(attack, trained, images, labels).images
    logits = trained(crafted).numpy()
    rows = np.arange(len(labels))
    own = logits[rows, labels].copy()
    logits[rows, labels] = -np.inf
    changed = (crafted != images).any((1, 2, 3))
    assert changed.mean() > 0.8
    assert (logits.max(1) - own >= 2.0 - 1e-3)[changed].all()
