"""The `Attack` contract and the threat model it is made under."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, get_args

from tfrobust.classifier import Classifier
from tfrobust.errors import PluginError, UsageError
from tfrobust.norms.distances import widest
from tfrobust.options import option, plugin, refuse_former_names
from tfrobust.registry import name_of
from tfrobust.types import Images, Knowledge, Labels, Norm, RegionName, Seed

_FORMER_NAMES = {
    "helps": "`corrective = True`",
    "replaces": "`ignores_input = True`",
    "aim": "the property `target_class`",
}


@dataclasses.dataclass(frozen=True)
class Threat:
    """What the attacker knows and may do.

    Attributes:
        knowledge: `white-box` (gradients), `score` (logits), `decision` (the predicted class) or
            `none` (the attack never looks at the classifier).
        norm: in which the perturbation is bounded or minimised; `None` if in no norm.
        targeted: whether a given class must be reached, not just the label be left.
    """

    knowledge: Knowledge
    norm: Norm | None
    targeted: bool = False

    def __post_init__(self) -> None:
        for field, allowed in (("knowledge", get_args(Knowledge)), ("norm", get_args(Norm))):
            value = getattr(self, field)
            if value not in allowed and not (field == "norm" and value is None):
                raise PluginError(
                    f"threat: {field}: expected one of {', '.join(allowed)}; received: {value!r}"
                )


@dataclasses.dataclass(frozen=True)
class Strength:
    """The option that sets the strength of an attack without a norm bound; 0 changes nothing.

    Attributes:
        option: the name of the option.
        sign: the prefix of its value in tables, such as `σ =`.
        label: the axis label of curves over it.
    """

    option: str
    sign: str
    label: str


class Attack(abc.ABC):
    """Turns images into adversarial images; claims nothing about success.

    A subclass is decorated with `tfrobust.plugin`; its fields are its options. A *fixed-budget*
    attack has a field `eps`, the radius of the ball in `threat.norm`, and maximises a loss inside
    it. A *minimum-norm* attack minimises the distance instead; its `eps`, if it has one, is the
    budget it is judged at (`None`: any distance). An attack may also have a field `region`; see
    `RegionalAttack`.

    The options that the engine asks for are declared here with what they are where an attack does
    not have them; `tfrobust.options.has_option` tells whether it does.

    Attributes:
        eps: the budget, in the unit of `threat.norm`; `None`: unbounded.
        region: which pixels may change; see `RegionalAttack`.
        early_stop: whether it leaves an image alone once it is adversarial; an option of iterative
            attacks.
        samples: calls of a stochastic classifier to average; an option. `None`: 20 where the attack
            needs gradients, and otherwise one.
        targeted: whether a given class is to be reached.
        minimum_norm: which of the two.
        eager: set it where the attack cannot run in `tf.function` (NumPy inside, an HTTP call).
        autograph: set it where Python's `if` or `for` runs over tensors; converting the code takes
            longer than tracing it.
        corrective: set it where the attack wants the classifier to be right. Its `accuracy` is then
            that of the images it returns, an image it corrects is a success, and the worst case
            leaves it out.
        ignores_input: set it where nothing of the image remains in the result, so that its label no
            longer applies: trainings refuse it.
        takes_starts: set it where the attack begins at the points that are held for it, if there
            are any; see `tfrobust.engine.starts`.
        strength: set it where the attack is bounded in no norm and has an option that says how
            strong it is; reports show it, and draw a curve over it.

    Example:
        >>> @plugin
        ... class Darken(Attack):
        ...     eps: float = option("how much darker", default=0.1, ge=0, le=1)
        ...     @property
        ...     def threat(self):
        ...         return Threat(knowledge="none", norm="linf")
        ...     def __call__(self, classifier, images, labels, *, seed):
        ...         return tf.maximum(images - self.eps, 0.0)
    """

    eps: float | None = None
    region: RegionName = "all"
    samples: int | None = None
    early_stop: bool = False
    targeted: bool = False

    minimum_norm: ClassVar[bool] = False
    eager: ClassVar[bool] = False
    autograph: ClassVar[bool] = False
    corrective: ClassVar[bool] = False
    ignores_input: ClassVar[bool] = False
    takes_starts: ClassVar[bool] = False
    strength: ClassVar[Strength | None] = None

    def __init_subclass__(cls, **given: Any) -> None:
        """Refuse the names of an earlier release.

        Raises:
            PluginError: says what to write instead.
        """
        super().__init_subclass__(**given)
        refuse_former_names(cls, "an attack", _FORMER_NAMES)

    @property
    @abc.abstractmethod
    def threat(self) -> Threat:
        """The threat model, as these options set it."""

    @property
    def budget(self) -> float | None:
        """The largest norm that counts, in the unit of `threat.norm`; `None` if unbounded."""
        return self.eps

    @property
    def target_class(self) -> int | None:
        """The one class that a targeted attack aims at; `None`: it takes any targets."""
        return None

    def continued(self) -> Attack:
        """Return the attack as it goes on from where it ended at a smaller budget.

        An attack that `takes_starts` needs fewer steps there; any other one is the same.
        """
        return self

    @property
    def needs_gradients(self) -> bool:
        """Whether it differentiates the classifier it is called with."""
        return self.threat.knowledge == "white-box"

    @property
    def needs_boxes(self) -> bool:
        """Whether it changes only a part of each image, which boxes mark."""
        return self.region != "all"

    def check(self, classifier: Classifier) -> None:
        """Refuse options that do not fit a classifier; called once before any image is attacked.

        Raises:
            UsageError: a budget larger than any perturbation can be. A subclass that asks for more
                calls this first.
        """
        _check_budget(self, classifier.image_shape)

    @abc.abstractmethod
    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Seed
    ) -> Images:
        """Return adversarial images.

        Args:
            classifier: the classifier to fool.
            images: float32 `(batch, height, width, channels)` in [0, 1].
            labels: int64 `(batch,)`: the true classes; for a targeted attack, those to reach.
            seed: an integer, or int32 `(batch, 2)` with one stateless seed an image
                (see `tfrobust.random`). Nothing else may be random.

        Returns:
            float32 images of the same shape. Where no adversarial image was found, any image that
            keeps to the ball and to [0, 1].
        """


@plugin
class RegionalAttack(Attack):
    """An attack that can be confined to the pixels in an image's boxes, or to those outside.

    `run_attack` confines it: the classifier shows the clean image elsewhere, and elsewhere the
    image comes back as it was, bit for bit. See `tfrobust.engine.regions`. `foreground` and
    `background` share one trace, so a traced attack cannot read `region`; one that has to declares
    the option itself, with `trace="constant"`.
    """

    region: RegionName = option(
        "pixels that may change: all, inside the boxes, or outside",
        default="all",
        trace="unused",
    )


@plugin
class GradientAttack(RegionalAttack):
    """The options that all attacks by gradients share."""

    samples: int = option("gradients to average if the classifier is stochastic", default=20, ge=1)


@dataclasses.dataclass(frozen=True, eq=False)
class WrappedAttack(Attack):
    """An attack around another one, with that attack's name and threat model.

    It has no options of its own, and answers with the wrapped attack's for all that the contract
    declares apart from `check`, `continued` and `__call__` (`FORWARDED`); a subclass overrides what
    it changes.

    Attributes:
        wrapped: the attack with its options.

    Example:
        >>> class Rounded(WrappedAttack):
        ...     def __call__(self, classifier, images, labels, *, seed):
        ...         crafted = self.wrapped(classifier, images, labels, seed=seed)
        ...         return tf.round(255 * crafted) / 255
    """

    wrapped: Attack

    @property
    def __wrapped__(self) -> Attack:
        """The wrapped plugin, whose name this attack has."""
        return self.wrapped

    @property
    def threat(self) -> Threat:
        """The wrapped attack's threat model."""
        return self.wrapped.threat

    def check(self, classifier: Classifier) -> None:
        """Refuse what the wrapped attack refuses."""
        self.wrapped.check(classifier)

    def continued(self) -> Attack:
        """Return the wrapper around the wrapped attack as it goes on."""
        return dataclasses.replace(self, wrapped=self.wrapped.continued())


