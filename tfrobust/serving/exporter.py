"""One export: a classifier is loaded, defended, and written in the form that is asked for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from tfrobust.classifier import Classifier
from tfrobust.data.image_blocks import ImageBlocks, WatchedBlocks
from tfrobust.data.names import open_scenario
from tfrobust.data.reading import arrays, check_fits
from tfrobust.errors import RobustError, UsageError
from tfrobust.evaluation.settings import Progress
from tfrobust.pipeline.build import defended, untrained
from tfrobust.pipeline.plans import trained_on
from tfrobust.pipeline.reload import network_of
from tfrobust.preparation import plain_preparation
from tfrobust.scenario import Scenario
from tfrobust.serving.finishing import finish
from tfrobust.serving.guard import guard
from tfrobust.serving.litert_export import FILE, Measured, export_lite
from tfrobust.serving.model_card import evaluation_in, model_card
from tfrobust.serving.onnx_export import CHECKED, check_onnx, export_onnx
from tfrobust.serving.seeded import SEEDED, Seeded
from tfrobust.serving.servable import (
    Servable,
    export_servable,
    separated,
    servable_card,
    whole,
)
from tfrobust.serving.settings import ExportSettings
from tfrobust.serving.signatures import more_signatures
from tfrobust.serving.warmup import check_protos
from tfrobust.store import models
from tfrobust.store.cards import Card, renewed_card
from tfrobust.store.new_versions import claimed_version
from tfrobust.training.options import TrainingOptions
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Labels

Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes:
        path: the version folder of a SavedModel; a LiteRT file.
        measured: size and accuracy of a LiteRT file and of what it is compared with.
    """

    path: Path
    measured: Sequence[Measured] = ()


def export(
    settings: ExportSettings,
    folder: Path | str,
    *,
    log: Log = lambda _: None,
    progress: Progress | None = None,
) -> Exported:
    """Write a classifier, or a defence alone, as the next version in a folder.

    Args:
        settings: what is exported, and how. Python's and TensorFlow's global seeds are set to its
            seed.
        folder: where `FOLDER/VERSION` is made, in TensorFlow Serving's layout.
        log: is called with a line that a user should know.
        progress: receives how many images are attacked, for a detector to learn from, and how many
            a LiteRT file is measured on.

    Raises:
        UsageError: there is no such classifier; a defence would train; nothing can be separated.
        ClassifierError: it does not fit the scenario; LiteRT lacks an operation.
        StoreError: the version exists already, or the disk refuses.

    Example:
        >>> export(ExportSettings(classifier="d1"), Path("served/digits")).path
        PosixPath('served/digits/1')
    """
    import keras

    if settings.warmup:
        check_protos()
    if settings.format == "onnx":
        check_onnx()
    keras.utils.set_random_seed(settings.seed)  # defences and detectors may make generators
    classifier = _protected(_loaded(settings, log), settings, progress)
    if settings.draws == "content":
        classifier = Seeded(classifier)
    with claimed_version(Path(folder), settings.version) as place:
        if settings.format == "tflite":
            return _lite(_servable(classifier, settings.only), place, settings, log, progress)
        if settings.format == "onnx":
            return Exported(_onnx(classifier, place, settings, log))
        if settings.only:
            return Exported(export_servable(_servable(classifier, settings.only), place))
        return Exported(_saved_model(classifier, place, settings, log))


def _saved_model(classifier: Classifier, place: Path, settings: ExportSettings, log: Log) -> Path:
    """Write a SavedModel with the signatures that are asked for."""
    card = _card(classifier, settings, log)
    labels = card.class_names if settings.classify else ()
    beside = {SEEDED: classifier.signature()} if isinstance(classifier, Seeded) else {}
    made = more_signatures(settings.inputs, card.preparation, card.image_shape, labels)
    name = place.parent.resolve().name
    finishing = functools.partial(
        finish,
        name=name,
        image_shape=card.image_shape,
        classify=settings.classify,
        warmup=settings.warmup,
        readme=_readme(card, name, settings),
    )
    return models.export(
        classifier, place, card=card, more=lambda serve: made(serve) | beside, finish=finishing
    )


def _readme(card: Card, name: str, settings: ExportSettings) -> str:
    """Return the model card for people, with what a run has measured where one is given."""
    if settings.evaluated is None:
        return model_card(card, name)
    known_as = Path(settings.classifier).name
    return model_card(card, name, evaluation_in(settings.evaluated, known_as, card))


