"""The options of a surrogate that `tfrobust train --distil` makes, declared once.

`@distils` gives them to a command, which receives one argument `distilled`: `Distilled`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.errors import UsageError
from tfrobust_cli.options.declared import MOST
from tfrobust_cli.options.groups import option_group
from tfrobust_cli.options.remote import Remote

if TYPE_CHECKING:
    from tfrobust.classifier import Classifier
    from tfrobust.pipeline.distillation import Distillation

_PANEL = "Distillation"
Teacher = Annotated[
    str | None,
    typer.Option(
        "--distil",
        help="Classifier or address whose answers are learned.",
        metavar="CLASSIFIER",
        rich_help_panel=_PANEL,
    ),
]
FirstImages = Annotated[
    int,
    typer.Option(
        help="Images of the training split to begin with.",
        min=1,
        max=MOST,
        rich_help_panel=_PANEL,
    ),
]
Rounds = Annotated[
    int,
    typer.Option(
        help="Rounds that double the images, within the budget.",
        min=0,
        max=20,
        rich_help_panel=_PANEL,
    ),
]
Step = Annotated[
    float, typer.Option(help="Length of a round's step in a pixel.", rich_help_panel=_PANEL)
]
HeldOut = Annotated[
    int,
    typer.Option(
        help="Further images that agreement is measured on.",
        min=1,
        max=MOST,
        rich_help_panel=_PANEL,
    ),
]
_DECLARED: dict[str, tuple[Any, Any]] = {
    "distil": (Teacher, None),
    "distil_images": (FirstImages, 100),
    "distil_rounds": (Rounds, 4),
    "distil_step": (Step, 0.1),
    "distil_held_out": (HeldOut, 100),
}
_DEFAULTS = {name.removeprefix("distil_"): default for name, (_, default) in _DECLARED.items()}


@dataclasses.dataclass(frozen=True)
class Distilled:
    """What a surrogate is to imitate.

    Attributes:
        teacher: as typed; `None`: the training makes no surrogate.
        options: the fields of `DistilOptions`, as typed.
    """

    teacher: str | None
    options: dict[str, Any]

    def distillation(self, loading: LoadOptions, remote: Remote) -> Distillation | None:
        """Return what `TrainingPlan` takes.

        Args:
            loading: how the classifier is loaded.
            remote: how an endpoint is asked.

        Raises:
            UsageError: an option is out of range.
        """
        if self.teacher is None:
            return None
        from tfrobust.options import build
        from tfrobust.pipeline.distillation import Distillation, DistilOptions
        from tfrobust.store.models import load

        teacher = self.teacher

        def opened(kept: Path | None) -> Classifier:
            options = remote.applied(loading, kept)
            return load(teacher, options=options)

        return Distillation(
            teacher=opened,
            name=teacher,
            options=build(DistilOptions, "distil", self.options),
            max_queries=remote.options.max_queries,
        )


def check_distilled(distilled: Distilled, remote: Remote, **others: object) -> None:
    """Refuse what does not go with a surrogate, or has no use without one.

    Args:
        distilled: as typed.
        remote: as typed.
        **others: options that a surrogate is not trained with.

    Raises:
        UsageError: names them.
    """
    if distilled.teacher is None:
        if distilled.options != {name: _DEFAULTS[name] for name in distilled.options}:
            raise UsageError(
                "--distil-images, --distil-rounds, --distil-step and --distil-held-out say how a "
                "surrogate is made; give --distil CLASSIFIER, or leave them out"
            )
        if remote.options != RemoteOptions():
            raise UsageError(
                "train asks an endpoint for --distil alone; give its address there, or leave the "
                "options of endpoints out"
            )
        return
    given = [f"--{option.replace('_', '-')}" for option, value in others.items() if value]
    if given:
        raise UsageError(
            f"--distil: trains a surrogate from the beginning; leave out {', '.join(given)}"
        )


def _distilled(*, distil: str | None, **options: Any) -> Distilled:
    return Distilled(distil, {name.removeprefix("distil_"): options[name] for name in options})


distils = option_group("distilled", _DECLARED, _distilled)
