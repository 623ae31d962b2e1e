"""CleverHans 4's gradient attacks with a fixed budget: FGM, BIM, PGD, Madry et al., MIM.

Papernot et al., "Technical report on the CleverHans v2.1.0 adversarial examples library" (2018);
each class names its attack's paper. Threat: white-box, in the norms CleverHans supports.

The attack code is CleverHans's. Departures: the number of iterations is passed as a tensor, so
that AutoGraph turns the Python loop into a `tf.while_loop`; random starts are drawn from each
image's own seed; labels are always given, never guessed. The iterated attacks check their budget in
Python, so each budget needs its own trace.
"""

from __future__ import annotations

import math
from typing import Any, Literal
from unittest import mock

import tensorflow as tf
from cleverhans.tf2.attacks import projected_gradient_descent as cleverhans_pgd
from cleverhans.tf2.attacks.basic_iterative_method import basic_iterative_method
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.tf2.attacks.madry_et_al import madry_et_al
from cleverhans.tf2.attacks.momentum_iterative_method import momentum_iterative_method

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.regions import confined
from tfrobust.norms import ball
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds
from tfrobust.types import Images, Labels, Norm, Seeds

_ORDERS: dict[str, float] = {"linf": math.inf, "l2": 2, "l1": 1}
_NAMES: dict[float, str] = {order: name for name, order in _ORDERS.items()}


class _CleverHans(GradientAttack):
    """The options that all of them share; each class defines its own `norm`."""

    autograph = True  # a loop over `nb_iter` would unroll otherwise

    eps: float
    norm: Norm
    targeted: bool

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm, self.targeted)

    def _common(self, classifier: Classifier, images: Images, labels: Labels) -> dict[str, Any]:
        return {
            "model_fn": classifier,
            "x": images,
            "eps": self.eps,
            "norm": _ORDERS[self.norm],
            "clip_min": 0.0,
            "clip_max": 1.0,
            "y": labels,
            "targeted": self.targeted,
            "sanity_checks": False,  # NumPy on tensors; the engine's inputs are checked already
        }


@plugin
class CleverHansFgsm(_CleverHans):
    """Fast gradient method (Goodfellow, Shlens & Szegedy 2015)."""

    eps: float = option(
        "radius of the ball, in the unit of the norm", default=0.1, ge=0, trace="input"
    )
    norm: Literal["linf", "l2", "l1"] = option("norm of the ball", default="linf")
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        return fast_gradient_method(**self._common(classifier, images, labels))


class _Iterative(_CleverHans):
    """The iterated attacks' loop options."""

    eps_iter: float | None
    nb_iter: int

    def __post_init__(self) -> None:
        if self.eps_iter is not None and self.eps_iter > self.eps:
            raise ValueError(f"eps_iter: expected at most eps ({self.eps}), as CleverHans asks")

    def _loop(self) -> dict[str, Any]:
        step = min(self.eps, 2.5 * self.eps / self.nb_iter)
        return {
            "eps_iter": step if self.eps_iter is None else self.eps_iter,
            "nb_iter": tf.constant(self.nb_iter),
        }


@plugin
class CleverHansBim(_Iterative):
    """Basic iterative method (Kurakin, Goodfellow & Bengio 2017): PGD from the image itself."""

    eps: float = option("radius of the ball, in the unit of the norm", default=0.1, ge=0)
    eps_iter: float | None = option("step size; none: 2.5 · eps / nb_iter", default=None, ge=0)
    nb_iter: int = option("steps", default=40, ge=1)
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        return basic_iterative_method(**self._common(classifier, images, labels), **self._loop())


@plugin
class CleverHansPgd(_Iterative):
    """Projected gradient descent, with or without a random start."""

    eps: float = option("radius of the ball, in the unit of the norm", default=0.1, ge=0)
    eps_iter: float | None = option("step size; none: 2.5 · eps / nb_iter", default=None, ge=0)
    nb_iter: int = option("steps", default=40, ge=1)
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")
    rand_init: bool = option(
        "start at a random point of the ball of radius rand_minmax", default=True
    )
    rand_minmax: float | None = option(
        "radius of the ball of random starts; none: eps", default=None, ge=0
    )
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        with _starts(image_seeds(seed, tf.shape(images)[0])):
            return cleverhans_pgd.projected_gradient_descent(
                **self._common(classifier, images, labels),
                **self._loop(),
                rand_init=self.rand_init,
                rand_minmax=self.rand_minmax,
            )


@plugin
class CleverHansMadry(_Iterative):
    """The attack of Madry et al. (2018): PGD from a random start."""

    eps: float = option("radius of the ball, in the unit of the norm", default=0.1, ge=0)
    eps_iter: float | None = option("step size; none: 2.5 · eps / nb_iter", default=None, ge=0)
    nb_iter: int = option("steps", default=40, ge=1)
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")
    rand_minmax: float = option(
        "radius of the ball of random starts, at most eps", default=0.3, ge=0
    )
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        with _starts(image_seeds(seed, tf.shape(images)[0])):
            return madry_et_al(
                **self._common(classifier, images, labels),
                **self._loop(),
                rand_minmax=self.rand_minmax,
            )


@plugin
class CleverHansMim(_Iterative):
    """Momentum iterative method (Dong et al. 2018)."""

    eps: float = option("radius of the ball, in the unit of the norm", default=0.3, ge=0)
    eps_iter: float | None = option("step size; none: 2.5 · eps / nb_iter", default=0.06, ge=0)
    nb_iter: int = option("steps", default=10, ge=1)
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")
    decay_factor: float = option("decay of the momentum", default=1.0, ge=0)
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        return momentum_iterative_method(
            **self._common(classifier, images, labels),
            **self._loop(),
            decay_factor=self.decay_factor,
        )


def _starts(seeds: Seeds) -> Any:
    """Return a context in which CleverHans draws its random starts from the images' own seeds."""

    def draw(shape: Any, order: float, radius: Any, **_: Any) -> Images:
        return confined(ball(_NAMES[order]).draw(seeds, shape[1:], radius))

    return mock.patch.object(cleverhans_pgd, "random_lp_vector", draw)
