"""A gate: does a run hold what is asked of it? For continuous integration, and for releases."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfrobust.errors import UsageError
from tfrobust.report.comparison import Comparison, compare
from tfrobust.report.conditions import Condition, Figure, figures_of
from tfrobust.report.tables import Table, percent, scenario_title
from tfrobust.results.diagnosis import Diagnosis
from tfrobust.results.findings import Verdict
from tfrobust.results.records import Evaluation, Results
from tfrobust.results.run_files import read_results, read_run


@dataclasses.dataclass(frozen=True)
class Checked:
    """Whether one thing that was asked holds.

    Attributes:
        classifier: of which.
        asked: what, as it was typed.
        found: what the run has instead.
        holds: whether it is enough.
    """

    classifier: str
    asked: str
    found: str
    holds: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """What is asked of a run.

    Attributes:
        conditions: of its figures, of every classifier.
        confident: whether the whole 95 % interval has to be on the right side.
        baseline: an earlier run on the same images; `None`: nothing is compared.
        max_drop: by how much any accuracy may be below the baseline's, as a share.
        no_masking: whether nothing may be found masked, by the run or by a diagnosis.
        diagnoses: of classifiers of the run.

    Raises:
        UsageError: nothing is asked.

    Example:
        >>> gate = Gate(conditions=(read_condition("accuracy@linf=0.1 >= 0.4"),))
        >>> [checked.holds for checked in gate.check("runs/d1")]
        [True]
    """

    conditions: Sequence[Condition] = ()
    confident: bool = False
    baseline: Path | None = None
    max_drop: float = 0.0
    no_masking: bool = False
    diagnoses: Sequence[Diagnosis] = ()

    def __post_init__(self) -> None:
        if not (self.conditions or self.baseline or self.no_masking):
            raise UsageError(
                "check: expected something to check: --min, --max-drop-from or --no-masking"
            )
        if self.diagnoses and not self.no_masking:
            raise UsageError("--diagnosis: expected --no-masking too, which looks at it")
        if not 0 <= self.max_drop <= 1:
            raise UsageError(
                f"--max-drop-from: expected a share from 0 to 1; received: {self.max_drop:g}"
            )

    def check(self, run: Path | str) -> list[Checked]:
        """Return everything that was asked of a run, and whether it holds.

        Raises:
            UsageError: the run lacks what is asked about, or is of other images than the baseline.
            StoreError: a file is missing, damaged or of an older version.
        """
        folder = Path(run)
        results, outcomes = read_run(folder)
        self._check_diagnoses(results)
        checked = [*_complete(results)]
        for number, evaluation in enumerate(results.evaluations):
            figures = list(figures_of(number, evaluation, outcomes))
            for condition in self.conditions:
                checked += self._asked(condition, figures, evaluation.classifier.name)
            if self.no_masking:
                checked += _masking(evaluation, self.diagnoses)
        if self.baseline and not results.incomplete:
            checked += _drops(compare(self.baseline, folder), self.max_drop)
        return checked

    def _check_diagnoses(self, results: Results) -> None:
        names = [evaluation.classifier.name for evaluation in results.evaluations]
        for diagnosis in self.diagnoses:
            if diagnosis.classifier not in names:
                raise UsageError(
                    f"--diagnosis: expected one of {', '.join(names)}; received: one of "
                    f"{diagnosis.classifier}"
                )

    def _asked(
        self, condition: Condition, figures: Sequence[Figure], classifier: str
    ) -> Iterator[Checked]:
        for figure in condition.of(figures, classifier):
            share = figure.share
            judged = condition.end(share) if self.confident else share.accuracy
            found = f"{figure.name} {percent(share)}"
            yield Checked(classifier, condition.text, found, condition.holds(judged))


def _complete(results: Results) -> Iterator[Checked]:
    """Yield a failure where images are missing: no figure is of what was asked."""
    if results.incomplete:
        missing = sum(part.stop - part.start for part in results.incomplete)
        name = results.evaluations[0].classifier.name
        yield Checked(name, "every image", f"{missing} images are missing", holds=False)


def _masking(evaluation: Evaluation, diagnoses: Sequence[Diagnosis]) -> Iterator[Checked]:
    name, signs = evaluation.classifier.name, evaluation.signs
    own = [diagnosis for diagnosis in diagnoses if diagnosis.classifier == name]
    if signs is None and not own:
        yield Checked(
            name,
            "no masking",
            "nothing was looked for; evaluate with --attack and without --no-diagnosis, or give "
            "--diagnosis, as an endpoint needs it",
            False,
        )
    if signs is not None:
        seen = evaluation.signs_of
        said = signs.line if seen == name else f"{seen}, which the attacks saw: {signs.line}"
        unmasked = own and signs.verdict is not Verdict.MASKED
        yield Checked(name, "no masking", said, _looked(signs.verdict) or bool(unmasked))
    for diagnosis in own:
        said = ", ".join(diagnosis.causes) or "nothing suspicious found"
        if diagnosis.verdict is Verdict.NOT_APPLICABLE:
            said = "no check could be made"
        yield Checked(name, "no masking (diagnosis)", said, _looked(diagnosis.verdict))


def _looked(verdict: Verdict) -> bool:
    """Return whether checks were made, and none found masked gradients."""
    return verdict in (Verdict.FINE, Verdict.SUSPECT)


def _drops(comparison: Comparison, most: float) -> Iterator[Checked]:
    for classifier, what in comparison.missing:
        yield Checked(classifier, f"{what}, as in the baseline", "not in this run", False)
    for one in comparison.differences:
        yield Checked(
            one.classifiers[1],
            f"{one.what}: drop ≤ {100 * most:g} points",
            f"{100 * one.change:+.1f} points from {percent(one.first)} "
            f"({one.gained} gained, {one.lost} lost, p = {one.p:.2g})",
            one.change >= -most - 1e-9,
        )


def table_of(run: Path, checked: Sequence[Checked]) -> Table:
    """Return a row for each thing that was asked; failures first."""
    ordered = sorted(checked, key=lambda one: one.holds)
    failed = sum(not one.holds for one in checked)
    results = read_results(run)
    return Table(
        title=f"{run} on {scenario_title(results.evaluations[0])}: "
        + (f"{failed} of {len(checked)} do not hold" if failed else f"all {len(checked)} hold"),
        columns=("classifier", "asked", "found", ""),
        sections=[
            [
                (one.classifier, one.asked, one.found, "holds" if one.holds else "FAILS")
                for one in ordered
            ]
        ],
    )


def junit_of(run: Path, checked: Sequence[Checked]) -> str:
    """Return JUnit's results: a test case for each thing that was asked."""
    failures = str(sum(not one.holds for one in checked))
    suites = ET.Element("testsuites", name="tfrobust check")
    suite = ET.SubElement(
        suites, "testsuite", name=str(run), tests=str(len(checked)), failures=failures
    )
    for one in checked:
        case = ET.SubElement(suite, "testcase", classname=one.classifier, name=one.asked)
        if not one.holds:
            ET.SubElement(case, "failure", message=one.found, type="check")
        else:
            ET.SubElement(case, "system-out").text = one.found
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"
