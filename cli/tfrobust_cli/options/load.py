"""The options of every command that loads classifiers, declared once.

`@loads_classifiers` gives them to a command, which receives one argument `loading`: `LoadOptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrobust.classifiers.loading import UNIT, LoadOptions
from tfrobust.errors import UsageError
from tfrobust_cli.options.groups import option_group

if TYPE_CHECKING:
    from tfrobust.classifier import Classifier

ToLogits = Annotated[
    bool,
    typer.Option(
        "--to-logits", "--strip-softmax", help="Convert a final softmax or sigmoid to logits."
    ),
]
PixelRange = Annotated[str, typer.Option(help="Pixel range that the model expects, such as 0,255.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Load a SavedModel that may access files or processes.")
]
CustomObjects = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE", help="Module with the file's own Keras classes. Its code runs."),
]
_DECLARED: dict[str, tuple[Any, Any]] = {
    "to_logits": (ToLogits, False),
    "pixel_range": (PixelRange, "0,1"),
    "trust": (Trust, False),
    "custom_objects": (CustomObjects, None),
}


def load_options(
    *, to_logits: bool, pixel_range: str, trust: bool, custom_objects: list[str] | None
) -> LoadOptions:
    """Return the settings of these options, checked.

    Raises:
        UsageError: a pixel range that is not two numbers.
    """
    try:
        least, most = map(float, pixel_range.split(","))
    except ValueError as error:
        raise UsageError(
            f"--pixel-range: expected two numbers, such as 0,255 or -1,1; received: {pixel_range!r}"
        ) from error
    return LoadOptions(
        to_logits=to_logits,
        pixel_range=(least, most),
        trust=trust,
        custom_objects=tuple(custom_objects or ()),
    )


loads_classifiers = option_group("loading", _DECLARED, load_options)


def check_unused(loading: LoadOptions, command: str) -> None:
    """Refuse the options for a command that builds its network and loads none.

    Raises:
        UsageError: names those that were given.
    """
    given = {
        "--to-logits": loading.to_logits,
        "--pixel-range": loading.pixel_range != UNIT,
        "--trust": loading.trust,
        "--custom-objects": bool(loading.custom_objects),
    }
    if any(given.values()):
        options = ", ".join(name for name, is_given in given.items() if is_given)
        raise UsageError(f"{options}: says how a file is loaded, but {command}; leave it out")


def notices(loaded: Mapping[str, Classifier]) -> list[str]:
    """Return a line for everything that was converted when classifiers were loaded."""
    return [f"{name}: {line}" for name, classifier in loaded.items() for line in classifier.notices]
