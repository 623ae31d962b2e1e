"""One batch through an attack: what a third-party attack raises or returns is checked here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifiers.python_calls import raised_in_python
from tfrobust.engine.counted import Counted
from tfrobust.engine.gradients import without_gradients
from tfrobust.engine.victim import has_gradients
from tfrobust.errors import (
    BudgetSpentError,
    EndpointError,
    PluginError,
    StoreError,
    UsageError,
    one_line,
)
from tfrobust.registry import name_of
from tfrobust.types import Images

_OF_OTHERS = UsageError, EndpointError, BudgetSpentError, StoreError  # not the attack's fault


def craft_batch(
    attack: Attack, counted: Counted, call: Callable[..., Any], inputs: Sequence[Any]
) -> Images:
    """Call an attack; name it in what it raises, and check what it returns.

    Args:
        attack: the attack.
        counted: the classifier it is called with.
        call: from `tfrobust.engine.compiled.compiled`.
        inputs: images, labels and seeds, and the free pixels of an attack on a region.

    Raises:
        UsageError: the attack needs gradients, and the classifier has none.
        PluginError: it raises, or returns images of another shape or type.
    """
    name, images = name_of(attack), inputs[0].numpy()
    try:
        with raised_in_python():
            crafted = np.asarray(call(*inputs))
    except (KeyboardInterrupt, MemoryError, *_OF_OTHERS):
        raise
    except tf.errors.OperatorNotAllowedInGraphError as error:
        raise PluginError(
            f"attack {name} failed: Python's if, for or bool() ran over a tensor; use tf.where, "
            "tf.cond and tfrobust.engine.loop.iterate, or set `autograph = True` on its class; an "
            'option with `trace="input"` is a tensor'
        ) from error
    except Exception as error:  # a third-party attack may raise anything
        if attack.needs_gradients and not has_gradients(counted.inner, inputs[0][:1]):
            raise without_gradients(name) from error
        raise PluginError(f"attack {name} failed: {_cause(error)}") from error
    if crafted.shape != images.shape or crafted.dtype != images.dtype:
        raise PluginError(
            f"attack {name} broke its contract: expected images {images.dtype} {images.shape}; "
            f"received: {crafted.dtype} {crafted.shape}"
        )
    return crafted


def _cause(error: Exception) -> str:
    """Return an error's kind and first line; for a traced function the line below its code."""
    kind = type(error).__name__
    for line in str(error).splitlines():
        if line.strip().startswith((f"{kind}: ", "assertion failed: ")):
            return one_line(line)
    return f"{kind}: {one_line(error)}"
