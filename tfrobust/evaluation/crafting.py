"""One attack on one classifier, and the adversarial images in the run folder: `attack`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.learning import Learned, LearningAttack
from tfrobust.errors import UsageError
from tfrobust.evaluation.blocks.block import Block
from tfrobust.evaluation.blocks.gathering import Gathered
from tfrobust.evaluation.blocks.rows import BlockRows
from tfrobust.evaluation.evaluator import assemble, gather
from tfrobust.evaluation.learned_attacks import learned_from
from tfrobust.evaluation.run_frame import Run, RunOptions, before
from tfrobust.evaluation.settings import EvaluationSettings, checked
from tfrobust.evaluation.spending import spending_notes
from tfrobust.evaluation.warnings.notices import suspicions
from tfrobust.files.output_folders import PARTIAL
from tfrobust.registry import name_of
from tfrobust.report.page import write_run
from tfrobust.results.adversarial import ADVERSARIAL, AdversarialFolder
from tfrobust.results.records import Results
from tfrobust.types import ImageShape

Serve = Callable[[Learned, Path], object]  # receives what an attack learned, and a folder


def craft(
    settings: EvaluationSettings,
    out: Path | str,
    *,
    serve: Serve | None = None,
    **options: Unpack[RunOptions],
) -> Results:
    """Run one attack on one classifier, and write the adversarial images into the run folder too.

    The folder `adversarial` holds `images.npy` (adversarial), `labels.npy` and `clean.npy`; the
    scenario `arrays` reads it. What the attack learned lies beside it, as `ATTACK.npz`.

    Args:
        settings: of one classifier and one attack.
        out: as for `run`.
        serve: exports what the attack learned, if it learns: called before anything is written,
            with the hidden folder where an interrupted run keeps what it has finished.
        **options: as for `run`.

    Returns:
        The content of `results.json`; see `run`.

    Raises:
        UsageError: there are several classifiers or attacks, or nothing is learned to `serve`.
        StoreError, ClassifierError, DataError: as `run`.

    Example:
        >>> craft(settings, "runs/pgd").evaluations[0].attacks[0].success_rate
        >>> create("scenarios", "arrays", path="runs/pgd/adversarial")
    """
    frame, out = Run(**options), Path(out)
    settings = dataclasses.replace(settings, keep_images=True)
    classifier, attack = _only(settings, serve)
    with frame.claimed(out, settings.seed) as partial:
        frame.tell(before(settings))
        crafting = _Crafting(partial.folder / ADVERSARIAL, settings.scenario.image_shape)
        gathered = gather(
            (checked(settings),),
            partial,
            progress=frame.progress,
            executor=frame.executor,
            on_block=crafting,
        )
        evaluated = assemble(settings, gathered, gathered.judgements(0), partial)
        ready = None
        if isinstance(attack, LearningAttack):
            ready = learned_from(attack, classifier, settings.scenario, seed=settings.seed)
            if serve:
                serve(ready, out / PARTIAL)
        crafted = crafting.finished(gathered, str(evaluated.results.run))

        def images(folder: Path) -> None:
            crafted.rename(folder / ADVERSARIAL)
            if ready and ready.wrapped.file is None:
                ready.save(folder / f"{name_of(attack)}.npz")

        write_run(out, evaluated, images)
        frame.tell(suspicions(evaluated.results, settings.classifiers))
        frame.tell(spending_notes(evaluated.results))
    return evaluated.results


class _Crafting:
    """Writes the images of each block; the folder is created with the first one.

    Args:
        folder: to create.
        image_shape: `(height, width, channels)`.
    """

    def __init__(self, folder: Path, image_shape: ImageShape) -> None:
        self._place, self._shape = folder, image_shape
        self._folder: AdversarialFolder | None = None

    def __call__(self, images: int, block: Block, rows: BlockRows) -> None:
        """Write the images of a block, of so many images in all."""
        if self._folder is None:
            self._folder = AdversarialFolder(self._place, images, self._shape)
        crafted = rows.passes[0][0].attacked[0]
        self._folder.write(block.start, crafted.images, rows.images)

    def finished(self, gathered: Gathered, run: str) -> Path:
        """Return the folder, once it holds all images that could be computed."""
        if self._folder is None:
            raise UsageError("craft: no image was crafted")
        self._folder.finish(gathered.labels, gathered.ranges, run)
        return self._folder.folder


def _only(settings: EvaluationSettings, serve: Serve | None) -> tuple[Classifier, Attack]:
    """Return the one classifier and the one attack.

    Raises:
        UsageError: there are several, or the attack learns nothing to `serve`.
    """
    if len(settings.classifiers) != 1 or len(settings.attacks) != 1:
        raise UsageError(
            "craft: expected one classifier and one attack; received: "
            f"{', '.join(settings.classifiers)} and {len(settings.attacks)} attacks"
        )
    (classifier,), (attack,) = settings.classifiers.values(), settings.attacks
    if serve and not isinstance(attack, LearningAttack):
        raise UsageError(f"serve: {name_of(attack)} learns nothing that could be exported")
    return classifier, attack
