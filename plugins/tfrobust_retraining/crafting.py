"""The adversarial images of a retraining: crafted, and kept until it is finished."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predict
from tfrobust.data.spooled import blocks_of, bytes_of, check_room, gathered
from tfrobust.engine.learned_files import Origin, name_in
from tfrobust.engine.learning import LearningAttack, learned, remembering
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.options import has_option
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Labels
from tfrobust_retraining.crafted_files import CraftedFiles, CraftedPart, read_part, write_part
from tfrobust_retraining.options import RetrainingOptions

_PART = 10_000  # images that are kept at once, at most: no more are lost by an interruption
_MUCH = 10**9  # bytes on disk that are told of beforehand
_SEEN = 1_000  # adversarial images that tell whether an attack breaks anything
_ROUNDING = 1e-6  # by which a pixel may lie outside [0, 1]


class CraftedImages(NamedTuple):
    """What an attack made of a part of the training images.

    Attributes:
        images: float32 `(n, height, width, channels)`.
        rows: int64 `(n,)`: the place in the part of the image that each was made of.
    """

    images: Images
    rows: np.ndarray


class Crafting:
    """One run of an attack over a training split, which goes on where it was interrupted.

    Args:
        options: which attack, and how many images.
        network: that is attacked.
        images: of the training split; they may be memory-mapped.
        labels: theirs.
        known_classes: of the scenario: the network may have classes of nothing beside, to which no
            targeted attack is sent.
        trainer: gives the seed, and receives the progress of the attack.
        folder: what is crafted and learned is kept there.
    """

    def __init__(
        self,
        options: RetrainingOptions,
        network: Classifier,
        images: Images,
        labels: Labels,
        *,
        known_classes: int,
        trainer: Trainer,
        folder: Path,
    ) -> None:
        self._options, self._network, self._trainer = options, network, trainer
        self._images, self._labels, self._known_classes = images, labels, known_classes
        self._attack, self._seed, self._folder = options.attack, trainer.options.seed, folder

    def crafted(self) -> CraftedFiles:
        """Return the adversarial images among as many as are asked for: see `sound`, `changed`.

        Raises:
            UsageError: the attack changes no prediction.
            StoreError: the disk has not enough room, or refuses.
        """
        wanted, there = self._options.adversarial_images or len(self._images), len(self._images)
        self._check_room(wanted)
        if wanted > there:
            self._trainer.log(
                f"retraining: {wanted} adversarial images of {there} training images: each is "
                f"attacked {wanted / there:.3g} times, with another seed each time; an attack that "
                "draws nothing at random makes the same again"
            )
        order = np.random.default_rng(self._seed).permutation(there)
        attacks: dict[int, Attack] = {}  # by seed: what learns does so once for all its parts
        parts: list[CraftedPart] = []
        for turn in range(0, wanted, there):
            seed = self._seed + turn // there
            count = min(there, wanted - turn)
            for block in blocks_of(count, self._images.shape[1:], most=_PART):
                if seed not in attacks:
                    attacks[seed] = self._ready(seed)
                parts.append(self._part(attacks[seed], order[block], seed, first=not parts))
        return CraftedFiles(parts, self._images.shape[1:])

    def _check_room(self, wanted: int) -> None:
        """Tell how much disk the images take, where it is much, and refuse if there is not enough.

        What an interrupted retraining has kept takes none any more.
        """
        size = bytes_of(self._images.shape[1:], wanted)
        kept = sum(file.stat().st_size for file in self._folder.glob("*.npy"))
        if size >= _MUCH:
            self._trainer.log(
                f"retraining: keeps up to {size / 1e9:.1f} GB of adversarial images in "
                f"{self._folder} until it is done"
            )
        check_room(
            size - kept,
            self._folder,
            remedy="collect fewer: -p retraining.adversarial_images=…",
        )

    def _part(self, attack: Attack, rows: np.ndarray, seed: int, *, first: bool) -> CraftedPart:
        """Return what the attack makes of some training images, from the folder if it is there.

        What breaks nothing is refused before it is kept: there is nothing to resume then.
        """
        clean, labels = gathered(self._images, rows), self._labels[rows]
        file = self._file(clean, labels, seed)
        if part := read_part(file, rows, clean.shape[1:]):
            return part
        images = self._attacked(attack, clean, labels, seed)
        if first:
            self._check_broken(clean, images)
        sane = sound(CraftedImages(images, np.arange(len(rows))))
        crafted = changed(sane, clean)
        part = CraftedPart(
            file,
            rows[crafted.rows],
            broken=len(rows) - len(sane.rows),
            unchanged=len(sane.rows) - len(crafted.rows),
        )
        write_part(part, crafted.images)
        return part

    def _file(self, clean: Images, labels: Labels, seed: int) -> Path:
        """Return where a part is kept: no two attacks, networks or images have one name."""
        origin = Origin.of(self._attack, self._network, clean, seed)
        called = f"crafted-{self._options.targets}"
        name = name_in(self._folder, origin, self._network, clean, labels, called=called)
        return name.with_suffix(".npy")

    def _ready(self, seed: int) -> Attack:
        """Return the attack; one that learns has done so, and what it learned is kept as well."""
        attack, report = self._attack, self._trainer.report
        if not isinstance(attack, LearningAttack):
            return attack
        # It learns from the images that an evaluation shows it.
        count = min(attack.training_images, len(self._images))
        what = f"learning {self._options.attack_name}"
        with remembering(self._folder):
            return learned(
                attack,
                self._network,
                self._images[:count],
                self._labels[:count],
                seed=seed,
                on_progress=(lambda done: report(what, done, count)) if report else None,
            )

    def _attacked(self, attack: Attack, clean: Images, labels: Labels, seed: int) -> Images:
        report, what = self._trainer.report, f"crafting {self._options.attack_name}"
        return run_attack(
            attack,
            self._network,
            clean,
            labels,
            targets=self._options.targets,
            known_classes=self._known_classes,
            seed=seed,
            on_progress=(lambda done: report(what, done, len(clean))) if report else None,
        ).images

    def _check_broken(self, clean: Images, adversarial: Images) -> None:
        """Refuse an attack that changes no prediction."""
        before, after = (
            predict(self._network, images[:_SEEN]).argmax(axis=1) for images in (clean, adversarial)
        )
        if (before == after).all():
            raise UsageError(
                f"retraining: attack: {self._options.attack_name} changes the class of none of "
                f"{len(before)} images, so there is nothing to learn from it; {self._advice()}"
            )

    def _advice(self) -> str:
        if has_option(self._attack, "eps"):
            return "give it a larger budget: -p retraining.options='{\"eps\": …}'"
        return "give it other options, or take another attack: -p retraining.attack=pgd"


def sound(crafted: CraftedImages) -> CraftedImages:
    """Return those that are images: every pixel a number in [0, 1], once rounding is cut off."""
    axes = tuple(range(1, crafted.images.ndim))
    with np.errstate(invalid="ignore"):
        inside = (crafted.images >= -_ROUNDING) & (crafted.images <= 1 + _ROUNDING)  # NaN is not
    kept = inside.all(axis=axes)
    images = crafted.images if kept.all() else crafted.images[kept]  # they may fill half the memory
    return CraftedImages(np.clip(images, 0.0, 1.0, out=images), crafted.rows[kept])


def changed(crafted: CraftedImages, clean: Images) -> CraftedImages:
    """Return those that the attack did not leave as they were: the others teach nothing.

    Args:
        crafted: by the attack.
        clean: the attacked images, float32 `(n, height, width, channels)`.
    """
    axes = tuple(range(1, clean.ndim))
    kept = (crafted.images != clean[crafted.rows]).any(axis=axes)
    return crafted if kept.all() else CraftedImages(crafted.images[kept], crafted.rows[kept])
