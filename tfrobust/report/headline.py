"""What a run comes to, in a sentence: the first thing that a page says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tfrobust.norms.titles import NORM_TITLES
from tfrobust.report.conditions import Figure, figures_of
from tfrobust.report.tables import scenario_title
from tfrobust.results.findings import Verdict
from tfrobust.results.kinds import is_unlimited
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation, Results
from tfrobust.types import Norm

_MOST_NAMED = 4  # classifiers in a sentence
_Budget = tuple[Norm | None, float | None]
_Worst = dict[_Budget, Figure]
LIGHTS = {  # verdict → the light, a sign and a word for those who see no colours
    Verdict.FINE: ("good", "✔", "nothing suspicious"),
    Verdict.SUSPECT: ("warn", "▲", "suspicious"),
    Verdict.MASKED: ("bad", "✖", "masked"),
}
UNLIT = ("none", "○", "not known")  # where not everything was looked at


@dataclasses.dataclass(frozen=True)
class Headline:
    """The headline of a page.

    Attributes:
        says: the figures, in a sentence.
        trust: whether they can be believed, in a sentence.
        light: `good`, `warn` or `bad`; `none` where nothing was looked for.
        sign: of the light, for those who see no colours.
        word: of the light.
    """

    says: str
    trust: str
    light: str
    sign: str
    word: str


def headline(results: Results, outcomes: Outcomes) -> Headline:
    """Return what a run comes to.

    The budget is the one at which the classifiers differ most; of a single classifier, the one
    whose worst case is nearest to a half.

    Args:
        results: of an evaluation without corruptions.
        outcomes: of the same run.
    """
    evaluations = results.unshifted
    attacked = [e for e in evaluations if e.attacks or e.adaptive] or evaluations
    worst = [
        {
            (figure.norm, figure.eps): figure
            for figure in figures_of(number, evaluation, outcomes)
            if figure.what == "accuracy"
        }
        for number, evaluation in enumerate(evaluations)
        if evaluation in attacked
    ]
    gravest = _gravest(evaluations)
    light, sign, word = LIGHTS.get(gravest, UNLIT)
    return Headline(_figures(attacked, worst), _trust(evaluations), light, sign, word)


def _gravest(evaluations: Sequence[Evaluation]) -> Verdict:
    """Return the gravest verdict; fine only where something was looked for everywhere."""
    verdicts = [e.signs.verdict if e.signs else Verdict.NOT_APPLICABLE for e in evaluations]
    order = (Verdict.MASKED, Verdict.SUSPECT, Verdict.NOT_APPLICABLE, Verdict.FINE)
    return min(verdicts, key=order.index)


def _unseen(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return the names of the classifiers of which nothing is known."""
    seen = (e.signs is not None and e.signs.verdict in LIGHTS for e in evaluations)
    return [e.classifier.name for e, known in zip(evaluations, seen, strict=True) if not known]


def _figures(evaluations: Sequence[Evaluation], worst: Sequence[_Worst]) -> str:
    images = f"{evaluations[0].scenario.images:,} images of {scenario_title(evaluations[0])}"
    shared = set.intersection(*(set(figures) for figures in worst)) if worst else set()
    if not shared:
        clean = "; ".join(f"{e.classifier.name} {_percent(e.clean.accuracy)}" for e in evaluations)
        return f"Clean accuracy on {images}: {clean}; no attack was run"
    if all(is_unlimited(attack) for e in evaluations for attack in (*e.attacks, *e.adaptive)):
        return _distances(evaluations, images)
    key = _most_telling(shared, worst)
    ranked = sorted(
        zip(evaluations, (figures[key] for figures in worst), strict=True),
        key=lambda pair: -pair[1].share.accuracy,
    )
    (best, figure), *others = ranked
    low, high = figure.share.interval
    ball = "" if figure.eps is None else f" at {NORM_TITLES[figure.norm]} ≤ {figure.eps:g}"  # type: ignore[index]
    said = (
        f"{best.classifier.name} keeps {_percent(figure.share.accuracy)}{ball} "
        f"(95 %: {100 * low:.1f} to {100 * high:.1f})"
    )
    for evaluation, other in others[: _MOST_NAMED - 1]:
        said += f", {evaluation.classifier.name} {_percent(other.share.accuracy)}"
    if len(others) >= _MOST_NAMED:
        said += f", and {len(others) - _MOST_NAMED + 1} more"
    return f"{said}, of {images}{_weakest(best, figure)}"


def _distances(evaluations: Sequence[Evaluation], images: str) -> str:
    """Return how far attacks went that go as far as it takes."""
    said = [
        f"{e.classifier.name} {attack.distance[attack.threat.norm].median:.3g} "
        f"({NORM_TITLES[attack.threat.norm]}, {attack.name})"
        for e in evaluations
        for attack in (*e.attacks, *e.adaptive)
        if attack.threat.norm and attack.distance[attack.threat.norm].median is not None
    ]
    return f"Median distance of the adversarial images, on {images}: {', '.join(said) or 'none'}"


def _most_telling(shared: set[_Budget], worst: Sequence[_Worst]) -> _Budget:
    """Return the budget at which classifiers differ most; ties go to the one nearest to a half."""

    def telling(key: _Budget) -> tuple[bool, float, float, str]:
        shares = [figures[key].share.accuracy for figures in worst]
        has_budget = worst[0][key].eps is not None
        return has_budget, max(shares) - min(shares), -abs(max(shares) - 0.5), str(key)

    return max(shared, key=telling)


def _weakest(evaluation: Evaluation, figure: Figure) -> str:
    """Return under which single attack at the budget least is left."""
    attacks = [
        attack
        for attack in (*evaluation.attacks, *evaluation.adaptive)
        if not (attack.corrective or is_unlimited(attack))
        and (
            figure.eps is None
            or (attack.threat.norm == figure.norm and attack.params.get("eps") == figure.eps)
        )
    ]
    if len(attacks) < 2:
        return ""
    return f"; weakest against {min(attacks, key=lambda attack: attack.accuracy).name}"


def _trust(evaluations: Sequence[Evaluation]) -> str:
    unseen = _unseen(evaluations)
    if len(unseen) == len(evaluations):
        return "No signs of masked gradients were looked for."
    unknown = f" Nothing was looked for of {', '.join(unseen)}." if unseen else ""
    lines = [
        f"{evaluation.signs_of}: {evaluation.signs.line}"
        for evaluation in evaluations
        if evaluation.signs and evaluation.signs.verdict in (Verdict.MASKED, Verdict.SUSPECT)
    ]
    if lines:
        return "; ".join(dict.fromkeys(lines)) + f".{unknown}"
    found = "A few passes find nothing suspicious"
    if unseen:
        seen = [e.classifier.name for e in evaluations if e.classifier.name not in unseen]
        found += f" in {', '.join(seen)}"
    return f"{found}; tfrobust diagnose looks closer, with attacks.{unknown}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
