"""A surrogate of a classifier that only answers: trained on answers to images that it asks about.

The surrogate F learns the answers O(x) to a few images S₀. Then, round after round, each image gets
a neighbour, a step along the sign of the gradient of the probability of the answered class:

    S_{ρ+1} = S_ρ ∪ { x + λ · sign ∇ₓ F_{O(x)}(x)  :  x ∈ S_ρ },    F trained further on S_{ρ+1}

The neighbours lie where the surrogate's answer changes most, and so tell where the other
classifier's borders are. An attack on the surrogate is then tried on the other one (transfer).

Paper: Papernot et al., "Practical Black-Box Attacks against Machine Learning", AsiaCCS 2017.
Threat model: the attacker asks a bounded number of questions, and knows neither weights nor
gradients; here they have images of the same training split.
Departures: where the other classifier answers in scores, the surrogate learns its probabilities
(Hinton et al. 2015), and its labels alone only where there is nothing else; images stay in [0, 1];
of a round that the budget does not cover, images are drawn at random, instead of by a reservoir of
a fixed size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.traces import Traces
from tfrobust.data.reading import arrays, check_fits
from tfrobust.model import ModelBuilder
from tfrobust.options import option, plugin
from tfrobust.pipeline.build import built
from tfrobust.pipeline.distillation_asking import Teacher, logits_of
from tfrobust.pipeline.distillation_rounds import Answered, KeptRounds, task_of
from tfrobust.scenario import Scenario
from tfrobust.store.cards import Imitation
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Labels, Logits

_POOL = 10_000  # images of the training split that the first ones are drawn from
_TOGETHER = 256  # images in one call
_STEPPED: Traces[Callable[[Images, Labels, Any], Images]] = Traces(most=2)


@plugin
class DistilOptions:
    """How a surrogate is made; recorded in the plan of its training."""

    images: int = option("images of the training split to begin with", default=100, ge=1)
    rounds: int = option(
        "rounds of augmentation; each doubles the images, within the budget", default=4, ge=0, le=20
    )
    step: float = option("length of an augmentation step in a pixel", default=0.1, gt=0, le=1)
    held_out: int = option(
        "further images that agreement is measured on; they are asked about too", default=100, ge=1
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distillation:
    """What a surrogate imitates, for `TrainingPlan(distilled=…)`.

    Attributes:
        teacher: opens the classifier that is imitated. It is given the folder where answers are
            kept until the training is finished; `None`: nothing is kept.
        name: of that classifier, as cards and plans record it.
        options: how the surrogate is made.
        max_queries: images that a local classifier may be asked about; an endpoint counts by
            `RemoteOptions.max_queries`. `None`: no limit.
    """

    teacher: Callable[[Path | None], Classifier]
    name: str
    options: DistilOptions = dataclasses.field(default_factory=DistilOptions)
    max_queries: int | None = None


def distil(
    model: ModelBuilder,
    scenario: Scenario,
    trainer: Trainer,
    distillation: Distillation,
    *,
    kept: Path | None = None,
) -> tuple[Classifier, Imitation]:
    """Train a surrogate on the answers of another classifier; nothing is stored.

    Args:
        model: the architecture of the surrogate.
        scenario: its `train` split gives the images that the questions begin with; labels of it
            are not read.
        trainer: trains the surrogate once a round; its share of validation images is not used.
        distillation: what is imitated, and how.
        kept: the folder for images and answers, so that the same call with a trainer that resumes
            asks nothing twice; `None`: nothing is kept.

    Returns:
        The surrogate, and what is known of it: queries, and its agreement after each training.

    Raises:
        ClassifierError: the classifier does not fit the scenario, or does not answer.
        BudgetSpentError: the budget does not cover the images to begin with and those held out.
        StoreError: what is kept is damaged.

    Example:
        >>> surrogate, imitation = distil(
        ...     create("models", "lenet"), create("scenarios", "digits"), Trainer(),
        ...     Distillation(teacher=lambda kept: load("d1"), name="d1"))
        >>> imitation.agreement[-1] > imitation.agreement[0]
        True

    Source:
        Papernot et al. 2017, see the module.
    """
    imitated, name = distillation.teacher(kept), distillation.name
    for notice in imitated.notices:
        trainer.log(f"{name}: {notice}")
    check_fits(imitated, scenario, name)
    teacher = Teacher(imitated, name, KeptRounds(kept), distillation.max_queries)
    surrogate, trainer = built(model, scenario, trainer), trainer.altered(validation=0.0)
    return surrogate, _Distilling(surrogate, scenario, trainer, distillation.options, teacher).run()


class _Distilling:
    """One distillation of an untrained surrogate; see `distil`."""

    def __init__(
        self,
        surrogate: Classifier,
        scenario: Scenario,
        trainer: Trainer,
        options: DistilOptions,
        teacher: Teacher,
    ) -> None:
        self._surrogate, self._scenario, self._trainer = surrogate, scenario, trainer
        self._options, self._teacher = options, teacher

    def run(self) -> Imitation:
        """Train the surrogate, and return what is known of it."""
        held_out, expected, images, answers = self._first()
        agreement: list[float] = []
        for number in range(self._options.rounds + 1):
            if number:
                new, their = self._round(number, images, answers)
                if not len(new):
                    self._trainer.log(f"the budget is spent: round {number} is not made")
                    break
                images, answers = np.concatenate([images, new]), np.concatenate([answers, their])
            self._train(images, answers)
            same = logits_of(self._surrogate, held_out).argmax(1) == expected.argmax(1)
            agreement.append(float(same.mean()))
            told = f"round {number}: {len(images)} images"
            self._trainer.log(f"{told}, agreement {agreement[-1]:.1%} of {len(same)}")
        return Imitation(
            of=self._teacher.name,
            answers="labels" if self._teacher.decisions_only else "scores",
            queries=self._teacher.spent,
            images=len(images),
            rounds=len(agreement) - 1,
            held_out=len(held_out),
            agreement=tuple(agreement),
        )

    def _first(self) -> tuple[Images, Logits, Images, Logits]:
        """Return the images held out and those to begin with, each with the answers.

        Raises:
            BudgetSpentError: some cannot be paid for.
        """
        pool, _ = arrays(self._scenario, "train", _POOL)
        order = np.random.default_rng(self._trainer.options.seed).permutation(len(pool))
        held = min(self._options.held_out, len(pool) // 2)
        held_out = pool[order[:held]]
        first = pool[order[held : held + self._options.images]]
        expected = self._teacher.answers("held-out", held_out, all_of_them=True)
        return held_out, expected, first, self._teacher.answers("round-0", first, all_of_them=True)

    def _round(self, number: int, images: Images, answers: Logits) -> tuple[Images, Logits]:
        """Return the new images of a round that were answered, and the answers."""
        name = f"round-{number}"

        def fresh() -> Images:
            left = self._teacher.left
            count = len(images) if left is None else min(left, len(images))
            random = np.random.default_rng([self._trainer.options.seed, number])
            chosen = np.sort(random.permutation(len(images))[:count])
            labels = answers[chosen].argmax(1)
            return augmented(self._surrogate, images[chosen], labels, self._options.step)

        new = self._teacher.kept.images(name, self._scenario.image_shape, fresh)
        if not len(new):
            return new, answers[:0]
        their = self._teacher.answers(name, new)
        answered = np.isfinite(their).all(axis=1)
        return new[answered], their[answered]

    def _train(self, images: Images, answers: Logits) -> None:
        learned = Answered(self._scenario, images, answers.argmax(1))
        task = task_of(answers, labels=self._teacher.decisions_only)
        self._trainer.fit(self._surrogate, learned, task)


def augmented(surrogate: Classifier, images: Images, labels: Labels, step: float) -> Images:
    """Return each image a step along the sign of the surrogate's gradient for its label.

    x + step · sign ∇ₓ F_y(x), in [0, 1]. F_y is a probability; its logarithm has a gradient of the
    same sign, which does not vanish where the probability is all but 0 or 1.

    Args:
        surrogate: differentiable.
        images: float32 `(n, height, width, channels)` in [0, 1].
        labels: int64 `(n,)`, answered by the classifier that is imitated.
        step: in a pixel.

    Example:
        >>> augmented(surrogate, images, labels, 0.1).shape == images.shape
        True
    """
    stepped = _STEPPED.of(surrogate, "augmented", lambda: _traced(surrogate))
    starts = range(0, len(images), _TOGETHER)
    batches = (slice(start, start + _TOGETHER) for start in starts)
    length = tf.constant(step, tf.float32)
    given = [np.asarray(stepped(images[rows], labels[rows], length)) for rows in batches]
    return np.concatenate([images[:0], *given])


def _traced(surrogate: Classifier) -> Callable[[Images, Labels, Any], Images]:
    """Return what augments a batch of any size, traced once."""
    batch = tf.TensorSpec((None, *surrogate.image_shape), tf.float32)
    types = batch, tf.TensorSpec((None,), tf.int64), tf.TensorSpec((), tf.float32)

    @tf.function(input_signature=types)
    def stepped(images: Images, labels: Labels, length: Any) -> Images:
        with tf.GradientTape() as tape:
            tape.watch(images)
            score = tf.gather(tf.nn.log_softmax(surrogate(images)), labels, batch_dims=1)
        moved = images + length * tf.sign(tape.gradient(score, images))
        return tf.clip_by_value(moved, 0.0, 1.0)

    return stepped
