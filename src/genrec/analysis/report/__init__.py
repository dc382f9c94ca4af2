"""Results of runs: ``metrics.json``, tables over them, and figures."""

from genrec.analysis.report.command import print_table, report, results_frame, results_table

__all__ = ["print_table", "report", "results_frame", "results_table"]
