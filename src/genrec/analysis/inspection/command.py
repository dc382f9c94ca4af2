"""``genrec inspect RUN``: what a trained recommender calls its items, and which it holds to be alike."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrec.analysis.inspection import WHOSE
from genrec.config.options import Options
from genrec.errors import GenrecError
from genrec.io.console import wide_console
from genrec.io.files import write_new
from genrec.io.quiet import quieten
from genrec.io.starting import quick_imports


def command(arguments: Sequence[str]) -> None:
    """Print what the identifiers of a run look like.

    Raises:
        GenrecError: for wrong arguments, a run that cannot be loaded, and as `Inspection`.
    """
    chosen = _parse(arguments)
    # Imported late: who asks for help, or has mistyped, need not wait for torch.
    with quick_imports():
        import torch

        from genrec.analysis.inspection.overview import Inspection
        from genrec.analysis.inspection.tables import print_example, print_item, print_overview
        from genrec.serving.served import load

    quieten()
    inspection = Inspection(
        load(chosen.run, chosen.data_root, chosen.trust), chosen.neighbours, chosen.seed, chosen.text
    )
    console = wide_console()
    results: dict[str, Any] = {"run": chosen.run}
    if chosen.item:
        rows = torch.from_numpy(inspection.served.rows(chosen.item))
        results["items"] = inspection.look(rows)
        for item in results["items"]:
            print_item(console, item)
    else:
        results |= inspection.overview()
        print_overview(console, results)
        cold = inspection.sample(False, chosen.items // 2)
        rows = torch.cat([inspection.sample(True, chosen.items - len(cold)), cold])
        results["examples"] = inspection.look(rows)
        for item in results["examples"]:
            print_example(console, item)
    if chosen.output:
        text = json.dumps(results, indent=2) + "\n"
        write_new(Path(chosen.output), lambda path: path.write_text(text, encoding="utf-8"))
        print(f"wrote {chosen.output}")


def _parse(arguments: Sequence[str]) -> Namespace:
    options = Options("inspect", "What a trained recommender calls its items, and which it holds to be alike.")
    options.add_argument("run", metavar="RUN", help="the folder of a run, or of runs: the newest counts")
    options.add_argument("--item", action="append", metavar="KEY", help="look at this item alone; may be given again")
    options.add_argument("--neighbours", type=int, default=5, help="of every item (%(default)s)")
    options.add_argument("--items", type=int, default=5, help="examples, half of them cold (%(default)s)")
    options.add_argument("--seed", type=int, default=0, help="draws the items (%(default)s)")
    options.add_argument(
        "--text",
        choices=WHOSE,
        help="whose embeddings tell what is near by text (the run's own if they are built, or else tfidf)",
    )
    options.add_data_root()
    options.add_trust()
    options.add_argument("--output", metavar="FILE.json", help="write the numbers too")
    chosen = options.parse_args(arguments)
    if chosen.items < 0 or (chosen.output and not chosen.output.endswith(".json")):
        raise GenrecError("--items takes a number from 0 on, and --output the name of a .json file")
    return chosen
