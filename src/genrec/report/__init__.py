"""Results of runs: ``metrics.json``, tables over them, and figures."""

from genrec.report.command import print_table, report, results_frame, results_table
from genrec.report.results import Run, environment, load_results, load_run

__all__ = ["Run", "environment", "load_results", "load_run", "print_table", "report", "results_frame", "results_table"]
