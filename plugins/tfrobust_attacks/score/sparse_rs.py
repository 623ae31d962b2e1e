"""Sparse-RS: random search over few pixels, a patch or a frame, with colours of 0 and 1.

max L(x̂, y) over x̂ that differ from x in a set M of pixels: a candidate changes a share of M and of
its colours, and is taken if the loss rises. The share falls on a fixed schedule.

Croce, Andriushchenko, Singh, Flammarion & Hein, "Sparse-RS: a versatile framework for
query-efficient sparse black-box adversarial attacks" (2022). Threat: score-based, L0.
`eps` counts pixels for all three shapes: `pixels` changes any of them, `patch` the largest square
of at most that many, which moves, `frame` the widest frame of at most that many. Patches and frames
are image-specific; the paper's universal ones are not built.
Departures: all images of a step share the draws. A new pixel whose colour would be that of the
image gets the opposite one. The schedule is scaled to `queries`, which count the clean image too;
it is returned if it is misclassified. A targeted attack uses the margin unless `loss` names another
(the paper: cross-entropy).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds, run_seed
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.score.sparse_moves import Changes, Moves
from tfrobust_attacks.score.sparse_shapes import MOVES
from tfrobust_attacks.shared.scored import ScoreSearch, before_any


class _State(NamedTuple):
    clean: Images
    labels: Labels
    images: Images  # the best ones
    changes: Changes  # what they are made of
    loss: PerImage
    done: Flags


@plugin
class SparseRandomSearch(ScoreSearch):
    """Random search over few pixels, a patch or a frame, from logits alone."""

    eps: float = option("number of pixels that may change", default=25.0, ge=0)
    shape: Literal["pixels", "patch", "frame"] = option(
        "what may change: any pixels, a square, or the border", default="pixels"
    )
    alpha_init: float = option("α: share that the first candidates change", default=0.3, gt=0, le=1)

    @property
    def threat(self) -> Threat:
        """Score-based, within the L0 ball."""
        return Threat("score", "l0", self.targeted)

    def check(self, classifier: Classifier) -> None:
        """Refuse a budget that no frame keeps to; see `Attack`."""
        super().check(classifier)
        moves, shape = MOVES[self.shape], classifier.image_shape
        if self.shape == "frame" and self.eps > 0 and moves.fitting(shape, int(self.eps)) is None:
            raise UsageError(
                f"sparse_rs: eps: the narrowest frame has {moves.pixels(shape, 1)} pixels; "
                f"received: {self.eps:g}"
            )

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        clean = self.ask(classifier, images, labels)
        moves = MOVES[self.shape].fitting(classifier.image_shape, int(self.eps))
        if self.queries == 1 or moves is None:  # the query is spent, or no pixel may change
            return images
        shared = run_seed(image_seeds(seed, tf.shape(images)[0]))
        state = _State(
            clean=images,
            labels=labels,
            images=images,
            changes=moves.start(images, tf.stack([shared, -1])),
            loss=before_any(*clean),
            done=clean.fooled,
        )
        state = self._try(classifier, moves, state, state.changes)
        steps = self.queries - 2  # after the clean image and the start

        def step(state: _State, number: Any) -> _State:
            spent = tf.cast(number, tf.float32) / max(steps, 1)
            candidate = moves.move(state.changes, spent, self.alpha_init, shared, number)
            return self._try(classifier, moves, state, candidate)

        # A row that is done takes nothing, and so keeps its images.
        return iterate(
            step, state, steps=steps, early_stop=self.early_stop, outcome=("loss",)
        ).images

    def _try(self, classifier: Classifier, moves: Moves, state: _State, changes: Changes) -> _State:
        """Take what changes raise the loss."""
        images = moves.applied(state.clean, changes)
        answer = self.ask(classifier, images, state.labels)
        better = self.accepts(answer, state.loss, state.done)
        return state._replace(
            images=blend(better, images, state.images),
            changes=tf.nest.map_structure(
                lambda new, old: blend(better, new, old), changes, state.changes
            ),
            loss=tf.where(better, answer.loss, state.loss),
            done=state.done | answer.fooled,
        )
