"""``genrec study STUDY.yaml``: every cell of a study is run, the table of them all printed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from genrec.config.options import Options
from genrec.io.starting import quick_imports
from genrec.study.plan import STUDIES, check_extra, load_plan
from genrec.study.processes import Execute, execute
from genrec.study.settings import Resolve, full_config


def study(arguments: Sequence[str], resolve: Resolve = full_config, execute: Execute = execute) -> None:
    """Run what is missing of a study, one cell after the other, and print its table.

    Finished cells are left alone and killed ones go on from their last checkpoint. Several processes may work on one
    study; each takes what nobody else has taken.

    Args:
        arguments: of the command line.
        resolve: makes a whole config of arguments.
        execute: runs a command.

    Raises:
        GenrecError: if the study, a config, a key or a value is wrong; before anything is run.
        SystemExit: with code 1 if a cell failed.
    """
    options = Options("study", "Run a study; arguments after its name, such as --data.root DIR, are for every cell.")
    options.add_argument("study", metavar="STUDY", help="a yaml, or the name of a packaged one")
    options.add_argument("--studies", default=STUDIES, metavar="DIR", help="the folder of all studies (%(default)s)")
    options.add_argument("--dry-run", action="store_true", help="list the cells and how far they are, run nothing")
    chosen, extra = options.parse_known_args(arguments)
    check_extra(extra)
    plan = load_plan(chosen.study)
    # Imported late: who asks for help, or has mistyped, need not wait for torch.
    with quick_imports():
        from genrec.study.cells import make_jobs
        from genrec.study.working import list_cells, run_cells

    print(f"{plan.name}: checking the settings of {len({cell.row for cell in plan.cells})} rows ...", flush=True)
    jobs = make_jobs(plan, Path(chosen.studies), extra, resolve)
    if chosen.dry_run:
        list_cells(jobs)
    elif not run_cells(plan, jobs, Path(chosen.studies) / plan.name, execute):
        sys.exit(1)
