"""Outcomes from gathered rows: on disk where the rows lie on disk, in memory otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfrobust.evaluation.blocks.columns import Columns
from tfrobust.evaluation.blocks.gathered import Judgement
from tfrobust.evaluation.blocks.gathering import Gathered
from tfrobust.evaluation.example_answers import example_probabilities
from tfrobust.results.attack_records import NORMS
from tfrobust.results.outcomes import OUTCOMES, Outcomes, write_columns

_NARROW = {"float64": np.dtype(np.float32), "int64": np.dtype(np.int32)}


def outcomes_of(
    gathered: Gathered, judged: Sequence[Judgement], folder: Path | None = None
) -> Outcomes:
    """Return the outcomes of an evaluation.

    Args:
        gathered: the rows.
        judged: the classifiers, in the order of the results.
        folder: where a Parquet file may lie; `None`: columns are held in memory.

    Raises:
        StoreError: the disk refuses.
    """
    columns, sources = gathered.columns, {"label": "label"}
    positions, rows, images = gathered.examples()
    examples = {"example_index": rows, "example_images": images}
    for number, judgement in enumerate(judged):
        sources[f"e{number}_clean"] = judgement.clean_column
        line = 0
        for k, run in enumerate(judgement.attacked):
            for what in ("prediction", "success", "reached", *NORMS):
                sources[f"e{number}_a{k}_{what}"] = f"{run.key}_{what}"
            for d in range(run.detector_count):
                for kind in ("clean", "adversarial"):
                    sources[f"e{number}_d{line}_{kind}"] = f"{run.key}_d{d}_{kind}"
                line += 1
            examples[f"e{number}_example_a{k}"] = run.examples(positions, like=images)
        for k, knowing in enumerate(judgement.adaptive):
            for what in ("prediction", "success", "reached", *NORMS):
                sources[f"e{number}_x{k}_{what}"] = f"{knowing.run.key}_{what}"
    examples |= example_probabilities(judged, rows, examples)
    return written_outcomes(columns, sources, examples, folder)


def written_outcomes(
    columns: Columns,
    sources: Mapping[str, str],
    examples: Mapping[str, np.ndarray],
    folder: Path | None = None,
) -> Outcomes:
    """Return outcomes of these columns.

    Args:
        columns: of the rows.
        sources: name in the outcomes → name in `columns`.
        examples: arrays of the example images.
        folder: see `outcomes_of`.

    Raises:
        StoreError: the disk refuses.
    """
    types = {name: _narrow(columns.dtype(source)) for name, source in sources.items()}
    if folder is None:
        arrays = {
            name: columns.read(source).astype(types[name]) for name, source in sources.items()
        }
        return Outcomes.of(arrays, examples)
    path = folder / OUTCOMES
    write_columns(
        path, types, len(columns), lambda name, *place: columns.rows(sources[name], *place)
    )
    return Outcomes(path, examples)


def _narrow(dtype: np.dtype) -> np.dtype:
    return _NARROW.get(dtype.name, dtype)
