"""Results → tables, figures, one self-contained HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.report.corruptions import corruption_table
    from tfrobust.report.page import write_report, write_run
    from tfrobust.report.tables import Table, accuracy_table, cost_table

__all__ = [
    "Table",
    "accuracy_table",
    "corruption_table",
    "cost_table",
    "write_report",
    "write_run",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "corruptions": ("corruption_table",),
        "page": ("write_report", "write_run"),
        "tables": ("Table", "accuracy_table", "cost_table"),
    },
)
