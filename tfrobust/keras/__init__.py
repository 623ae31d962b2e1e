"""For people who have a Keras model in their hands: attack it, evaluate it, watch it train.

Three lines from a notebook to a robust accuracy, with models of Keras 3 and of `tf_keras`, arrays
and `tf.data` datasets, softmax heads and pixels in any range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.keras.attacking import attack, evaluate
    from tfrobust.keras.watching import RobustAccuracy

__all__ = ["RobustAccuracy", "attack", "evaluate"]
__getattr__, __dir__ = lazy(
    __name__, {"attacking": ("attack", "evaluate"), "watching": ("RobustAccuracy",)}
)
