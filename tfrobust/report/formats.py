"""Results in the formats of other tools: Markdown, LaTeX, CSV, JSON and JUnit."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence

from tfrobust.report.adaptive import adaptive_table
from tfrobust.report.certificates import between_table
from tfrobust.report.corruptions import corruption_table
from tfrobust.report.reattack import reattack_table
from tfrobust.report.tables import (
    Table,
    accuracy_table,
    attack_title,
    cost_table,
    detector_table,
    scenario_title,
)
from tfrobust.results.attack_records import AttackResult
from tfrobust.results.records import Evaluation, Results
from tfrobust.results.tidy import rows_of

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "∞": r"$\infty$", "≤": r"$\le$", "σ": r"$\sigma$", "ε": r"$\varepsilon$", "→": r"$\to$",
    "·": r"$\cdot$", "×": r"$\times$", "–": "--", "−": "$-$", "\u202f": "~",
}  # fmt: skip


def tables_of(results: Results) -> Iterator[Table]:
    """Yield the tables that the page shows."""
    if results.corruptions:
        yield corruption_table(results)
        return
    yield accuracy_table(results)
    further = between_table(results), adaptive_table(results), reattack_table(results)
    yield from filter(None, further)
    yield cost_table(results)
    if any(evaluation.detectors for evaluation in results.evaluations):
        yield detector_table(results)


def markdown(results: Results) -> str:
    """Return the tables of the page in Markdown, as GitHub reads it."""
    return "\n\n".join(map(markdown_table, tables_of(results))) + "\n"


def markdown_table(table: Table) -> str:
    """Return one table in Markdown."""
    lines = [f"### {_of_markdown(table.title)}", "", _markdown_row(table.columns)]
    lines.append("|---" + "|---:" * (len(table.columns) - 1) + "|")
    lines += [_markdown_row(row) for section in table.sections for row in section]
    return "\n".join([*lines, "", *([_of_markdown(table.caption)] if table.caption else [])])


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_of_markdown, cells)) + " |"


def _of_markdown(text: str) -> str:
    for special in "\\|*_`<>![]":
        text = text.replace(special, f"\\{special}")
    return " ".join(text.split())


def latex(results: Results) -> str:
    """Return the tables of the page in LaTeX, for the package booktabs."""
    return "\n".join(map(_latex_table, tables_of(results)))


def _latex_table(table: Table) -> str:
    sections = ["".join(_latex_row(row) for row in section) for section in table.sections]
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{_of_latex(table.title)}. {_of_latex(table.caption)}.}}\n"
        f"\\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}\n\\toprule\n"
        f"{_latex_row(table.columns)}\\midrule\n"
        + "\\midrule\n".join(filter(None, sections))
        + "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_of_latex, cells)) + " \\\\\n"


def _of_latex(text: str) -> str:
    return " ".join("".join(_LATEX.get(letter, letter) for letter in text).split(" "))


def as_csv(results: Results) -> str:
    """Return a row a classifier, attack and budget, as comma-separated values."""
    rows = list(rows_of(results))
    text = io.StringIO()
    if rows:
        names = max(rows, key=len)  # a classifier under no attack has fewer
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _of_csv(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _of_csv(value: object) -> object:
    """Return a cell; a text that a spreadsheet would take for a formula starts with a quote."""
    is_formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if is_formula else value


def as_json(results: Results) -> str:
    """Return the same rows as JSON: a list of objects."""
    return json.dumps(list(rows_of(results)), indent=1) + "\n"


def junit(results: Results) -> str:
    """Return a test suite a classifier and a test case an attack, for what shows JUnit's results.

    A case holds its figures as properties. It is an error where an attack broke its contract
    (violations), and a failure nowhere: results do not know which accuracy is asked for.
    """
    suites = ET.Element("testsuites", name="tfrobust")
    for evaluation in results.evaluations:
        attacks = [*evaluation.attacks, *evaluation.adaptive]
        suite = ET.SubElement(
            suites,
            "testsuite",
            name=f"{evaluation.classifier.name} on {scenario_title(evaluation)}",
            tests=str(len(attacks)),
            failures="0",
            errors=str(sum(attack.violations > 0 for attack in attacks)),
        )
        for attack in attacks:
            _add_case(suite, evaluation, attack)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _add_case(suite: ET.Element, evaluation: Evaluation, attack: AttackResult) -> None:
    title = " ".join(attack_title(attack).split())
    case = ET.SubElement(
        suite,
        "testcase",
        classname=evaluation.classifier.name,
        name=title,
        time=f"{attack.seconds:.3f}",
    )
    properties = ET.SubElement(case, "properties")
    low, high = attack.interval
    for name, value in (("accuracy", attack.accuracy), ("low", low), ("high", high)):
        ET.SubElement(properties, "property", name=name, value=f"{value:.6f}")
    if attack.violations:
        said = f"{attack.violations} images outside the ball, outside [0, 1] or NaN"
        ET.SubElement(case, "error", message=said, type="violations")


FORMATS: dict[str, Callable[[Results], str]] = {
    "md": markdown,
    "latex": latex,
    "csv": as_csv,
    "json": as_json,
    "junit": junit,
}
