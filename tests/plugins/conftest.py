"""What all tests of plugins share."""

import pytest
import tensorflow as tf


@pytest.fixture(scope="session", autouse=True)
def _graphs_as_they_are_traced():
    """Leave Grappler out: it optimises graphs for many runs, and a test runs most of them once."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
