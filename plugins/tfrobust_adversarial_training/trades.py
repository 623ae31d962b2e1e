"""TRADES: correct on clean images, with the same prediction for their neighbours.

min_θ E_{x,y} CE(f(x), y) + β · max_{‖x′ − x‖ ≤ ε} KL(f(x) ‖ f(x′))

Zhang, Yu, Jiao, Xing, El Ghaoui & Jordan, "Theoretically principled trade-off between robustness
and accuracy" (2019). Threat: white-box; Linf or L2. The inner ascent sees the network in inference
mode. The step then makes two passes in training mode, of the clean images and of the attacked
ones, each normalised by the averages of its own batch, and gradients flow through both, as in the
authors' code. Departures: that code passes the clean images twice, so that they weigh double in the
running averages; here each pass counts once. Both norms take the same steps, which start inside
the ball. `attack` may name any other attack plugin, which then maximises its own loss. The best
epoch is that of the highest accuracy on attacked validation images.
"""

from __future__ import annotations

from tfrobust.attack import Attack
from tfrobust.classifier import Trainable
from tfrobust.options import build, option, plugin
from tfrobust.registry import name_of
from tfrobust.training.task import cross_entropy
from tfrobust.types import Images, Labels, Logits, PerImage
from tfrobust_adversarial_training.divergence import divergence
from tfrobust_adversarial_training.divergence_ascent import DivergenceAscent
from tfrobust_adversarial_training.inner_attack import TrainsOnBoth

DIVERGENCE = "divergence"


@plugin
class Trades(TrainsOnBoth):
    """Trains on clean images, and penalises a change of the prediction nearby.

    Example:
        >>> trades = create("defenses", "trades", eps=8 / 255, beta=6.0)
        >>> train(create("models", "resnet18"), scenario, Trainer(), [trades])
    """

    attack: str = option(
        "inner attack: divergence (maximises KL), or an attack plugin",
        default=DIVERGENCE,
    )
    beta: float = option("β: weight of the divergence; higher is more robust", default=6.0, ge=0)

    def objective(
        self, classifier: Trainable, images: Images, attacked: Images, labels: Labels
    ) -> tuple[PerImage, Logits]:
        """Return CE(f(x), y) + β · KL(f(x) ‖ f(x′)) of each image, and the logits of x′.

        See `TrainsOnBoth`.
        """
        logits = classifier.logits_in_training(images)
        attacked_logits = classifier.logits_in_training(attacked)
        change = divergence(logits, attacked_logits)
        return cross_entropy(labels, logits) + self.beta * change, attacked_logits

    def inner_attack(self) -> Attack:
        """Return the attack that each step runs; see `TrainsOnAttacked`."""
        if self.attack != DIVERGENCE:
            return super().inner_attack()
        given = {"eps": self.eps, "steps": self.steps, **(self.options or {})}
        return build(DivergenceAscent, f"{name_of(self)}: {DIVERGENCE}", given)
