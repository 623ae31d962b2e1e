"""Results → tables, figures, one self-contained HTML page."""

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
