"""Signs that an attack failed for want of a gradient, and not because a classifier withstood it."""

from __future__ import annotations

from collections.abc import Sequence

from tfrobust import suites
from tfrobust.results.attack_records import AttackResult

_WORTH_NOTING = 0.01  # of the images


def gradient_warnings(classifier: str, attacks: Sequence[AttackResult]) -> list[str]:
    """Return a line for every attack whose gradients were zero, NaN or infinite at 1 % of images.

    Args:
        classifier: its name.
        attacks: what they did to it; of one at several budgets the worst counts.

    Example:
        >>> gradient_warnings("signs", evaluation.attacks)
        ['pgd on signs: gradients vanish at 100 % of the images; a white-box figure says nothing
        here; try square, hopskipjump']
    """
    lines = []
    for name in dict.fromkeys(attack.name for attack in attacks):
        shares = [a.gradients for a in attacks if a.name == name and a.gradients is not None]
        signs = [
            f"{what} at {_percent(worst)} of the images"
            for what, worst in (
                ("gradients vanish", max((s.zero for s in shares), default=0.0)),
                ("gradients are no numbers", max((s.non_finite for s in shares), default=0.0)),
            )
            if worst >= _WORTH_NOTING
        ]
        if signs:
            lines.append(
                f"{name} on {classifier}: {' and '.join(signs)}; a white-box figure says nothing "
                f"here; try {', '.join(suites.gradient_free()) or 'an attack without gradients'}"
            )
    return lines


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
