"""How adversarial images are labelled before a retraining."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predict
from tfrobust.data.reading import arrays
from tfrobust.errors import UsageError
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import Flags, Images, Labels
from tfrobust_retraining.collected import Collected
from tfrobust_retraining.crafting import Crafting, Made, changed, sound
from tfrobust_retraining.neighbours import Neighbours
from tfrobust_retraining.options import RetrainingOptions

Figures = dict[str, float | None]


class Collecting:
    """One collection.

    Args:
        options: how images are crafted and labelled.
        network: the network to attack.
        scenario: its training split is attacked.
        trainer: gives the seed, and receives the progress of the attack.
    """

    def __init__(
        self, options: RetrainingOptions, network: Classifier, scenario: Scenario, trainer: Trainer
    ) -> None:
        self._options, self._network, self._trainer = options, network, trainer
        self._known_classes = scenario.num_classes
        self._shows_something = not options.attack.ignores_input  # or no label is right
        self.images, self.true = arrays(scenario, "train")

    def collected(self) -> Collected:
        """Return adversarial images with labels.

        Raises:
            UsageError: the attack breaks nothing, or makes no images; neighbours or dimensions
                beyond the images.
        """
        options = self._options
        by_neighbours = options.labels == "knn"
        neighbours = self._neighbours() if by_neighbours else None  # refuses, so it is first
        crafted, figures = self._made()
        true = self.true[crafted.rows]
        predicted = predict(self._network, crafted.images).argmax(axis=1)
        figures["accuracy_on_them"] = float((predicted == true).mean())
        if neighbours is None:
            labels = true if options.labels == "true" else predicted.astype(np.int64)
            figures["label_accuracy"] = float((labels == true).mean())
            collected = self._collected(crafted.images, labels, (), figures)
        else:
            labels, outliers, more = self._labelled(neighbours, crafted, true)
            collected = self._with_new_classes(crafted.images, labels, outliers, figures | more)
        self._trainer.log(_summary(collected))
        return collected

    def _neighbours(self) -> Neighbours:
        return Neighbours(
            self.images,
            self.true,
            k=self._options.k,
            dimensions=self._options.dimensions,
            seed=self._trainer.options.seed,
        )

    def _made(self) -> tuple[Made, Figures]:
        """Return the adversarial images with valid pixels, and the counts of those and others."""
        attacked = self._network, self.images, self.true
        known, trainer, name = self._known_classes, self._trainer, self._options.attack_name
        whole = Crafting(self._options, *attacked, known_classes=known, trainer=trainer).made()
        sane = sound(whole)
        crafted = changed(sane, self.images)
        broken, unchanged = len(whole.rows) - len(sane.rows), len(sane.rows) - len(crafted.rows)
        for count, what in [
            (broken, "have pixels that are no numbers in [0, 1]"),
            (unchanged, "are the clean ones: it found nothing"),
        ]:
            if count:
                trainer.log(
                    f"retraining: {count} of {len(whole.rows)} images that {name} made {what}; "
                    "they are left out"
                )
        if not len(crafted.rows):
            raise UsageError(
                f"retraining: attack: {name} makes no adversarial images; give it other "
                "options, or take another attack: -p retraining.attack=pgd"
            )
        counts = {"broken_images": broken, "unchanged_images": unchanged}
        return crafted, {"adversarial_images": len(crafted.rows), **counts}

    def _labelled(
        self, neighbours: Neighbours, crafted: Made, true: Labels
    ) -> tuple[Labels, Flags, Figures]:
        """Return labels by neighbours, which images are like nothing known, and their figures."""
        options = self._options
        nearest = neighbours.nearest(crafted.images)
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
        self, images: Images, labels: Labels, outliers: Flags, figures: Figures
    ) -> Collected:
        """Return the images; fooling ones get new classes or are left out."""
        options, count = self._options, int(outliers.sum())
        if not count:
            return self._collected(images, labels, (), figures)
        if options.fooling == "drop":
            self._log_dropped(count, len(images))
            return self._collected(images[~outliers], labels[~outliers], (), figures)
        groups, names = np.zeros(count, np.int64), options.new_classes
        if options.fooling == "clusters":
            clusters, flat = min(options.clusters, count), images[outliers].reshape(count, -1)
            seed = self._trainer.options.seed
            groups = KMeans(clusters, n_init=4, random_state=seed).fit_predict(flat)
            names = names[:clusters]
        known = self._network.class_names
        more = tuple(name for name in names if name not in known)  # of an earlier retraining
        places = np.array([(*known, *more).index(name) for name in names])
        labels = labels.copy()
        labels[outliers] = places[groups]
        return self._collected(images, labels, more, figures)

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
        self, images: Images, labels: Labels, more: tuple[str, ...], figures: Figures
    ) -> Collected:
        known = self._network.class_names
        return Collected(images, labels, known, more, figures, among=len(self.images))


def _summary(collected: Collected) -> str:
    """Return in a line what was collected."""
    figures = collected.found
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
