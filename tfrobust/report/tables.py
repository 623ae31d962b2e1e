"""Results as plain text tables, for the terminal and for the page."""

from __future__ import annotations

import dataclasses

from tfrobust.norms.titles import NORM_TITLES
from tfrobust.report.charts.axes import strength_of
from tfrobust.results.attack_records import NORMS, AttackResult
from tfrobust.results.detectors import DetectorResult
from tfrobust.results.proportions import Proportion
from tfrobust.results.records import Evaluation, Results

Row = tuple[str, ...]
HeatRow = tuple[str, list[tuple[float, str]]]  # of a map: a title, and shares with their texts


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells, grouped into sections."""

    title: str
    columns: Row
    sections: list[list[Row]]
    caption: str = ""


def accuracy_table(results: Results) -> Table:
    """Return accuracy under every attack: a row an attack, a column a classifier."""
    evaluations = results.evaluations
    first = evaluations[0]
    crafted_on = _crafted_on_one(evaluations)
    attacks = [
        (attack_title(attack, but=crafted_on), *(percent(e.attacks[k]) for e in evaluations))
        for k, attack in enumerate(first.attacks)
    ]
    noise = [
        (
            f"{attack_title(attack)}, not adversarial",
            *(percent(e.baselines[k]) for e in evaluations),
        )
        for k, attack in enumerate(first.baselines)
    ]
    sections = [[("clean", *(percent(e.clean) for e in evaluations)), *noise]]
    if attacks:
        sections += [attacks, _worst_case_rows(evaluations)]
    images = first.scenario.images
    return Table(
        title=f"Accuracy on {images:,} images of {scenario_title(first)}",
        columns=("attack", *(e.classifier.name for e in evaluations)),
        sections=sections,
        caption="with 95 % Wilson intervals; a clean error stays an error"
        + _transferred(crafted_on, evaluations)
        + _violations(evaluations),
    )


def _crafted_on_one(evaluations: list[Evaluation]) -> str | None:
    """Return the one classifier that all attacks were crafted on, for a caption."""
    attacks = [attack for evaluation in evaluations for attack in evaluation.attacks]
    names = {attack.crafted_on for attack in attacks if _sees_a_classifier(attack)}
    return next(iter(names)) if len(names) == 1 else None


def _sees_a_classifier(attack: AttackResult) -> bool:
    return attack.threat.knowledge != "none"


def _transferred(crafted_on: str | None, evaluations: list[Evaluation]) -> str:
    """Say what all attacks were crafted on, and what that is a surrogate of."""
    if crafted_on is None:
        return ""
    attacks = [attack for evaluation in evaluations for attack in evaluation.attacks]
    imitated = {a.imitated for a in attacks if a.crafted_on == crafted_on and a.imitated}
    surrogate = "".join(f", a surrogate of {name}" for name in sorted(imitated))
    return f"; attacks crafted on {crafted_on}{surrogate}"


def _violations(evaluations: list[Evaluation]) -> str:
    """Say which attacks returned images that do not count."""
    violations = [
        f"{attack.name} on {evaluation.classifier.name}: {attack.violations}"
        for evaluation in evaluations
        for attack in evaluation.attacks
        if attack.violations
    ]
    if not violations:
        return ""
    return (
        f". VIOLATIONS, scored as failed attacks (outside the ball or NaN): {'; '.join(violations)}"
    )


def _worst_case_rows(evaluations: list[Evaluation]) -> list[Row]:
    rows = [
        (
            f"worst case, {NORM_TITLES[worst.norm]} ≤ {worst.eps:g}",
            *(percent(e.worst_case_by_budget[k]) for e in evaluations),
        )
        for k, worst in enumerate(evaluations[0].worst_case_by_budget)
    ]
    # Attacks at any distance are no part of it where others have a budget: `summaries.bounded`.
    unlimited = {a.minimum_norm and a.params.get("eps") is None for a in evaluations[0].attacks}
    title = "worst case of all" if len(unlimited) == 1 else "worst case of all with a budget"
    return [*rows, (title, *(percent(e.worst_case) for e in evaluations))]


def cost_table(results: Results) -> Table:
    """Return what each attack found and what it cost."""
    sections = []
    crafted_on = _crafted_on_one(results.evaluations)
    for evaluation in results.evaluations:
        sections.append(
            [
                (
                    evaluation.classifier.name,
                    attack_title(attack, but=crafted_on),
                    "–" if attack.success_rate is None else f"{attack.success_rate:.1%}",
                    f"{attack.fooling_ratio:.1%}",
                    *(_number(attack.distance[norm].median) for norm in NORMS),
                    f"{attack.gradients_per_image:,.1f}",
                    f"{attack.queries_per_image:,.1f}",
                    str(attack.violations),
                    f"{attack.seconds:,.1f}",
                )
                for attack in evaluation.attacks
            ]
        )
    return Table(
        title="What the attacks found, and what it cost",
        columns=(
            "classifier",
            "attack",
            "success",
            "fooling",
            *(f"median {NORM_TITLES[norm]}" for norm in NORMS),
            "gradients",
            "queries",
            "violations",
            "seconds",
        ),
        sections=sections,
        caption="success over images right before; distances over successes; costs an image"
        + _transferred(crafted_on, results.evaluations),
    )


def detector_table(results: Results) -> Table:
    """Return how well each detector tells each attack: a row a detector and attack."""
    sections: list[list[Row]] = [
        [
            (
                evaluation.classifier.name,
                detector.name,
                attacked_by(detector),
                f"{detector.auroc:.3f}",
                _over_fooling(detector),
                f"{detector.accuracy:.1%}",
                f"{detector.tpr_at_5_fpr:.1%}",
                f"{detector.clean.mean:.3g}",
                f"{detector.adversarial.mean:.3g}",
                _learned_from(detector),
            )
            for detector in evaluation.detectors
        ]
        for evaluation in results.evaluations
    ]
    return Table(
        title="What the detectors saw",
        columns=(
            "classifier",
            "detector",
            "attack",
            "AUROC",
            "of fooling",
            "accuracy",
            "caught at 5 %",
            "clean score",
            "attacked score",
            "learned from",
        ),
        sections=sections,
        caption="fitted on training images, judged on fresh ones, as many clean as attacked; "
        "of fooling: AUROC over the attacked images that fooled the classifier, and how many; "
        "scores are means",
    )


def attacked_by(detector: DetectorResult) -> str:
    """Return the attack that a detector looked for, with its budget: `pgd L∞ ≤ 0.1`."""
    if detector.eps is None:
        return detector.attack
    norm = f" {NORM_TITLES[detector.norm]}" if detector.norm else ""
    return f"{detector.attack}{norm} ≤ {detector.eps:g}"


def _over_fooling(detector: DetectorResult) -> str:
    """Return the AUROC over images that fooled the classifier, and their number."""
    fooled = detector.fooled
    if fooled is None:  # older results do not tell
        return "–"
    auroc = "–" if fooled.auroc is None else f"{fooled.auroc:.3f}"
    return f"{auroc} ({fooled.images} of {detector.attacked})"


def _learned_from(detector: DetectorResult) -> str:
    """Return which attacked training images a detector was fitted on."""
    if detector.fitted_on is None:
        return "–"
    kind = "fooling" if detector.fitted_on.only_fooling else "attacked"
    return f"{detector.fitted_on.adversarial} {kind}"


def scenario_title(evaluation: Evaluation) -> str:
    """Return `cifar10+fog (test)`."""
    scenario = evaluation.scenario
    shift = f"+{scenario.shift}" if scenario.shift else ""
    return f"{scenario.name}{shift} ({scenario.split})"


def attack_title(attack: AttackResult, *, but: str | None = None) -> str:
    """Return an attack with what sets it apart: `pgd  L∞ ≤ 0.1`.

    Args:
        attack: what it did.
        but: the classifier that its caption says it was crafted on.
    """
    region = attack.params.get("region", "all")
    where = "" if region == "all" else f", {region} only"
    targeted = ", targeted" if attack.threat.targeted else ""
    obvious = attack.crafted_on in (None, but) or not _sees_a_classifier(attack)
    transfer = "" if obvious else f", crafted on {attack.crafted_on}"
    return f"{attack.name} {_how_strong(attack)}".rstrip() + where + targeted + transfer


def _how_strong(attack: AttackResult) -> str:
    """Return an attack's budget, or what it declares as its strength."""
    norm, eps = attack.threat.norm, attack.params.get("eps")
    if eps is not None:
        return f" {NORM_TITLES[norm] if norm else ''} ≤ {eps:g}"
    if norm:
        return f" {NORM_TITLES[norm]}, any distance"
    strength = strength_of(attack.name)
    value = attack.params.get(strength.option) if strength else None
    if strength is None or not isinstance(value, int | float | list):
        return ""
    return f" {strength.sign} {value}" if isinstance(value, list) else f" {strength.sign} {value:g}"


def percent(share: Proportion) -> str:
    """Return an accuracy with its interval: `41.0% [36.0%, 46.0%]`."""
    low, high = share.interval
    return f"{share.accuracy:.1%} [{low:.1%}, {high:.1%}]".replace("%,", ",").replace("%]", "]")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
