"""The settings of SASRec that are best on validation (NDCG@10 over all items).

    python benchmarks/tune_sasrec.py --root DIR toys beauty

DIR holds the released splits. Dropout is chosen at dimension 64, then the dimension at the best dropout; training stops
after 5 epochs without a better value. The winners are the settings of ``configs/<data set>_sasrec.yaml``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from genrec.data import InMemory, Release, SequenceData
from genrec.recommenders.sasrec import SASRec

DROPOUTS = (0.5, 0.3, 0.7)
DIMS = (64, 128)


def train(data: SequenceData, dim: int, dropout: float) -> float:
    L.seed_everything(42, verbose=False)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        best = ModelCheckpoint(folder, monitor="val/ndcg@10", mode="max")
        trainer = L.Trainer(
            max_epochs=200,
            callbacks=[best, EarlyStopping("val/ndcg@10", mode="max", patience=5)],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        trainer.fit(SASRec(dim=dim, dropout=dropout), data)
    score = float(best.best_model_score or 0)
    seconds = time.perf_counter() - start
    print(
        f"{data.dataset.name}: dim {dim}, dropout {dropout}: NDCG@10 {score:.4f} "
        f"({trainer.current_epoch} epochs, {seconds:.0f} s)",
        flush=True,
    )
    return score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--root", type=Path, required=True)
    args = parser.parse_args()
    for name in args.names:
        data = SequenceData(InMemory(Release(name).load(args.root)), samples="users")
        found = {(DIMS[0], dropout): train(data, DIMS[0], dropout) for dropout in DROPOUTS}
        _, best_dropout = max(found, key=lambda settings: found[settings])
        found |= {(dim, best_dropout): train(data, dim, best_dropout) for dim in DIMS[1:]}
        dim, dropout = max(found, key=lambda settings: found[settings])
        print(f"{name}: best is dim {dim}, dropout {dropout}", flush=True)


if __name__ == "__main__":
    main()
