"""How adversarial images are labelled before a retraining."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from tfrobust_retraining.retraining import Retraining

Figures = dict[str, float | None]


class Collecting:
    """One collection.

    Args:
        how: the defence with its options.
        network: that is attacked.
        scenario: whose training split is attacked.
        trainer: with the seed, told how far the attack is.
    """

    def __init__(
        self, how: Retraining, network: Classifier, scenario: Scenario, trainer: Trainer
    ) -> None:
        self._how, self._network, self._trainer = how, network, trainer
        self._known_classes = scenario.num_classes
        self._shows_something = not how.collected_attack().ignores_input  # or no label is right
        self.images, self.true = arrays(scenario, "train")

    def collected(self) -> Collected:
        """Return adversarial images with labels.

        Raises:
            UsageError: the attack breaks nothing, or makes no images; neighbours or dimensions
                beyond the images.
        """
        how = self._how
        neighbours = self._neighbours() if how.labels == "knn" else None  # refuses, so it is first
        made, found = self._made()
        true = self.true[made.rows]
        predicted = predict(self._network, made.images).argmax(axis=1)
        found["accuracy_on_them"] = float((predicted == true).mean())
        if neighbours is None:
            labels = true if how.labels == "true" else predicted.astype(np.int64)
            found["label_accuracy"] = float((labels == true).mean())
            collected = self._collected(made.images, labels, (), found)
        else:
            labels, strange, told = self._labelled(neighbours, made, true)
            collected = self._with_new_classes(made.images, labels, strange, found | told)
        self._trainer.log(_told(collected))
        return collected

    def _neighbours(self) -> Neighbours:
        return Neighbours(
            self.images,
            self.true,
            k=self._how.k,
            dimensions=self._how.dimensions,
            seed=self._trainer.options.seed,
        )

    def _made(self) -> tuple[Made, Figures]:
        """Return the adversarial images that are images, and how many those and others are."""
        attacked = self._network, self.images, self.true
        known, trainer = self._known_classes, self._trainer
        whole = Crafting(self._how, *attacked, known_classes=known, trainer=trainer).made()
        sane = sound(whole)
        made = changed(sane, self.images)
        broken, unchanged = len(whole.rows) - len(sane.rows), len(sane.rows) - len(made.rows)
        for count, what in [
            (broken, "have pixels that are no numbers in [0, 1]"),
            (unchanged, "are the clean ones: it found nothing"),
        ]:
            if count:
                trainer.log(
                    f"retraining: {count} of {len(whole.rows)} images that {self._how.attack} made "
                    f"{what}; they are left out"
                )
        if not len(made.rows):
            raise UsageError(
                f"retraining: attack: {self._how.attack} makes no adversarial images; give it "
                "other options, or take another attack: -p retraining.attack=pgd"
            )
        counts = {"broken_images": broken, "unchanged_images": unchanged}
        return made, {"adversarial_images": len(made.rows), **counts}

    def _labelled(
        self, neighbours: Neighbours, made: Made, true: Labels
    ) -> tuple[Labels, Flags, Figures]:
        """Return labels by neighbours, which images are like nothing known, and how that went."""
        how = self._how
        nearest = neighbours.nearest(made.images)
        among_all = neighbours.voted(nearest)
        among_others = neighbours.voted(nearest, without=made.rows)
        labels, distances = among_others if how.originals == "unknown" else among_all
        strange = distances > neighbours.reach(how.quantile)
        near = ~strange & self._shows_something
        told: Figures = {"label_accuracy": None, "label_accuracy_without_originals": None}
        if near.any():
            told["label_accuracy"] = float((labels == true)[near].mean())
            others = (among_others.labels == true)[near]
            told["label_accuracy_without_originals"] = float(others.mean())
        return labels, strange, told | {"fooling_images": int(strange.sum())}

    def _with_new_classes(
        self, images: Images, labels: Labels, strange: Flags, found: Figures
    ) -> Collected:
        """Return the images, fooling ones in classes of their own or left out."""
        how, count = self._how, int(strange.sum())
        if not count:
            return self._collected(images, labels, (), found)
        if how.fooling == "drop":
            self._tell_dropped(count, len(images))
            return self._collected(images[~strange], labels[~strange], (), found)
        groups, names = np.zeros(count, np.int64), how.new_classes
        if how.fooling == "clusters":
            clusters, flat = min(how.clusters, count), images[strange].reshape(count, -1)
            seed = self._trainer.options.seed
            groups = KMeans(clusters, n_init=4, random_state=seed).fit_predict(flat)
            names = names[:clusters]
        known = self._network.class_names
        more = tuple(name for name in names if name not in known)  # of an earlier retraining
        places = np.array([(*known, *more).index(name) for name in names])
        labels = labels.copy()
        labels[strange] = places[groups]
        return self._collected(images, labels, more, found)

    def _tell_dropped(self, count: int, of: int) -> None:
        if count == of:
            raise UsageError(
                f"retraining: fooling: all {of} images that {self._how.attack} makes are like "
                "nothing known, so with fooling=drop none is left to learn from; take "
                "fooling=class, or a smaller budget"
            )
        self._trainer.log(
            f"retraining: {count} of {of} images are like nothing known; they are left out"
        )

    def _collected(
        self, images: Images, labels: Labels, more: tuple[str, ...], found: Figures
    ) -> Collected:
        known = self._network.class_names
        return Collected(images, labels, known, more, found, among=len(self.images))


def _told(collected: Collected) -> str:
    """Return in a line what was collected."""
    found = collected.found
    line = (
        f"retraining: {found['adversarial_images']} adversarial images, "
        f"{found['accuracy_on_them']:.1%} of them read right"
    )
    if (right := found.get("label_accuracy")) is not None:
        line += f"; {right:.1%} of the labels are right"
    if (others := found.get("label_accuracy_without_originals")) is not None:
        line += f" ({others:.1%} without originals)"
    if strange := found.get("fooling_images"):
        line += f"; {strange} are like nothing known"
        if collected.new_classes:
            line += f", put into {', '.join(collected.new_classes)}"
    return line
