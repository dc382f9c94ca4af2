"""The settings of ItemKNN that are best on validation (NDCG@10 over all items).

    python benchmarks/tune_itemknn.py --root DIR toys beauty sports

DIR holds the released splits. The winners are the settings of ``configs/<data set>_itemknn.yaml``.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import lightning as L

from genrec.data import InMemory, Release, SequenceData
from genrec.recommenders.references import ItemKNN

WINDOWS = (1, 3, 5, 10, 50)
LASTS = (1, 3, 10, 50)
DECAYS = (0.5, 0.8, 0.9, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--root", type=Path, required=True)
    args = parser.parse_args()
    trainer = L.Trainer(logger=False, enable_progress_bar=False, enable_model_summary=False)
    for name in args.names:
        data = SequenceData(InMemory(Release(name).load(args.root)))
        found = {}
        for window, last, decay in product(WINDOWS, LASTS, DECAYS):
            if last == 1 and decay != DECAYS[0]:
                continue  # one item has no decay
            module = ItemKNN(window, last, decay)
            trainer.validate(module, data, verbose=False)
            found[window, last, decay] = module.results["all"]
        best = sorted(found, key=lambda settings: -found[settings]["ndcg@10"])
        for window, last, decay in best[:5]:
            values = found[window, last, decay]
            print(
                f"{name}: window {window}, last {last}, decay {decay}: "
                f"NDCG@10 {values['ndcg@10']:.4f}, Recall@10 {values['recall@10']:.4f}"
            )


if __name__ == "__main__":
    main()
