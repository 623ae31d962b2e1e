"""How adversarial images are made and labelled before a retraining."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.cluster import KMeans

from tfrobust.classifier import Classifier
from tfrobust.engine import run_attack
from tfrobust.errors import UsageError
from tfrobust.inference import predict
from tfrobust.learning import LearningAttack, learned
from tfrobust.scenario import Scenario, arrays
from tfrobust.training import Trainer
from tfrobust.types import Flags, Images, Labels
from tfrobust_retraining.collected import Collected
from tfrobust_retraining.neighbours import Neighbours

if TYPE_CHECKING:
    from tfrobust_retraining.retraining import Retraining

_DIMENSIONS = 300  # the paper's for CIFAR-10
_SEEN = 1_000  # adversarial images that tell whether an attack breaks anything


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
        self._seed = trainer.options.seed
        self.images, self.true = arrays(scenario, "train")

    def collected(self) -> Collected:
        """Return adversarial images with labels.

        Raises:
            UsageError: the attack breaks nothing; neighbours or dimensions beyond the images.
        """
        how = self._how
        neighbours = self._neighbours() if how.labels == "knn" else None  # refuses, so it is first
        images, true = self._crafted()
        predicted = predict(self._network, images).argmax(axis=1)
        found: dict[str, float | None] = {"adversarial_images": len(images)}
        found["accuracy_on_them"] = float((predicted == true).mean())
        if neighbours is None:
            labels = true if how.labels == "true" else predicted.astype(np.int64)
            found["label_accuracy"] = float((labels == true).mean())
            return Collected(images, labels, (), found)
        labels, distances = neighbours.look_up(images)
        strange = distances > neighbours.reach(how.quantile)
        near = ~strange
        found["label_accuracy"] = float((labels == true)[near].mean()) if near.any() else None
        found["fooling_images"] = int(strange.sum())
        return self._with_new_classes(images, labels, strange, found)

    def _neighbours(self) -> Neighbours:
        most = min(len(self.images), int(np.prod(self.images.shape[1:])))
        wanted = self._how.dimensions or min(_DIMENSIONS, most)
        return Neighbours(self.images, self.true, k=self._how.k, dimensions=wanted, seed=self._seed)

    def _crafted(self) -> tuple[Images, Labels]:
        """Return adversarial images, and the labels of those they were made of."""
        wanted, there = self._how.adversarial_images or len(self.images), len(self.images)
        if wanted > there:
            self._trainer.say(
                f"retraining: {wanted} adversarial images of {there} training images: each is "
                f"attacked {wanted / there:.3g} times, with another seed each time"
            )
        order = np.random.default_rng(self._seed).permutation(there)
        made, labels = [], []
        for turn, start in enumerate(range(0, wanted, there)):
            rows = order[: wanted - start]
            made.append(self._attacked(rows, self._seed + turn))
            labels.append(self.true[rows])
            if turn == 0:
                self._check_broken(self.images[rows], made[0])
        return np.concatenate(made), np.concatenate(labels)

    def _attacked(self, rows: np.ndarray, seed: int) -> Images:
        report, what = self._trainer.report, f"crafting {self._how.attack}"
        attack = self._how.collected_attack()
        if isinstance(attack, LearningAttack):  # from the images that an evaluation shows it
            first = slice(attack.training_images)
            attack = learned(attack, self._network, self.images[first], self.true[first], seed=seed)
        return run_attack(
            attack,
            self._network,
            self.images[rows],
            self.true[rows],
            targets=self._how.targets,
            seed=seed,
            on_progress=(lambda done: report(what, done, len(rows))) if report else None,
        ).images

    def _check_broken(self, clean: Images, adversarial: Images) -> None:
        """Refuse an attack that changes no prediction."""
        before, after = (
            predict(self._network, each[:_SEEN]).argmax(axis=1) for each in (clean, adversarial)
        )
        if (before == after).all():
            raise UsageError(
                f"retraining: attack: {self._how.attack} changes the class of none of "
                f"{len(before)} images, so there is nothing to learn from it; give it a larger "
                "budget: -p retraining.options='{\"eps\": …}'"
            )

    def _with_new_classes(
        self, images: Images, labels: Labels, strange: Flags, found: dict[str, float | None]
    ) -> Collected:
        """Return the images, fooling ones in classes of their own or left out."""
        how, first = self._how, self._network.num_classes
        if not strange.any():
            return Collected(images, labels, (), found)
        if how.fooling == "drop":
            return Collected(images[~strange], labels[~strange], (), found)
        if how.fooling == "class":
            return Collected(images, np.where(strange, first, labels), (how.new_class,), found)
        count = min(how.clusters, int(strange.sum()))
        flat = images[strange].reshape(int(strange.sum()), -1)
        labels = labels.copy()
        labels[strange] = first + KMeans(count, n_init=4, random_state=self._seed).fit_predict(flat)
        names = tuple(f"{how.new_class} {number}" for number in range(1, count + 1))
        return Collected(images, labels, names, found)
