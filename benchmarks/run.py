"""Run every benchmark and write `benchmarks/results/`.

    make bench

LeNet is trained on MNIST for two epochs first; `TFDS_DATA_DIR` says where MNIST is prepared.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import tfrobust
from benchmarks import gradient_floor, memory, startup
from tfrobust.results import environment

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    rows = [*startup.measure(), *gradient_floor.measure(), *memory.measure()]
    RESULTS.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "system": platform.system(), **environment()}
    found = {"tfrobust": tfrobust.__version__, "machine": machine, "rows": rows}
    (RESULTS / "speed.json").write_text(json.dumps(found, indent=1) + "\n")
    table = "\n".join(
        ["| what | measured | bar | holds |", "|---|---|---|---|"]
        + [f"| {r['what']} | {r['measured']} | {r['bar']} | {_verdict(r)} |" for r in rows]
    )
    text = f"# Speed\n\n`make bench`, {machine['cores']} cores.\n\n{table}\n"
    (RESULTS / "speed.md").write_text(text)
    print(table)


def _verdict(row: dict[str, object]) -> str:
    return {True: "yes", False: "**no**", None: "–"}[row["holds"]]  # type: ignore[index]


if __name__ == "__main__":
    main()
