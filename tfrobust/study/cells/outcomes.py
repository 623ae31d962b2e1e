"""What became of every test image, kept in cells for the figures that claims compare.

Two shares of the same images are compared image by image, which tells far smaller differences apart
than two shares of different images would (McNemar 1947).
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.result_file import Result
from tfrobust.study.cells.right import right_under
from tfrobust.study.schema.figure_names import FigureName
from tfrobust.study.schema.figures import at_value
from tfrobust.study.schema.sweeps import MEAN
from tfrobust.types import Flags

if TYPE_CHECKING:
    from tfrobust.results.run_files import Evaluated

_CLOSE = 1e-6
_TOGETHER = {
    "white_box_accuracy": "white box",
    "black_box_accuracy": "black box",
    "adaptive_accuracy": "adaptive",
    "worst_accuracy": "worst",
}
_MOST = 10**7  # images; a damaged file may claim any number


def claimed_outcomes(
    cell: Cell, evaluated: Evaluated, figures: Mapping[str, float]
) -> dict[str, str]:
    """Return figure → the outcome of every image, packed, for what the study's claims ask of it.

    Args:
        cell: that was measured.
        evaluated: what came out.
        figures: the cell's; outcomes of another mean are left out.
    """
    views = {e.classifier.name: n for n, e in enumerate(evaluated.results.evaluations)}
    packed_by_figure = {}
    for figure in _claimed(cell):
        name = FigureName.parse(figure)
        if name.detector or name.view not in views or figure not in figures:
            continue
        flags = _flags(cell, evaluated, views[name.view], name)
        if flags is not None and abs(flags.mean() - figures[figure]) < _CLOSE:
            packed_by_figure[figure] = packed(flags)
    return packed_by_figure


def packed(flags: Flags) -> str:
    """Return flags as a short text: eight to a byte, deflated, in base 64.

    Example:
        >>> packed(np.array([True, False]))
        'eNpjAAAAgACB'
    """
    bits = np.packbits(np.asarray(flags, bool)).tobytes()
    return base64.b64encode(zlib.compress(bits, 9)).decode("ascii")


def unpacked(result: Result, figure: str) -> np.ndarray | None:
    """Return an image's outcomes of a figure, `(images,)`, 0 or 1; `None` if the cell has none."""
    text, images = result.outcomes.get(figure), result.images
    if text is None or images is None or images > _MOST:
        return None
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(text, validate=True), images // 8 + 1)
    except (binascii.Error, zlib.error):
        return None
    bits = np.frombuffer(content, np.uint8)
    if len(bits) != -(-images // 8):
        return None
    return np.unpackbits(bits, count=images).astype(np.float64)


def _claimed(cell: Cell) -> list[str]:
    """Return the figures of the cell's condition that claims compare, each value of a mean too."""
    condition, figures = cell.condition, dict[str, None]()
    checks = [check for claim in cell.study.claims for check in claim.checks]
    for measured in (part for check in checks for part in check.value.parts):
        if measured.condition != cell.condition_name:
            continue
        name = FigureName.parse(measured.figure)
        if name.name in ("gain", "error"):
            figures |= {f"{view}.clean": None for view in (name.view, condition.judged[0])}
        elif name.value == MEAN and condition.sweep is not None:
            swept = condition.sweep.averaged or condition.sweep.values
            bare = measured.figure.partition("@")[0]
            figures |= {at_value(bare, f"{value:g}"): None for value in swept}
        else:
            figures[measured.figure] = None
    return list(figures)


def _flags(cell: Cell, evaluated: Evaluated, number: int, name: FigureName) -> Flags | None:
    """Return each image's outcome of a figure of evaluation `number`, where it is one."""
    outcomes, condition = evaluated.outcomes, cell.condition
    label = outcomes.column("label")
    before = outcomes.column(f"e{number}_clean")
    if name.name == "clean":
        return np.asarray(before == label)
    if name.name in _TOGETHER and condition.attacks:
        right = right_under(outcomes, number, evaluated.results.evaluations[number])
        return right.get(_TOGETHER[name.name])
    values = list(condition.sweep.names.values()) if condition.sweep is not None else [""]
    if condition.attack is None or name.value not in values:
        return None
    attack = values.index(name.value)
    after = outcomes.row(number, attack, "prediction")
    right, changed = before == label, after != before
    if name.name == "accuracy":
        corrective = evaluated.results.evaluations[number].attacks[attack].corrective
        return np.asarray((after == label) & (corrective | right))
    if name.name == "accuracy_within" and condition.within is not None:
        near = outcomes.row(number, attack, condition.within.norm) <= condition.within.distance
        return np.asarray(right & ~(outcomes.row(number, attack, "reached") & near))
    others = {"adversarial_accuracy": after == label, "fooling_ratio": changed}
    return np.asarray(others[name.name]) if name.name in others else None
