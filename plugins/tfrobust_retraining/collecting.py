"""How adversarial images are labelled before a retraining."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predicted_classes
from tfrobust.data.spooled import spooled
from tfrobust.errors import UsageError
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import Flags, Labels
from tfrobust_retraining.clustering import clustered
from tfrobust_retraining.collected import Collected
from tfrobust_retraining.crafted_files import CraftedFiles
from tfrobust_retraining.crafting import Crafting
from tfrobust_retraining.neighbours import Neighbours, joined
from tfrobust_retraining.options import RetrainingOptions

Figures = dict[str, float | None]


class Collecting:
    """One collection.

    Args:
        options: how images are crafted and labelled.
        network: the network to attack.
        scenario: its training split is attacked.
        trainer: gives the seed, and receives the progress of the attack.
        folder: images are kept there, until the network is retrained on them.
    """

    def __init__(
        self,
        options: RetrainingOptions,
        network: Classifier,
        scenario: Scenario,
        trainer: Trainer,
        folder: Path,
    ) -> None:
        self._options, self._network, self._trainer = options, network, trainer
        self._folder = folder
        self._known_classes = scenario.num_classes
        self._shows_something = not options.attack.ignores_input  # or no label is right
        self.images, self.true = spooled(scenario, "train", folder=folder)

    def collected(self) -> Collected:
        """Return adversarial images with labels.

        Raises:
            UsageError: the attack breaks nothing, or makes no images; neighbours or dimensions
                beyond the images.
        """
        options = self._options
        by_neighbours = options.labels == "knn"
        neighbours = self._neighbours() if by_neighbours else None  # refuses, so it is first
        crafted, figures = self._crafted()
        true = self.true[crafted.rows]
        predicted = np.concatenate(
            [predicted_classes(self._network, images) for images in crafted.blocks()]
        )
        figures["accuracy_on_them"] = float((predicted == true).mean())
        if neighbours is None:
            labels = true if options.labels == "true" else predicted
            figures["label_accuracy"] = float((labels == true).mean())
            collected = self._collected(crafted.dataset(), labels, (), figures)
        else:
            labels, outliers, more = self._labelled(neighbours, crafted, true)
            collected = self._with_new_classes(crafted, labels, outliers, figures | more)
        self._trainer.log(_summary(collected))
        return collected

    def _neighbours(self) -> Neighbours:
        return Neighbours(
            self.images,
            self.true,
            k=self._options.k,
            dimensions=self._options.dimensions,
            seed=self._trainer.options.seed,
            folder=self._folder,
        )

    def _crafted(self) -> tuple[CraftedFiles, Figures]:
        """Return the adversarial images with valid pixels, and the counts of those and others."""
        attacked = self._network, self.images, self.true
        trainer, name = self._trainer, self._options.attack_name
        crafted = Crafting(
            self._options,
            *attacked,
            known_classes=self._known_classes,
            trainer=trainer,
            folder=self._folder,
        ).crafted()
        broken = sum(part.broken for part in crafted.parts)
        unchanged = sum(part.unchanged for part in crafted.parts)
        attempts = len(crafted) + broken + unchanged
        for count, what in [
            (broken, "have pixels that are no numbers in [0, 1]"),
            (unchanged, "are the clean ones: it found nothing"),
        ]:
            if count:
                trainer.log(
                    f"retraining: {count} of {attempts} images that {name} made {what}; "
                    "they are left out"
                )
        if not len(crafted):
            raise UsageError(
                f"retraining: attack: {name} makes no adversarial images; give it other "
                "options, or take another attack: -p retraining.attack=pgd"
            )
        counts = {"broken_images": broken, "unchanged_images": unchanged}
        return crafted, {"adversarial_images": len(crafted), **counts}

    def _labelled(
        self, neighbours: Neighbours, crafted: CraftedFiles, true: Labels
    ) -> tuple[Labels, Flags, Figures]:
        """Return labels by neighbours, which images are like nothing known, and their figures."""
        options = self._options
        nearest = joined([neighbours.nearest(images) for images in crafted.blocks()])
        among_all = neighbours.voted(nearest)
        among_others = neighbours.voted(nearest, without=crafted.rows)
        labels, distances = among_others if options.originals == "unknown" else among_all
        outliers = distances > neighbours.reach(options.quantile)
        near = ~outliers & self._shows_something
        figures: Figures = {"label_accuracy": None, "label_accuracy_without_originals": None}
        if near.any():
            figures["label_accuracy"] = float((labels == true)[near].mean())
            others = (among_others.labels == true)[near]
            figures["label_accuracy_without_originals"] = float(others.mean())
        return labels, outliers, figures | {"fooling_images": int(outliers.sum())}

    def _with_new_classes(
        self, crafted: CraftedFiles, labels: Labels, outliers: Flags, figures: Figures
    ) -> Collected:
        """Return the images; fooling ones get new classes or are left out."""
        options, count = self._options, int(outliers.sum())
        if not count:
            return self._collected(crafted.dataset(), labels, (), figures)
        if options.fooling == "drop":
            self._log_dropped(count, len(crafted))
            kept = ~outliers
            return self._collected(crafted.dataset(kept), labels[kept], (), figures)
        groups, names = np.zeros(count, np.int64), options.new_classes
        if options.fooling == "clusters":
            names = names[: min(options.clusters, count)]
            groups = clustered(crafted, outliers, len(names), seed=self._trainer.options.seed)
        known = self._network.class_names
        more = tuple(name for name in names if name not in known)  # of an earlier retraining
        places = np.array([(*known, *more).index(name) for name in names])
        labels = labels.copy()
        labels[outliers] = places[groups]
        return self._collected(crafted.dataset(), labels, more, figures)

    def _log_dropped(self, count: int, of: int) -> None:
        if count == of:
            raise UsageError(
                f"retraining: fooling: all {of} images that {self._options.attack_name} makes are "
                "like nothing known, so with fooling=drop none is left to learn from; take "
                "fooling=class, or a smaller budget"
            )
        self._trainer.log(
            f"retraining: {count} of {of} images are like nothing known; they are left out"
        )

    def _collected(
        self, images: tf.data.Dataset, labels: Labels, more: tuple[str, ...], figures: Figures
    ) -> Collected:
        known = self._network.class_names
        return Collected(images, labels, known, more, figures, among=len(self.images))


def _summary(collected: Collected) -> str:
    """Return in a line what was collected."""
    figures = collected.figures
    line = (
        f"retraining: {figures['adversarial_images']} adversarial images, "
        f"{figures['accuracy_on_them']:.1%} of them read right"
    )
    if (right := figures.get("label_accuracy")) is not None:
        line += f"; {right:.1%} of the labels are right"
    if (others := figures.get("label_accuracy_without_originals")) is not None:
        line += f" ({others:.1%} without originals)"
    if outliers := figures.get("fooling_images"):
        line += f"; {outliers} are like nothing known"
        if collected.new_classes:
            line += f", put into {', '.join(collected.new_classes)}"
    return line
