"""What all checks share: images, the attack in doubt, and what every attack has broken so far."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.random_state import reseed
from tfrobust.diagnosis.pairs import Pair, compare
from tfrobust.diagnosis.probes import differentiated
from tfrobust.diagnosis.settings import DiagnosisSettings
from tfrobust.diagnosis.victims import Recorder
from tfrobust.engine.run import run_attack
from tfrobust.engine.victim import has_gradients
from tfrobust.norms.distances import distances, within_budget
from tfrobust.registry import create
from tfrobust.types import Flags, Images, Labels

FEW = 32  # images of the quick checks
APART = 1e-3  # of the spread of the logits: less is rounding
_REJUDGED = 3  # a random classifier must be wrong this often before an image counts as broken


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an attack did to some of the images.

    Attributes:
        rows: int `(n,)`: which images.
        broken: bool `(n,)`: those that are misclassified within the budget.
        images: float32 `(n, height, width, channels)`: as the attack returned them.
    """

    rows: np.ndarray
    broken: Flags
    images: Images


class Bench:
    """The images of a diagnosis, and what is known of them.

    Only images that are classified correctly are attacked. `broken` grows with every attack, and
    is what the lowest accuracy is computed from.

    Args:
        classifier: that is diagnosed.
        images: float32 `(n, height, width, channels)` in [0, 1].
        labels: int64 `(n,)`.
        known_classes: how many classes the scenario has; what the classifier has beyond them
            rejects an image, which breaks nothing.
        settings: what is diagnosed, and how.

    Attributes:
        right: int `(m,)`: the images that are classified correctly.
        victim: what white-box attacks differentiate: the classifier, or it with its surrogate.
        is_repeatable: whether a call can be made again with the same draws.
        attacked: what the attack in doubt did to those; see `attack_first`.
        broken: bool `(n,)`: what any attack has broken.
        gradients: backward passes so far, an image each.
        queries: forward passes so far, an image each.
    """

    def __init__(
        self,
        classifier: Classifier,
        images: Images,
        labels: Labels,
        known_classes: int,
        settings: DiagnosisSettings,
    ) -> None:
        self.classifier = classifier
        self.images, self.labels = images, labels
        self.known_classes = known_classes
        self.settings = settings
        self.gradients = self.queries = 0
        self.broken = np.zeros(len(images), bool)
        self.right = np.flatnonzero(self.predicted(images) == labels)
        self.is_repeatable = self._is_repeatable()
        self.victim = differentiated(classifier)
        self._differentiates = has_gradients(self.victim, images[:2])
        self._control: Outcome | None = None
        self._by_margin: Outcome | None = None
        self._recording: tuple[Recorder, Flags] | None = None

    @property
    def has_gradients(self) -> bool:
        """Whether white-box attacks can be run: by its own gradients, or a surrogate's."""
        return self._differentiates and (
            self.classifier.differentiable or self.classifier.surrogate is not None
        )

    def attack_first(self, attack: Attack) -> Outcome:
        """Run the attack that is in doubt; all checks compare with what it leaves."""
        self.attack = attack
        self.attacked = self.run(attack, self.right)
        return self.attacked

    def declare(self, **traits: bool) -> None:
        """Tell attacks what a check has found of the classifier, and run the one in doubt again.

        Otherwise every later check would find the same cause in another guise.
        """
        self.classifier = self.classifier.replace(**traits)
        self.victim = differentiated(self.classifier)
        self._control = self._by_margin = self._recording = None
        self.attack_first(self.attack)

    @property
    def clean(self) -> Flags:
        """Which images are right before any attack, bool `(n,)`."""
        flags = np.zeros(len(self.images), bool)
        flags[self.right] = True
        return flags

    @property
    def unbroken(self) -> np.ndarray:
        """The images that the attack in doubt leaves, int `(k,)`; the first of them if quick."""
        return self.some(self.attacked.rows[~self.attacked.broken])

    def compare(self, first: Flags, second: Flags) -> Pair:
        """Return which of two attacks breaks more of the `unbroken` images; see `pairs.compare`."""
        left = (~self.attacked.broken).sum() / max(len(self.right), 1)
        return compare(first, second, stand_for=float(left))

    @property
    def control(self) -> Outcome:
        """The attack in doubt once more, from another seed, on the images that it left.

        Whatever is tried on these images has had one attempt more than the attack. So the attack
        gets one too, and what other attacks break is compared with that.
        """
        if self._control is None:
            self._control = self.run(self.attack, self.unbroken, seed=self.settings.seed + 1)
        return self._control

    @property
    def by_margin(self) -> Outcome | None:
        """PGD on the margin, on the images that the attack left; `None` without gradients."""
        if self._by_margin is None and self.has_gradients:
            self._by_margin = self.run(self.in_ball("pgd", loss="margin"), self.unbroken)
        return self._by_margin

    @property
    def white_box(self) -> Flags:
        """What the attack again, or PGD on the margin, breaks of the images that the attack left.

        What needs no gradient has to beat both: a loss that fits badly is a cause of its own.
        """
        margin = self.by_margin
        return self.control.broken if margin is None else self.control.broken | margin.broken

    @property
    def recording(self) -> tuple[Recorder, Flags]:
        """What the attack asked for on its way, and what it returned broken; of `some` images."""
        if self._recording is None:
            rows, settings = self.some(self.right), self.settings
            recorder = Recorder(
                self.victim,
                self.images[rows],
                self.labels[rows],
                settings.eps,
                settings.norm,
                known_classes=self.known_classes,
            )
            self._recording = recorder, self.run(self.attack, rows, on=recorder).broken
        return self._recording

    def some(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows that a check looks at: all of them if thorough, else the first few."""
        return rows if self.settings.thorough else rows[:FEW]

    def run(
        self,
        attack: Attack,
        rows: np.ndarray,
        *,
        on: Classifier | None = None,
        seed: int | None = None,
        labels: Labels | None = None,
        counts: bool = True,
    ) -> Outcome:
        """Attack some images, and judge what comes back by the classifier itself.

        Args:
            attack: with its options.
            rows: int `(n,)`: which images.
            on: what the attack sees instead of the classifier.
            seed: another one than that of the settings.
            labels: targets, where the attack aims at classes.
            counts: whether what it breaks is broken: its budget is that of the diagnosis.
        """
        seed = self.settings.seed if seed is None else seed
        if not len(rows):
            return Outcome(rows, np.zeros(0, bool), self.images[rows])
        crafted = run_attack(
            attack,
            on or self.classifier,
            self.images[rows],
            self.labels[rows],
            targets="least_likely" if labels is None else labels,
            known_classes=self.known_classes,
            seed=seed,
            batch_size=self.settings.batch_size,
        )
        self.gradients += crafted.gradients
        self.queries += crafted.queries
        budget = self.settings.eps if counts else attack.budget
        broken = self.judge(crafted.images, rows, budget)
        if counts:
            self.broken[rows] |= broken
        return Outcome(rows, broken, crafted.images)

    def judge(self, crafted: Images, rows: np.ndarray, budget: float | None) -> Flags:
        """Return which images are misclassified, within the budget and [0, 1], bool `(n,)`."""
        finite = np.nan_to_num(crafted, nan=-1.0)
        inside = (finite >= -1e-6).all(axis=(1, 2, 3)) & (finite <= 1 + 1e-6).all(axis=(1, 2, 3))
        near = within_budget(distances(self.images[rows], finite)[self.settings.norm], budget)
        return near & inside & self.fooled(np.clip(finite, 0.0, 1.0), self.labels[rows])

    def fooled(self, images: Images, labels: Labels) -> Flags:
        """Return which images are taken for another class of the scenario, bool `(n,)`."""
        draws = _REJUDGED if self.classifier.stochastic else 1
        flags = np.ones(len(images), bool)
        for draw in range(draws):
            predicted = self.predicted(images, draw)
            flags &= (predicted != labels) & (predicted < self.known_classes)
        return flags

    def predicted(self, images: Images, draw: int = 0) -> Labels:
        """Return the predicted classes, int64 `(n,)`."""
        return self.logits(images, draw).argmax(axis=1)

    def logits(self, images: Images, draw: int = 0) -> np.ndarray:
        """Return the logits, float32 `(n, classes)`; the same `draw` gives the same ones."""
        reseed(self.classifier, self.settings.seed, "diagnosis", draw)
        self.queries += len(images)
        return predict(self.classifier, images, self.settings.batch_size)

    def accuracy(self, *broken: Flags) -> float:
        """Return the share of all images that are right and not broken."""
        left = self.clean
        for flags in broken:
            left &= ~flags
        return float(left.mean())

    def _is_repeatable(self) -> bool:
        """Tell whether two calls that should draw the same answer the same."""
        shown = self.images[self.right[:FEW]]
        if not len(shown):
            return True
        one, other = self.logits(shown), self.logits(shown)
        return bool(np.abs(one - other).max() <= APART * max(float(one.std()), 1e-12))

    def spread(self, outcome: Outcome) -> Flags:
        """Return what an attack broke, over all images, bool `(n,)`."""
        flags = np.zeros(len(self.images), bool)
        flags[outcome.rows] = outcome.broken
        return flags

    def in_ball(self, name: str, **options: object) -> Attack:
        """Return an attack with the budget of the diagnosis; see the function."""
        return in_ball(name, self.settings, **options)


def in_ball(name: str, settings: DiagnosisSettings, **options: object) -> Attack:
    """Build an attack within the ball that is diagnosed.

    Raises:
        UsageError: it does not know the norm.
    """
    return create("attacks", name, eps=settings.eps, norm=settings.norm, **options)
