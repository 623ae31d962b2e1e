"""A diagnosis as tables, and as a page of its own."""

from __future__ import annotations

from collections.abc import Sequence

from tfrobust.norms.titles import NORM_TITLES
from tfrobust.report.headline import LIGHTS, UNLIT, Headline
from tfrobust.report.tables import Table
from tfrobust.report.templates import html_templates
from tfrobust.results.diagnosis import Diagnosis
from tfrobust.results.findings import Finding, Remedy, Signs, Verdict
from tfrobust.results.proportions import Proportion

PAGE = "diagnosis.html"


def render_diagnosis(diagnosis: Diagnosis) -> str:
    """Return the page of a diagnosis; everything that came from outside is escaped."""
    return (
        html_templates()
        .get_template("diagnosis.html.j2")
        .render(
            diagnosis=diagnosis,
            headline=light(diagnosis),
            accuracies=[
                {"title": what, "share": p.accuracy, "interval": p.interval, "says": said}
                for (what, said), p in zip(
                    accuracies(diagnosis),
                    (diagnosis.clean, diagnosis.attacked, diagnosis.lowest),
                    strict=True,
                )
            ],
            findings=[(finding, remedied(finding.remedy)) for finding in diagnosis.findings],
            ball=ball_of(diagnosis),
        )
    )


def headline(diagnosis: Diagnosis) -> str:
    """Return what a diagnosis comes to, in a sentence.

    Example:
        >>> headline(diagnosis)
        'masked: gradients are zero. pgd leaves 86 %, an attacker who knows at most 5 %'
    """
    before, after = diagnosis.attacked.accuracy, diagnosis.lowest.accuracy
    if diagnosis.verdict is Verdict.NOT_APPLICABLE:
        return f"no check could be made: {diagnosis.attack} leaves {_percent(before)}"
    if diagnosis.verdict is Verdict.FINE:
        return (
            f"nothing suspicious: {diagnosis.attack} leaves {_percent(before)}, all attacks of the "
            f"checks together {_percent(after)}"
        )
    return (
        f"{diagnosis.verdict}: {'; '.join(diagnosis.causes)}. {diagnosis.attack} leaves "
        f"{_percent(before)}, an attacker who knows at most {_percent(after)}"
    )


def light(diagnosis: Diagnosis) -> Headline:
    """Return what a diagnosis comes to as the headline of its page, with its traffic light."""
    before, after = diagnosis.attacked.accuracy, diagnosis.lowest.accuracy
    verdicts = [finding.verdict for finding in diagnosis.findings]
    skipped = verdicts.count(Verdict.NOT_APPLICABLE)
    trust = f"{verdicts.count(Verdict.FINE)} of {len(verdicts) - skipped} checks are fine"
    if diagnosis.causes:
        trust = f"{'; '.join(diagnosis.causes)}; {trust}"
    if skipped == len(verdicts):
        trust = "no check could be made"
    colour, sign, word = LIGHTS.get(diagnosis.verdict, UNLIT)
    return Headline(
        f"{diagnosis.attack} leaves {_percent(before)}, "
        + (
            f"all attacks of the checks together {_percent(after)}"
            if diagnosis.verdict in (Verdict.FINE, Verdict.NOT_APPLICABLE)
            else f"an attacker who knows at most {_percent(after)}"
        ),
        f"{trust}.",
        colour,
        sign,
        word,
    )


def ball_of(diagnosis: Diagnosis) -> str:
    """Return the ball as text, such as `L∞, ε = 0.1`."""
    return f"{NORM_TITLES[diagnosis.norm]}, ε = {diagnosis.eps:g}"


def accuracies(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Return clean accuracy, that under the attack, and the lowest one, with their intervals."""
    return [
        ("clean", _with_interval(diagnosis.clean)),
        (f"under {diagnosis.attack}", _with_interval(diagnosis.attacked)),
        ("under all attacks of the checks", _with_interval(diagnosis.lowest)),
    ]


def finding_table(findings: Sequence[Finding], title: str = "Diagnosis") -> Table:
    """Return a row a check: its verdict, what it says, and what was done about it."""
    return Table(
        title=title,
        columns=("check", "verdict", "what it says", "what was done"),
        sections=[[(f.check, str(f.verdict), f.says, remedied(f.remedy)) for f in findings]],
    )


def signs_table(signs: Signs, classifier: str) -> Table:
    """Return a row a check that was made beside an evaluation."""
    return Table(
        title=f"Signs of masked gradients: {classifier}",
        columns=("check", "verdict", "what it says"),
        sections=[[(f.check, str(f.verdict), f.says) for f in signs.findings]],
        caption="from a few passes and no attack; `tfrobust diagnose` makes every check, and runs "
        "the attacks that the findings call for",
    )


def remedied(remedy: Remedy | None) -> str:
    """Return what was done about a finding, and what it left."""
    if remedy is None:
        return ""
    follows = f" ({remedy.follows})" if remedy.follows else ""
    return f"{remedy.attack}{follows}: {_percent(remedy.before)} → {_percent(remedy.after)}"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def _with_interval(proportion: Proportion) -> str:
    low, high = proportion.interval
    return f"{_percent(proportion.accuracy)} ({_percent(low)} to {_percent(high)})"
