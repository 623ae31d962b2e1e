"""The shapes that travel between the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

Images = Annotated[Any, "float32 (batch, height, width, channels), in [0, 1]"]
Image = Annotated[Any, "float32 (height, width, channels), in [0, 1]"]
Labels = Annotated[Any, "int64 (batch,)"]
Logits = Annotated[Any, "float32 (batch, classes), never probabilities"]
Boxes = Annotated[Any, "float32 (boxes, 4): ymin, xmin, ymax, xmax in [0, 1]"]
Flags = Annotated[Any, "bool (batch,)"]
PerImage = Annotated[Any, "float32 (batch,)"]
Seeds = Annotated[Any, "int32 (batch, 2): one stateless seed an image"]

Seed = Annotated[Any, "an integer, or stateless seeds, int32 (2,) or (batch, 2)"]
KerasModel = Annotated[Any, "a model of Keras 3 or of tf_keras"]
KerasLayer = Annotated[Any, "a layer of Keras 3 or of tf_keras"]

ImageShape = tuple[int, int, int]
Knowledge = Literal["white-box", "score", "decision", "none"]
Norm = Literal["linf", "l2", "l1", "l0"]
Budgets = Sequence[float] | Mapping[Norm, Sequence[float]]  # of one norm, or by norm
TargetRule = Literal["least_likely", "next", "random"]  # picks the classes of targeted attacks
RegionName = Literal["all", "foreground", "background"]  # of an image: inside its boxes, or outside

TRACES = "_traces"  # the attribute that keeps what was traced for an object
