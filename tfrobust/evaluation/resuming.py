"""The files of an unfinished evaluation, from which it can continue.

They are kept in a hidden folder of the run folder, each named by a hash of its inputs, until the
run is complete (`tfrobust.results.run_files.discard_partial`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.environment.versions import onednn, threads
from tfrobust.evaluation.blocks.block import Block
from tfrobust.evaluation.blocks.prepared import Prepared, without_budget
from tfrobust.evaluation.blocks.rows import AttackRows, Expected, checked_classes
from tfrobust.evaluation.corruptions.settings import CorruptionSettings
from tfrobust.evaluation.curves.warm_starts import curves
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.files.finished_work import FinishedWork
from tfrobust.files.output_folders import PARTIAL
from tfrobust.registry import signature
from tfrobust.types import Labels


def recipe(
    settings: EvaluationSettings | CorruptionSettings,
    block: Block,
    identities: Sequence[bytes],
    **what: object,
) -> bytes:
    """Return what decides the rows of a unit of work: all of it, so that no two are mixed.

    A part of a run is resumed, so whatever differs between two commands and is missing here would
    give a figure of both. The recipe holds:

    - the content of the block: SHA-256 of its images, labels and boxes. Its position too, as random
      targets and what a stochastic classifier draws depend on it;
    - the identity of the judged and of the attacked classifier: logits, or path, defences and
      weights of a stochastic one (`tfrobust.classifiers.identity`);
    - the attack and the detectors, or the shift, with their options;
    - of an attack that learns: the arrays that it learned, from whatever file or images;
    - of detectors: the SHA-256 of the training images that they are fitted on;
    - the seed; the batch size and the number of threads, which decide last bits and what a
      stochastic classifier draws.

    Args:
        settings: of the evaluation.
        block: the images.
        identities: of the classifiers; see `Prepared.identity`.
        what: everything else, as JSON can hold it.
    """
    known = {
        **what,
        "start": block.start,
        "seed": settings.seed,
        "batch_size": settings.batch_size,
        "threads": threads(),
        "onednn": onednn(),
    }
    digests = [hashlib.sha256(identity).digest() for identity in identities]
    text = json.dumps(known, sort_keys=True)
    return b"".join([text.encode(), block.digest.encode(), *digests])


class Partial(FinishedWork):
    """Finished work of an evaluation, and what is gathered from it.

    Args:
        out: the run folder.

    Attributes:
        out: the run folder.
        columns: the folder of what is gathered from all blocks, which no later run reads.
    """

    def __init__(self, out: Path) -> None:
        super().__init__(out / PARTIAL)
        self.out = out
        self.columns = self.folder / "columns"

    def discard_columns(self) -> None:
        """Remove what was gathered; the hidden folder too, if nothing else is in it."""
        shutil.rmtree(self.columns, ignore_errors=True)
        with contextlib.suppress(OSError):  # where something else is in it
            self.folder.rmdir()

    def load_predictions(self, recipe: bytes, count: int, classes: int) -> Labels | None:
        """Return predictions that `save_predictions` kept; `None`: none, or damaged ones.

        Args:
            recipe: of the predictions.
            count: of them.
            classes: of the classifier.
        """
        try:
            return checked_classes((self.load(recipe) or {})["prediction"], count, classes)
        except (KeyError, ValueError):
            return None

    def save_predictions(self, recipe: bytes, predicted: Labels) -> None:
        """Keep predictions; see `save`."""
        self.save(recipe, {"prediction": predicted})


@dataclasses.dataclass(frozen=True)
class BlockFiles:
    """What is finished of one block.

    Attributes:
        partial: of the run.
        block: which.
        prepared: knows the classifiers' identities, and what was learned.
    """

    partial: Partial
    block: Block
    prepared: Prepared

    def load_clean(self, settings: EvaluationSettings, classifier: Classifier) -> Labels | None:
        """Return what a classifier predicts for the clean images, int32 `(n,)`, or `None`."""
        recipe = self._recipe(settings, {}, classifier)
        return self.partial.load_predictions(recipe, len(self.block), classifier.num_classes)

    def save_clean(
        self, settings: EvaluationSettings, classifier: Classifier, clean: Labels
    ) -> None:
        """Keep what a classifier predicts for the clean images; see `Partial.save`."""
        self.partial.save_predictions(self._recipe(settings, {}, classifier), clean)

    def load(
        self,
        settings: EvaluationSettings,
        judged: Classifier,
        attack: Attack,
        *,
        watched: bool = False,
    ) -> AttackRows | None:
        """Return what an attack did before the interruption, or `None`.

        Args:
            settings: of the evaluation.
            judged: the classifier under attack.
            attack: with its options.
            watched: whether detectors look at the classifier.
        """
        arrays = self.partial.load(self._attack_recipe(settings, judged, attack, watched))
        if arrays is None:
            return None
        expected = Expected(
            images=len(self.block),
            examples=len(self.block.examples),
            image_shape=settings.scenario.image_shape,
            classes=judged.num_classes,
            detectors=len(settings.detectors) if watched else 0,
            keeps_images=settings.keep_images,
        )
        try:
            return AttackRows.from_arrays(arrays, expected)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None  # damaged: it is computed again

    def save(
        self,
        settings: EvaluationSettings,
        judged: Classifier,
        attack: Attack,
        rows: AttackRows,
        *,
        watched: bool = False,
    ) -> None:
        """Keep what a finished attack did; see `load`.

        Raises:
            StoreError: the disk refuses.
        """
        recipe = self._attack_recipe(settings, judged, attack, watched)
        self.partial.save(recipe, rows.as_arrays())

    def _attack_recipe(
        self, settings: EvaluationSettings, judged: Classifier, attack: Attack, watched: bool
    ) -> bytes:
        detectors = [signature(detector) for detector in settings.detectors] if watched else []
        attacked = settings.attacked_by(judged)
        meter = attacked.meter
        what = {
            "attack": signature(attack),
            "learned": self.prepared.learned_content(without_budget(attack), attacked),
            "targets": str(settings.targets),
            "known_classes": settings.scenario.num_classes,
            "images": settings.keep_images,
            "examples": self.block.examples,
            "detectors": detectors,
            "fitted_on": self.prepared.training_content if detectors else None,
            "follows_surrogate": settings.follows_surrogate,
            "continues": self._smaller_budgets(settings, attack),
            "queries_per_image": None if meter is None else meter.count.per_image,
        }
        return self._recipe(settings, what, attacked, judged)

    def _smaller_budgets(self, settings: EvaluationSettings, attack: Attack) -> list[float]:
        """Return the budgets that a warm-started attack went through before."""
        warm = curves(settings.attacks) if settings.warm_start else []
        budgets = [one.eps for curve in warm if attack in curve for one in curve]
        return [eps for eps in budgets if eps is not None and eps < (attack.eps or 0.0)]

    def _recipe(
        self, settings: EvaluationSettings, what: dict[str, Any], *classifiers: Classifier
    ) -> bytes:
        identities = [self.prepared.identity(classifier) for classifier in classifiers]
        return recipe(settings, self.block, identities, **what)
