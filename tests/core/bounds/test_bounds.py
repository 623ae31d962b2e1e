"""Bounds hold, and are as tight as they can be where that is known."""

import keras
import numpy as np
import pytest
import tf_keras

from helpers.bounded_networks import (
    dense_network,
    images_near,
    of_every_layer,
    some_images,
    with_drawn_weights,
)
from tfrobust.bounds import Around, IntervalBounds, LinearBounds, pulling

KINDS = {"keras": keras, "tf_keras": tf_keras}
LABELS = np.array([0, 1, 2, 3, 0])
EPS = {"linf": 0.03, "l2": 0.1, "l1": 0.2}
ROUNDING = 1e-4


def leads(logits, labels):
    logits = np.asarray(logits)
    return logits - logits[np.arange(len(labels)), labels][:, None]


def check_that_bounds_hold(model, shown, labels, norm, eps, *, times, steps):
    intervals, lines = IntervalBounds(model), LinearBounds(model)
    around = Around(shown, eps, norm)
    by_intervals = np.asarray(intervals.worst(around, labels))
    by_lines = np.asarray(lines.worst(around, labels))
    by_best_lines = np.asarray(LinearBounds(model, steps=steps).worst(around, labels))
    assert (by_lines <= by_intervals + ROUNDING).all()
    assert (by_best_lines <= by_lines + ROUNDING).all()
    assert by_lines.mean() < by_intervals.mean()
    boxes = [bounds.logits(around) for bounds in (intervals, lines)]
    for near in images_near(shown, eps, norm, times):
        logits = np.asarray(model(near))
        assert (leads(logits, labels) <= by_best_lines + ROUNDING).all()
        for lower, upper in boxes:
            assert (logits >= np.asarray(lower) - ROUNDING).all()
            assert (logits <= np.asarray(upper) + ROUNDING).all()


@pytest.mark.parametrize(
    "norm",
    [
        "l2",
        pytest.param("linf", marks=pytest.mark.slow),
        pytest.param("l1", marks=pytest.mark.slow),
    ],
)
def test_bounds_hold_for_all_images_that_are_drawn_nearby_and_lines_are_the_tighter_ones(norm):
    model, shown = dense_network(6, 6, 4), some_images(5, (3, 3, 1))
    check_that_bounds_hold(model, shown, LABELS, norm, EPS[norm], times=12, steps=5)


@pytest.mark.slow
@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize("kind", KINDS)
def test_bounds_hold_for_every_layer_of_either_keras(kind, norm):
    model = of_every_layer(KINDS[kind])
    check_that_bounds_hold(model, some_images(), LABELS, norm, EPS[norm], times=20, steps=3)


@pytest.mark.parametrize("kind", ["tf_keras", pytest.param("keras", marks=pytest.mark.slow)])
def test_without_a_change_the_bounds_of_every_layer_are_the_answers(kind):
    model, shown = of_every_layer(KINDS[kind]), some_images()
    logits = np.asarray(model(shown))
    lower, upper = IntervalBounds(model).logits(Around(shown, 0.0))
    room = 2e-3  # for rounding: the margins of 14 layers, none of which knows how others round
    assert np.allclose(lower, logits, atol=room)
    assert np.allclose(upper, logits, atol=room)
    assert (lower <= logits).numpy().all()
    assert (upper >= logits).numpy().all()
    worst = LinearBounds(model).worst(Around(shown, 0.0), LABELS)
    assert np.allclose(worst, leads(logits, LABELS), atol=room)


@pytest.mark.parametrize("bounds", [IntervalBounds, LinearBounds])
@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2), ("l1", np.inf)])
def test_the_bounds_of_a_linear_network_are_its_worst_answers_exactly(bounds, norm, dual):
    model, eps = dense_network(4), np.array([0.01, 0.02, 0.05, 0.1, 0.2], np.float32)
    shown = 0.4 + 0.2 * some_images(5, (3, 3, 1))  # far from the walls
    kernel = np.asarray(model.weights[0])
    worst = bounds(model).worst(Around(shown, eps, norm), LABELS)
    lengths = np.linalg.norm(kernel[:, None] - kernel[:, LABELS, None], dual, axis=0)
    expected = leads(model(shown), LABELS) + eps[:, None] * lengths
    assert np.allclose(worst, expected, atol=3e-5)


def exact_leads(model, shown, labels):
    """The leads over the labels of a dense network behind a Rescaling(255), in float64."""
    weights = [np.asarray(weight, np.float64) for weight in model.weights]
    values = 255.0 * shown.reshape(len(shown), -1).astype(np.float64)
    for number, (kernel, bias) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        values = np.maximum(values, 0) if number else values
        values = values @ kernel + bias
    return leads(values, labels)


