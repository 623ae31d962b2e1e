"""DeepFool: steps to the nearest boundary of the linearised classifier, until it is crossed.

r_{t+1} = r_t + min_{k≠y} (z_y − z_k) / ‖∇(z_k − z_y)‖_q · argmax_{‖d‖ ≤ 1} ⟨∇(z_k − z_y), d⟩
x_{t+1} = clip(x + (1 + overshoot) · r_{t+1}, 0, 1),  q dual to the norm

Moosavi-Dezfooli, Fawzi & Frossard, "DeepFool: a simple and accurate method to fool deep neural
networks" (2016). Threat: white-box, minimum L2 or Linf norm.
Departures: only the classes with the largest logits are considered (`candidates`, as in the
authors' code), ranked again at every step. The attack leaves the label, not the predicted class.
Every iterate is clipped to [0, 1]. At the end, `line_search` forward passes look for the boundary
between the clean and the adversarial image (`tfrobust_attacks.minimum_norm.line_search`), which
removes most of the overshoot; 0 turns this off. Every step aims slightly beyond the boundary
(`_BEYOND`).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import clearly_adversarial, is_adversarial, margin
from tfrobust.norms import ball
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.minimum_norm.line_search import Line, moved, nearest_on_line
from tfrobust_attacks.shared.rivals import nearest_boundary

# How far beyond the linearised boundary to aim, as a share of its two logits. Clipping shortens
# every step, so an attack that aims exactly at the boundary approaches it without crossing it.
# 1e-3 saves a third of the steps that 2e-5 takes, and changes the median norm by a share of 1e-4.
_BEYOND = 1e-3


class _State(NamedTuple):
    clean: Images
    labels: Labels
    perturbation: Images  # before the overshoot
    current: Images
    lead: PerImage  # the label's defeat at the current image, in logits
    done: Flags  # the current image is adversarial


@plugin
class DeepFool(GradientAttack):
    """The nearest boundary of the linearised classifier, iterated."""

    minimum_norm = True

    eps: float | None = option(
        "budget of the evaluation; none: any distance", default=None, ge=0, trace="unused"
    )
    norm: Literal["l2", "linf"] = option("norm to minimise", default="l2")
    steps: int = option("maximum number of linearisations", default=50, ge=1, trace="input")
    candidates: int = option("number of classes to consider, the label included", default=10, ge=2)
    overshoot: float = option(
        "overshoot beyond the boundary, as a share of the step", default=0.02, ge=0
    )
    line_search: int = option("forward passes that search for a nearer image", default=3, ge=0)

    @property
    def threat(self) -> Threat:
        """White-box, minimum norm."""
        return Threat("white-box", self.norm)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where none was found. See `Attack`."""
        logits = classifier(images)
        wrong = is_adversarial(logits, labels, targeted=False)
        lead = margin(logits, labels)
        state = iterate(
            lambda state, _: self._step(classifier, state),
            _State(images, labels, tf.zeros_like(images), images, lead, wrong),
            steps=self.steps,
            outcome=("perturbation", "current", "lead"),
        )
        adversarial = state.current
        if self.line_search:
            adversarial = self._nearer(classifier, state, lead)
        return blend(state.done & ~wrong, adversarial, images)

    def _step(self, classifier: Classifier, state: _State) -> _State:
        """Cross the nearest of the linear boundaries, and check whether that is enough."""
        gap, gradient, steepness = nearest_boundary(
            classifier,
            state.current,
            state.labels,
            norm=self.norm,
            candidates=self.candidates,
            beyond=_BEYOND,
        )
        way = (gap / steepness)[:, None, None, None] * ball(self.norm).steepest(gradient)
        perturbation = state.perturbation + way
        current = moved(state.clean, perturbation, 1.0 + self.overshoot)
        # This costs one more forward pass per step, but no class gradients once it is crossed.
        logits = classifier(current)
        return state._replace(
            perturbation=perturbation,
            current=current,
            lead=margin(logits, state.labels),
            done=clearly_adversarial(logits, state.labels, targeted=False),
        )

    def _nearer(self, classifier: Classifier, state: _State, lead: PerImage) -> Images:
        """Search for the boundary between the clean and the adversarial image."""
        zeros = tf.zeros_like(lead)
        line = Line(
            clean=state.clean,
            labels=state.labels,
            perturbation=state.perturbation,
            adversarial=state.current,
            low=zeros,
            high=zeros + (1.0 + self.overshoot),
            low_lead=lead,
            high_lead=state.lead,
            done=~state.done,
        )
        return nearest_on_line(classifier, line, self.line_search)
