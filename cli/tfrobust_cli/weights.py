"""`--weights FILE`: what a model starts from."""

from __future__ import annotations

from typing import Annotated

import typer

from tfrobust.errors import UsageError
from tfrobust.registry import find

Weights = Annotated[
    str | None,
    typer.Option(
        help="Start from a .pth or .safetensors file in torchvision's names, or from imagenet: "
        "the model's option weights. With --epochs 0 they are stored as they are; with --only "
        "they are what a defence is trained for.",
        metavar="FILE",
    ),
]


def with_weights(param: list[str] | None, model: str, weights: str | None) -> list[str]:
    """Return the `-p` options, with the model's option `weights` where `--weights` is given.

    Raises:
        UsageError: the model has no such option, or is given two.
    """
    pairs = list(param or ())
    if weights is None:
        return pairs
    from tfrobust.options import describe

    known = {option.name for option in describe(find("models", model).load())}
    if "weights" not in known:
        raise UsageError(
            f"--weights: {model} cannot start from a file; resnet18, resnet50, vgg16 and others "
            "can (`tfrobust plugins show models/resnet18`)"
        )
    for pair in pairs:
        if pair.partition("=")[0] in {"weights", f"{model}.weights"}:
            raise UsageError(f"--weights: given twice, as {weights!r} and as -p {pair}")
    return [*pairs, f"{model}.weights={weights}"]
