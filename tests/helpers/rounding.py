"""A defence without gradients and its surrogate, and one that hides a gradient it has."""

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.classifier import Wrapped
from tfrobust.defense import Defended, Defense
from tfrobust.options import option, plugin


class Rounded(Wrapped):
    """A classifier of images rounded to `levels` steps; straight through where it is asked."""

    def __init__(self, inner, levels, *, through=False):
        super().__init__(inner, differentiable=through)
        self.levels, self.through = levels, through

    def __call__(self, images):
        rounded = tf.round(images * self.levels) / self.levels
        if self.through:
            rounded = images + tf.stop_gradient(rounded - images)
        return self.inner(rounded)


@plugin
class Rounding(Defense):
    """Rounds pixels."""

    levels: int = option("steps from black to white", default=4, ge=1)
    declares: bool = option("declare a surrogate", default=True)

    @property
    def adaptive(self):
        return (
            AdaptiveAttack(
                "pgd", {"steps": 10}, "BPDA by the identity", "Athalye et al. 2018", ("l2",)
            ),
        )

    def surrogate(self, defended):
        return Rounded(defended.inner, self.levels, through=True) if self.declares else None

    def apply(self, classifier, scenario, trainer):
        return Defended(Rounded(classifier, self.levels))


class Shadowed(Wrapped):
    """A classifier whose gradient is scaled by −1: it leads away from adversarial images."""

    def __call__(self, images):
        return self.inner(2 * tf.stop_gradient(images) - images)


@plugin
class Shadowing(Defense):
    """Turns the gradient round."""

    @property
    def adaptive(self):
        return (AdaptiveAttack("fgsm", why="the gradient points away"),)

    def surrogate(self, defended):
        return defended.inner

    def apply(self, classifier, scenario, trainer):
        return Defended(Shadowed(classifier))