class _OfWrapped:
    """An attribute of the wrapped attack; of the class, what `Attack` declares.

    No property: a subclass may have a field of the same name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: WrappedAttack | None, owner: type) -> Any:
        return getattr(Attack if instance is None else instance.wrapped, self._name)


# What a wrapper takes over from the attack inside, apart from its threat model.
FORWARDED = (
    "eps",
    "region",
    "samples",
    "early_stop",
    "targeted",
    "minimum_norm",
    "eager",
    "autograph",
    "corrective",
    "ignores_input",
    "takes_starts",
    "strength",
    "budget",
    "target_class",
    "needs_gradients",
    "needs_boxes",
)
for _name in FORWARDED:
    setattr(WrappedAttack, _name, _OfWrapped(_name))


def _check_budget(attack: Attack, image_shape: tuple[int, ...]) -> None:
    height, width, channels = image_shape
    norm, budget = attack.threat.norm, attack.budget
    if norm is None or budget is None or budget <= (most := widest(norm, image_shape)):
        return
    hint = "; pixels run from 0 to 1: divide by 255?" if norm == "linf" else ""
    raise UsageError(
        f"{name_of(attack)}: eps: no two images of shape {height}×{width}×{channels} are farther "
        f"apart than {most:g} in {norm}; received: {budget:g}{hint}"
    )