@pytest.mark.parametrize("bounds", [IntervalBounds, LinearBounds])
def test_large_numbers_are_bounded_with_a_margin_for_their_rounding(bounds):
    layers = [keras.Input((8, 8, 1)), keras.layers.Rescaling(255.0), keras.layers.Flatten()]
    layers += [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(4)]
    model = with_drawn_weights(keras.Sequential(layers), 4)
    shown, labels = some_images(200), np.arange(200) % 4
    others = np.arange(4) != labels[:, None]
    worst = np.asarray(bounds(model).worst(Around(shown, 0.0), labels), np.float64)
    for answered in (exact_leads(model, shown, labels), leads(model(shown), labels)):
        assert (worst >= answered)[others].all()
        assert (worst - answered < 1e-3 * np.abs(answered).max()).all()


def test_the_box_of_all_images_makes_the_bounds_tighter():
    model, dark = dense_network(4), np.zeros((5, 3, 3, 1), np.float32)
    kernel, bias = (np.asarray(weight) for weight in model.weights)
    apart = kernel[:, None] - kernel[:, LABELS, None]
    expected = 0.1 * np.maximum(apart, 0).sum(axis=0) + bias - bias[LABELS][:, None]
    assert np.allclose(LinearBounds(model).worst(Around(dark, 0.1), LABELS), expected, atol=1e-5)


def plain_crown(weights, image, label, eps):
    """Every class's lead over the label in L∞, of one image, by loops in float64.

    CROWN as the paper has it, and interval bounds of the last layers where those are tighter.
    """
    low, high = np.clip(image - eps, 0, 1), np.clip(image + eps, 0, 1)
    bounds = []  # of what each activation reads

    def least(function, layer):
        slopes, total = function, 0.0
        for kernel, bias in reversed(weights[: layer + 1]):
            total += slopes @ bias
            slopes = kernel @ slopes
            if layer == 0:
                break
            layer -= 1
            before = slopes.copy()
            for unit, (lower, upper) in enumerate(bounds[layer]):
                if upper <= 0:
                    slopes[unit] = 0.0
                elif lower < 0 and before[unit] < 0:
                    slopes[unit] = before[unit] * upper / (upper - lower)
                    total -= before[unit] * upper * lower / (upper - lower)
                elif lower < 0:
                    slopes[unit] = before[unit] * (upper > -lower)
        return total + np.maximum(slopes, 0) @ low + np.minimum(slopes, 0) @ high

    box = low, high
    for layer, (kernel, bias) in enumerate(weights[:-1]):
        centre, radius = (box[0] + box[1]) / 2, (box[1] - box[0]) / 2
        middle, reach = centre @ kernel + bias, radius @ np.abs(kernel)
        bounds.append(
            [
                (max(least(unit, layer), m - r), min(-least(-unit, layer), m + r))
                for unit, m, r in zip(np.eye(len(bias)), middle, reach, strict=True)
            ]
        )
        box = np.maximum(np.transpose(bounds[-1]), 0)
    kernel, bias = weights[-1]
    own = np.eye(len(bias))
    centre, radius = (box[0] + box[1]) / 2, (box[1] - box[0]) / 2

    def lead(k):
        slopes = kernel[:, label] - kernel[:, k]
        by_interval = centre @ slopes - radius @ np.abs(slopes) + bias[label] - bias[k]
        return -max(least(own[label] - own[k], len(weights) - 1), by_interval)

    return [lead(k) for k in range(len(own))]


def test_linear_bounds_are_those_of_a_plain_crown():
    model, shown = dense_network(7, 6, 5, 4), some_images(5, (3, 3, 1))
    kernels = [np.asarray(weight, np.float64) for weight in model.weights]
    layers = list(zip(kernels[::2], kernels[1::2], strict=True))
    eps = 0.15  # where some activations are undecided
    for row, worst in enumerate(LinearBounds(model).worst(Around(shown, eps), LABELS)):
        expected = plain_crown(layers, shown[row].ravel().astype(np.float64), LABELS[row], eps)
        assert np.allclose(worst, expected, atol=1e-4)


def test_bounds_do_not_depend_on_how_many_functions_go_back_at_a_time(monkeypatch):
    model, around = dense_network(7, 6, 4), Around(some_images(5, (3, 3, 1)), 0.1, "l2")
    whole = LinearBounds(model).worst(around, LABELS)
    monkeypatch.setattr(pulling, "_NUMBERS", 2 * 5 * 9 * 4)  # four functions, and three at last
    assert np.allclose(LinearBounds(model).worst(around, LABELS), whole, atol=1e-5)


def test_better_slopes_verify_what_those_of_crown_do_not():
    model, shown = dense_network(12, 12, 12, 3, seed=2), some_images(8, (3, 3, 1))
    labels = np.asarray(model(shown)).argmax(axis=1)
    around = Around(shown, 0.2)
    plain, best = (
        np.asarray(LinearBounds(model, steps=steps).worst(around, labels)) for steps in (0, 6)
    )
    assert (best <= plain + 1e-6).all()
    assert (best < plain - 1e-3).mean() > 0.3
