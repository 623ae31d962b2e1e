"""The table network × check of docs/diagnosis.md: every network of the zoo, with five seeds.

    python -m benchmarks.diagnosis                 # all networks, five seeds
    python -m benchmarks.diagnosis --only LeNet --seeds 1

It fails where a masked network is not named, or an honest one is accused.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfrobust.diagnosis import Diagnosis, DiagnosisSettings, Verdict, diagnose
from tfrobust.testing.zoo import Specimen, Zoo

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "diagnosis.json"
DOCS = HERE.parent / "docs" / "diagnosis.md"
BEGIN, END = "<!-- table: python -m benchmarks.diagnosis -->", "<!-- end of table -->"
_SIGNS = {Verdict.MASKED: "**masked**", Verdict.SUSPECT: "suspect", Verdict.NOT_APPLICABLE: "–"}


def main() -> None:
    """Diagnose, write the table, and fail where a verdict is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", help="network; repeat for several")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    found: dict[str, list[Diagnosis]] = collections.defaultdict(list)
    wrong = []
    for seed in range(given.seeds):
        zoo = Zoo(seed)
        for name, specimen in zoo.specimens.items():
            if given.only and name not in given.only:
                continue
            diagnosis = _diagnosed(zoo, name, specimen)
            found[name].append(diagnosis)
            if mistake := _mistake(specimen, diagnosis):
                wrong.append(f"{name}, seed {seed}: {mistake}")
            print(f"{name}, seed {seed}: {diagnosis.verdict} {diagnosis.causes}", flush=True)
    if not given.only:
        _write(found)
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)


def _diagnosed(zoo: Zoo, name: str, specimen: Specimen) -> Diagnosis:
    settings = DiagnosisSettings(eps=specimen.eps, attack=specimen.attack, seed=zoo.seed)
    return diagnose(specimen.build(), zoo.scenario, settings, name=name)


def _mistake(specimen: Specimen, diagnosis: Diagnosis) -> str | None:
    """Return what is wrong with a diagnosis; `None`: nothing."""
    if not specimen.causes:
        accused = diagnosis.verdict is not Verdict.FINE
        return f"accused of {diagnosis.causes}" if accused else None
    if not set(specimen.causes) & set(diagnosis.causes):
        return f"expected {specimen.causes}, named {diagnosis.causes}"
    return None


def _write(found: Mapping[str, Sequence[Diagnosis]]) -> None:
    record = {
        name: [json.loads(diagnosis.to_json()) for diagnosis in diagnoses]
        for name, diagnoses in found.items()
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    text = DOCS.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text(f"{before}{BEGIN}\n\n{_table(found)}\n{END}{after}", encoding="utf-8")


def _table(found: Mapping[str, Sequence[Diagnosis]]) -> str:
    checks = [finding.check for finding in next(iter(found.values()))[0].findings]
    lines = [
        f"| network | {' | '.join(checks)} | attacked → lowest |",
        f"|---{'|---' * (len(checks) + 1)}|",
    ]
    for name, diagnoses in found.items():
        cells = [_cell([d.of(check).verdict for d in diagnoses]) for check in checks]
        before = sum(d.attacked.accuracy for d in diagnoses) / len(diagnoses)
        after = sum(d.lowest.accuracy for d in diagnoses) / len(diagnoses)
        lines.append(f"| {name} | {' | '.join(cells)} | {before:.0%} → {after:.0%} |")
    return "\n".join(lines) + "\n"


def _cell(verdicts: Sequence[Verdict]) -> str:
    """Return the gravest verdict, and how many of the seeds have it."""
    for verdict, sign in _SIGNS.items():
        count = sum(one is verdict for one in verdicts)
        if count:
            return sign if count == len(verdicts) else f"{sign} {count}/{len(verdicts)}"
    return ""


if __name__ == "__main__":
    main()
