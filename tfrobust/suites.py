"""Named lists of attacks and of shifts, and the noise that evaluations show beside attacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tfrobust.errors import UsageError, did_you_mean
from tfrobust.registry import create

if TYPE_CHECKING:  # the command line asks for names before TensorFlow is imported
    from tfrobust.attack import Attack
    from tfrobust.scenario import Shift

# Names and options only: the core imports no plugin.
SUITES: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "fast": (
        ("fgsm", {}),
        ("pgd", {}),
        ("deepfool", {"norm": "linf"}),  # the others' norm, so that one `--eps` fits all
        ("square", {"queries": 500}),
    ),
    "standard": (("autoattack", {}), ("cw_l2", {}), ("gaussian_noise", {})),
}
# Made of shifts, each at every severity: the fifteen of ImageNet-C, in the paper's order.
SHIFT_SUITES: dict[str, tuple[str, ...]] = {
    "corruptions": (
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
        "snow",
        "frost",
        "fog",
        "brightness",
        "contrast",
        "elastic_transform",
        "pixelate",
        "jpeg_compression",
    ),
}
SEVERITIES = (1, 2, 3, 4, 5)
_DENSE = ("l2", "l1")  # norms that noise may be measured in, beside its own
_BASELINES = ("gaussian_noise", "uniform_noise", "contrast", "gaussian_blur")


def names_in(suite: str) -> list[str]:
    """Return the names of a suite's attacks.

    Raises:
        UsageError: there is no such suite, or it is made of shifts.

    Example:
        >>> names_in("fast")
        ['fgsm', 'pgd', 'deepfool', 'square']
    """
    if suite in SHIFT_SUITES:
        raise UsageError(f"suite {suite!r} is made of shifts, not of attacks")
    if suite not in SUITES:
        known = [*SUITES, *SHIFT_SUITES]
        raise UsageError(
            f"no suite {suite!r}{did_you_mean(suite, known)} (there are: {', '.join(known)})"
        )
    return [name for name, _ in SUITES[suite]]


def options_in(suite: str) -> dict[str, dict[str, Any]]:
    """Return the options that a suite gives its attacks, by name; see `names_in`."""
    names_in(suite)
    return dict(SUITES[suite])


def suite(name: str) -> list[Attack]:
    """Build the attacks of a suite.

    `fast` takes minutes and tells whether a model is fragile; `standard` is what to publish.

    Raises:
        UsageError: there is no such suite.

    Example:
        >>> [attack.eps for attack in suite("fast")]
        [0.1, 0.1, None, 0.1]
    """
    return [create("attacks", each, **options) for each, options in options_in(name).items()]


def corruptions() -> dict[str, list[Shift]]:
    """Build the shifts of the suite `corruptions`: name → one a severity, the mildest first.

    Raises:
        UsageError: the plugin that brings one is not installed.

    Example:
        >>> [shift.severity for shift in corruptions()["fog"]]
        [1, 2, 3, 4, 5]
    """
    return {
        name: [create("shifts", name, severity=severity) for severity in SEVERITIES]
        for name in SHIFT_SUITES["corruptions"]
    }


def baselines(attacks: Iterable[Attack]) -> Sequence[Attack]:
    """Build the noise that an evaluation shows beside its attacks: none of it is adversarial.

    Where the attacks have a budget in the norm of a noise, or one that it may be measured in, the
    noise has the largest of them: an attack that does not beat noise of its own size has not been
    tried. Noise that is among the
    attacks is not shown twice, and beside no attack there is none.

    Example:
        >>> [noise.eps for noise in baselines([create("attacks", "pgd", eps=0.2)])][1]
        0.2
    """
    from tfrobust.options import has_option  # pydantic takes its time, and names do not need it

    attacks = list(attacks)
    budgets: dict[str | None, float] = {}
    for attack in attacks:
        if attack.budget is not None:
            norm = attack.threat.norm
            budgets[norm] = max(attack.budget, budgets.get(norm, 0.0))
    built: list[Attack] = []
    for name in _BASELINES if attacks else ():
        noise = create("attacks", name)
        if noise.threat.norm in budgets:
            noise = create("attacks", name, eps=budgets[noise.threat.norm])
        elif has_option(noise, "norm") and (others := [each for each in budgets if each in _DENSE]):
            noise = create("attacks", name, eps=budgets[others[0]], norm=others[0])
        built.append(noise)
    return [noise for noise in built if noise not in attacks]
