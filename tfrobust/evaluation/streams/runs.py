"""A run that shows the streams of a fused classifier: what the command `streams` does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.members import member_of
from tfrobust.errors import UsageError
from tfrobust.evaluation.settings import Progress
from tfrobust.evaluation.streams.features import Projected, Streamed, projected, some_attacked
from tfrobust.files.atomic import atomic_write
from tfrobust.files.output_folders import output_folder
from tfrobust.registry import name_of
from tfrobust.report.charts.projections import projections_figure
from tfrobust.scenario import Scenario


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """Whose streams are shown, and under which attack.

    Attributes:
        name: of the classifier, for the figure and for messages.
        classifier: decides by several streams; see `Streamed`.
        scenario: where the images come from.
        attack: is run on them.
        crafted_on: the stream that the attack sees; `None`: the whole classifier.
        images: maximum number, from the first five classes; 3 or more.
        seed: decides everything random.
    """

    name: str
    classifier: Classifier
    scenario: Scenario
    attack: Attack
    crafted_on: str | None = None
    images: int = 150
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class StreamResults:
    """What a classifier's streams weigh, and what an attack does to them.

    Attributes:
        weights: stream → the mean absolute weight of its features in the decision.
        streams: stream → its features in two dimensions, clean and attacked.
        figure: the picture of them.
    """

    weights: dict[str, float]
    streams: dict[str, Projected]
    figure: Path


def run_streams(
    settings: StreamSettings,
    out: Path | str,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> StreamResults:
    """Attack some test images, and write each stream's features, clean and attacked, as a picture.

    Args:
        settings: whose streams, and under which attack.
        out: the folder that `streams.svg` is written into.
        force: write also where the folder holds other things.
        progress: receives how many images are attacked.

    Raises:
        UsageError: the classifier shows no streams, or none that is called `crafted_on`; the
            attack fits no such classifier, or needs boxes that are not there.
        StoreError: the folder holds other things, or the disk refuses.
        ClassifierError: the classifier was made for other images or classes.
        DataError: the images break the contract, or are too few.

    Example:
        >>> settings = StreamSettings(name="fused", classifier=stored_network("fused"),
        ...                           scenario=create("scenarios", "digits_in_places"),
        ...                           attack=create("attacks", "box_blur"))
        >>> run_streams(settings, "runs/streams").streams["background"].moved
    """
    classifier, attack, seed = settings.classifier, settings.attack, settings.seed
    if not isinstance(classifier, Streamed):
        raise UsageError(
            f"{settings.name}: expected a classifier that decides by several streams, such as a "
            "fusion that was trained here"
        )
    victim: Classifier = classifier
    origin = ""
    if settings.crafted_on:
        victim = member_of(classifier, settings.crafted_on, settings.name)
        origin = f", crafted on {settings.crafted_on}"
    figure = Path(out) / "streams.svg"
    with output_folder(Path(out), force=force):
        clean, attacked, labels = some_attacked(
            attack, victim, settings.scenario, settings.images,
            seed=seed, called=settings.name, progress=progress,
        )  # fmt: skip
        streams = projected(classifier, clean, attacked)
        points = {name: (stream.clean, stream.attacked) for name, stream in streams.items()}
        title = f"Streams of {settings.name}, clean and under {name_of(attack)}{origin}"
        names = settings.scenario.class_names
        drawn = projections_figure(points, labels, names, title, heading=title)
        atomic_write(figure, lambda path: path.write_text(drawn, encoding="utf-8"))
    return StreamResults(classifier.mean_weights(), streams, figure)
