"""The demo: whether adversarial training helps on handwritten digits.

    plain and robust LeNet → FGSM, PGD, Carlini–Wagner, signs of masked gradients
                           → table, report, two SavedModels

The same public functions that a notebook would call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from tfrobust import store
from tfrobust.errors import StoreError
from tfrobust.evaluation.curves.sweeps import at_budgets
from tfrobust.evaluation.evaluator import evaluate_settings
from tfrobust.evaluation.resuming import Partial
from tfrobust.evaluation.settings import EvaluationSettings, Progress
from tfrobust.evaluation.warnings.signs import with_signs
from tfrobust.files.leftovers import PREFIX
from tfrobust.files.output_folders import output_folder
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.report import write_run
from tfrobust.results.records import Results
from tfrobust.results.run_files import read_results
from tfrobust.training.trainer import Trainer, TrainingOptions

_OPTIONS = TrainingOptions(epochs=25, batch_size=64, learning_rate=3e-3, schedule="cosine")
_BUDGETS = (0.05, 0.1, 0.2, 0.3)  # L∞
_CARLINI_WAGNER = {"eps": 1.0, "learning_rate": 0.1, "steps": 100, "binary_search_steps": 5}
_NAMES = ("demo-plain", "demo-robust")
_WRITTEN = {"results.json", "outcomes.parquet", "examples.npz", "report.html", "outcomes.npz"}


@dataclasses.dataclass(frozen=True)
class Demo:
    """What the demo wrote: results, the run folder and the exported version folders."""

    results: Results
    out: Path
    exported: list[Path]


def run_demo(
    out: Path,
    *,
    force: bool = False,
    progress: Progress | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> Demo:
    """Train two classifiers, attack both, write results, outcomes and `report.html`.

    Networks that an earlier demo has trained are taken from the store, and an interrupted training
    is resumed.

    Args:
        out: the run folder; an earlier demo's files in it are replaced.
        force: write also where it holds other things, and train anew.
        progress: is called with how far each step is.
        log: is called with the name of each step.

    Raises:
        StoreError: `out` holds other things, or the disk refuses.
    """
    earlier = _is_demo(out)
    with output_folder(out, force=force or earlier):
        return _run(out, force, progress, log)


def _is_demo(out: Path) -> bool:
    """Tell whether a folder holds an earlier demo and nothing else."""
    if not out.is_dir():
        return False
    names = {path.name for path in out.iterdir() if not path.name.startswith(PREFIX)}
    if not names <= set(_WRITTEN):
        return False
    try:
        evaluations = read_results(out).evaluations
    except StoreError:
        return False
    return [evaluation.classifier.name for evaluation in evaluations] == list(_NAMES)


def _run(out: Path, force: bool, progress: Progress | None, log: Callable[[str], None]) -> Demo:
    scenario, lenet = create("scenarios", "digits"), create("models", "lenet", width=4)
    defenses = {
        _NAMES[0]: [],
        _NAMES[1]: [create("defenses", "pgd_training", eps=0.2, steps=10)],
    }
    exported = []
    for name, applied in defenses.items():
        log(f"training {name}")
        trainer = Trainer(_OPTIONS, report=progress)
        trained = train_and_store(lenet, scenario, name, trainer, applied, resume=True, force=force)
        exported.append(trained.folder)
    attacks = at_budgets([create("attacks", "fgsm"), create("attacks", "pgd", steps=40)], _BUDGETS)
    attacks.append(create("attacks", "cw_l2", **_CARLINI_WAGNER))
    log("attacking what was exported")
    classifiers = {folder.parent.name: store.load(folder) for folder in exported}
    settings = EvaluationSettings(classifiers=classifiers, scenario=scenario, attacks=attacks)
    evaluated = evaluate_settings(settings, partial=Partial(out), progress=progress)
    evaluated = with_signs(settings, evaluated, progress)
    write_run(out, evaluated)
    return Demo(evaluated.results, out, exported)