def _card(classifier: Classifier, settings: ExportSettings, log: Log) -> Card:
    """Return the card of what is exported; an earlier one did not tell the preparation."""
    names = settings.scenario.class_names if settings.scenario else ()
    card = renewed_card(classifier, scenario=settings.scenario_name, class_names=names)
    if card.preparation is not None:
        return card
    scenario = settings.scenario or trained_on(settings.classifier)
    if scenario is None and settings.inputs:
        log("nothing tells how the training read its pictures: they are scaled, and no more")
    known = plain_preparation(classifier.image_shape) if scenario is None else scenario.preparation
    return card.model_copy(update={"preparation": known})


def _loaded(settings: ExportSettings, log: Log) -> Classifier:
    """Return the classifier; as the network that was trained where a defence is taken off it."""
    scenario, loading = settings.scenario, settings.loading
    if scenario is not None:
        loading = loading.for_images(scenario.image_shape)
    if settings.only or settings.draws == "content":  # a SavedModel has its own draws inside
        classifier = network_of(settings.classifier, loading)
    else:
        classifier = models.load(settings.classifier, options=loading)
    for notice in classifier.notices:
        log(f"{settings.classifier}: {notice}")
    if scenario is not None:
        check_fits(classifier, scenario, settings.classifier)
    return classifier


def _protected(
    classifier: Classifier, settings: ExportSettings, progress: Progress | None
) -> Classifier:
    """Return a classifier with the defences around it, and the detector beside it."""
    defenses, detector, attack = settings.defenses, settings.detector, settings.attack
    if not defenses and detector is None:
        return classifier
    seed = settings.seed
    scenario = settings.scenario or trained_on(settings.classifier) or open_scenario("digits")
    trainer = Trainer(TrainingOptions(seed=seed))
    classifier = defended(classifier, untrained(defenses), scenario, trainer)
    if detector is None or attack is None:
        return classifier
    return guard(
        classifier, detector, attack, scenario,
        images=settings.images, seed=seed, progress=progress,
    )  # fmt: skip


def _servable(classifier: Classifier, only: str | None) -> Servable:
    return separated(classifier, only) if only else whole(classifier)


def _lite(
    part: Servable, place: Path, settings: ExportSettings, log: Log, progress: Progress | None
) -> Exported:
    """Write a LiteRT file and measure it, where there is a scenario to measure it on.

    Where none is given, it is the scenario of the classifier's training; if its images cannot be
    read, only sizes are measured.
    """
    samples, tested = None, None
    try:
        scenario = settings.scenario or trained_on(settings.classifier)
        if scenario is not None:
            samples, tested = _images(part, scenario, settings, progress)
    except RobustError as error:
        if settings.scenario:
            raise
        log(f"accuracy is not measured: {error}")
    measured = export_lite(part, place, quantize=settings.quantize, samples=samples, tested=tested)
    return Exported(place / FILE, measured)


def _onnx(classifier: Classifier, place: Path, settings: ExportSettings, log: Log) -> Path:
    """Write an ONNX file, compared on test images, or on noise where there is no scenario."""
    if classifier.stochastic and not settings.only:
        raise UsageError(
            "format onnx: ONNX has no generator that goes on from call to call; let the classifier "
            "draw by the image: --draws content"
        )
    card = _card(classifier, settings, log)
    outputs = classifier.outputs
    if settings.only:
        part = _servable(classifier, settings.only)
        card = servable_card(part)
        outputs = part.outputs
    images = np.random.default_rng(settings.seed).uniform(size=(CHECKED, *card.image_shape))
    try:
        scenario = settings.scenario or trained_on(settings.classifier)
        if scenario is not None:
            images = arrays(scenario, "test", CHECKED)[0]
    except RobustError as error:
        if settings.scenario:
            raise
        log(f"compared on noise, not on the training's scenario: {error}")
    return export_onnx(outputs, place, card, images.astype(np.float32))


def _images(
    part: Servable, scenario: Scenario, settings: ExportSettings, progress: Progress | None
) -> tuple[Images | None, Iterable[tuple[Images, Labels]]]:
    """Return training images for a quantization, if there is one, and the test split.

    All of it is read once, so that a damaged image is known before anything is measured.
    """
    check_fits(part.classifier, scenario, "the classifier")
    samples = arrays(scenario, "train", settings.images)[0] if settings.quantize else None
    tested = ImageBlocks(scenario, "test")
    total = sum(len(labels) for _, labels in tested)
    if progress is None:
        return samples, tested
    return samples, WatchedBlocks(tested, lambda done: progress("measured images", done, total))
