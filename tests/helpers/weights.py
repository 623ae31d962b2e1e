"""A network's weights, and whether two networks have the same ones."""

import numpy as np


def weights(classifier):
    return [np.array(weight) for weight in classifier.model.get_weights()]


def same(first, second):
    """Return whether two lists of weights agree bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
