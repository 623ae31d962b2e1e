"""The adversarial images of a retraining: crafted, and kept until it is finished."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predict
from tfrobust.engine.learned_files import Origin, name_in
from tfrobust.engine.learning import LearningAttack, learned, remembering
from tfrobust.engine.run import run_attack
from tfrobust.errors import StoreError, UsageError
from tfrobust.files.arrays import read_arrays, write_arrays
from tfrobust.options import has_option
from tfrobust.pipeline.workspace import kept_work
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Labels
from tfrobust_retraining.options import RetrainingOptions

_PART = 10_000  # images that are kept at once: no more are lost by an interruption
_SEEN = 1_000  # adversarial images that tell whether an attack breaks anything
_ROUNDING = 1e-6  # by which a pixel may lie outside [0, 1]


class Made(NamedTuple):
    """What an attack made of training images.

    Attributes:
        images: float32 `(n, height, width, channels)`.
        rows: int64 `(n,)`: the training image that each was made of.
    """

    images: Images
    rows: np.ndarray


class Crafting:
    """One run of an attack over a training split, which goes on where it was interrupted.

    Args:
        options: which attack, and how many images.
        network: that is attacked.
        images: of the training split.
        labels: theirs.
        known_classes: of the scenario: the network may have classes of nothing beside, to which no
            targeted attack is sent.
        trainer: gives the seed and the workspace, and receives the progress of the attack.
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
    ) -> None:
        self._options, self._network, self._trainer = options, network, trainer
        self._images, self._labels, self._known_classes = images, labels, known_classes
        self._attack, self._seed = options.attack, trainer.options.seed
        self._kept = kept_work(trainer.workspace) if trainer.workspace else None

    def made(self) -> Made:
        """Return as many adversarial images as are asked for.

        Raises:
            UsageError: the attack changes no prediction.
        """
        wanted, there = self._options.adversarial_images or len(self._images), len(self._images)
        if wanted > there:
            self._trainer.log(
                f"retraining: {wanted} adversarial images of {there} training images: each is "
                f"attacked {wanted / there:.3g} times, with another seed each time; an attack that "
                "draws nothing at random makes the same again"
            )
        order = np.random.default_rng(self._seed).permutation(there)
        parts = [
            (order[start : min(start + _PART, there, wanted - turn)], self._seed + turn // there)
            for turn in range(0, wanted, there)
            for start in range(0, min(there, wanted - turn), _PART)
        ]
        attacks: dict[int, Attack] = {}  # by seed: what learns does so once for all its parts
        images = np.empty((wanted, *self._images.shape[1:]), np.float32)
        place = 0
        for rows, seed in parts:
            if seed not in attacks:
                attacks[seed] = self._ready(seed)
            part = self._part(attacks[seed], rows, seed, first=place == 0)
            images[place : place + len(rows)] = part
            place += len(rows)
        return Made(images, np.concatenate([rows for rows, _ in parts]))

    def _part(self, attack: Attack, rows: np.ndarray, seed: int, *, first: bool) -> Images:
        """Return what the attack makes of some training images, from the workspace if it is there.

        What breaks nothing is refused before it is kept: there is nothing to resume then.
        """
        file = self._file(rows, seed)
        if file is not None and file.exists():
            images = read_arrays(file).get("images")
            if images is None or images.shape != self._images[rows].shape:
                raise StoreError(f"{file}: is damaged; delete it, and it is made again")
            return images
        images = self._attacked(attack, rows, seed)
        if first:
            self._check_broken(self._images[rows], images)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(file, {"images": images})
        return images

    def _file(self, rows: np.ndarray, seed: int) -> Path | None:
        """Return where a part is kept: no two attacks, networks or images have one name."""
        if self._kept is None:
            return None
        attacked = self._network, self._images[rows], self._labels[rows]
        origin = Origin.of(self._attack, attacked[0], attacked[1], seed)
        return name_in(self._kept, origin, *attacked, called=f"crafted-{self._options.targets}")

    def _ready(self, seed: int) -> Attack:
        """Return the attack; one that learns has done so, and what it learned is kept as well."""
        attack, report = self._attack, self._trainer.report
        if not isinstance(attack, LearningAttack):
            return attack
        # It learns from the images that an evaluation shows it.
        count = min(attack.training_images, len(self._images))
        what = f"learning {self._options.attack_name}"
        with remembering(self._kept) if self._kept else nullcontext():
            return learned(
                attack,
                self._network,
                self._images[:count],
                self._labels[:count],
                seed=seed,
                on_progress=(lambda done: report(what, done, count)) if report else None,
            )

    def _attacked(self, attack: Attack, rows: np.ndarray, seed: int) -> Images:
        report, what = self._trainer.report, f"crafting {self._options.attack_name}"
        return run_attack(
            attack,
            self._network,
            self._images[rows],
            self._labels[rows],
            targets=self._options.targets,
            known_classes=self._known_classes,
            seed=seed,
            on_progress=(lambda done: report(what, done, len(rows))) if report else None,
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


def sound(crafted: Made) -> Made:
    """Return those that are images: every pixel a number in [0, 1], once rounding is cut off."""
    axes = tuple(range(1, crafted.images.ndim))
    with np.errstate(invalid="ignore"):
        inside = (crafted.images >= -_ROUNDING) & (crafted.images <= 1 + _ROUNDING)  # NaN is not
    kept = inside.all(axis=axes)
    images = crafted.images if kept.all() else crafted.images[kept]  # they may fill half the memory
    return Made(np.clip(images, 0.0, 1.0, out=images), crafted.rows[kept])


def changed(crafted: Made, clean: Images) -> Made:
    """Return those that the attack did not leave as they were: the others teach nothing.

    Args:
        crafted: by the attack.
        clean: all training images, float32 `(n, height, width, channels)`.
    """
    axes = tuple(range(1, clean.ndim))
    parts = (slice(at, at + _PART) for at in range(0, len(crafted.rows), _PART))
    moved = [(crafted.images[part] != clean[crafted.rows[part]]).any(axis=axes) for part in parts]
    kept = np.concatenate(moved) if moved else np.zeros(0, bool)
    return crafted if kept.all() else Made(crafted.images[kept], crafted.rows[kept])
