"""Minimum-norm attacks within a budget, as a training needs them.

Such an attack moves an image as far as necessary. Images beyond the budget are moved back to it:
Rony et al., "Decoupling direction and norm for efficient gradient-based L2 adversarial attacks and
defenses" (2019), section 5, train so.
"""

from __future__ import annotations

import dataclasses

from tfrobust.attack import WrappedAttack
from tfrobust.classifier import Classifier
from tfrobust.norms import L0, Ball, ball
from tfrobust.types import Images, Labels, Seed


@dataclasses.dataclass(frozen=True, eq=False)
class WithinBudget(WrappedAttack):
    """A minimum-norm attack with a budget, whose images are projected into it.

    Example:
        >>> WithinBudget(create("attacks", "ddn", eps=0.5))(classifier, images, labels, seed=0)
    """

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Seed
    ) -> Images:
        """Return adversarial images, none farther away than the budget; see `Attack`."""
        norm = str(self.threat.norm)  # a least perturbation is one in some norm
        geometry: Ball = L0() if norm == "l0" else ball(norm)
        crafted = self.wrapped(classifier, images, labels, seed=seed)
        return geometry.project(crafted, geometry.region(images, self.budget))
