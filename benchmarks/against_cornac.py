"""TIGER and RPG here and in cornac 3.0: accuracy and seconds side by side.

    python benchmarks/against_cornac.py --cornac CORNAC/bin/python --root DIR [--epochs 3] [--users 4000]
        [--ranked 1000] [--methods tiger rpg] [--seed 42] [--folder FOLDER] [--tiny]

DIR holds the split of Toys that was released (`toys/`) and, in `assets/`, its texts' vectors if they were made before.
cornac is in an environment of its own (`pip install cornac==3.0.1 'transformers<5' torch faiss-cpu scikit-learn`).

Both learn from the training lists of the same users, with all items as candidates; item vectors are the same. Widths,
layers, epochs, batches, learning rate and its schedule, steps of the quantiser and beams are the same numbers, and so
is the dropout, 0.1 in TIGER and 0 in RPG. No validation is looked at: the last state counts. Both are asked for the
same test users' ten best items, and ONE evaluator, ours, measures both lists. What differs: our language models read a
prompt of words around the items (and have a table of words), decay the weights of linear maps alone, and clip gradients
in TIGER too; cornac's TIGER learns from the sum over tokens, ours from the mean; cornac ranks a user at a time, genrec
256. Each method runs in a process of its own, one thread each, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch

from genrec.config.files import load_config, merge
from genrec.data import Dataset, InMemory, Ragged, SequenceData, Texts
from genrec.data.samplers import Draw
from genrec.evaluation.protocol import RankingMetrics
from genrec.recommenders import Recommender
from genrec.runs.building import build
from genrec.types import Ranking

K, HISTORY, BATCH, WIDTH, LAYERS, HEADS, INNER = 10, 20, 128, 128, 2, 4, 512
CONFIGS = {"tiger": "toys_tiger_small.yaml", "rpg": "toys_rpg_causal_small.yaml"}
SHOP = {"source": {"class_path": "Synthetic", "init_args": {"users": 250, "items": 700}}}
"""What `--tiny` learns."""


def config_of(method: str, options: argparse.Namespace) -> dict[str, Any]:
    """Model, data and assets of ours."""
    config = load_config(CONFIGS[method])
    identifier: dict[str, Any] = {"class_path": f"genrec_baselines.{method.upper()}"}
    if method == "tiger":
        training = {"steps": options.code_steps}
        codes = {"class_path": "RQVAECodes", "init_args": {"training": training}}
        identifier["init_args"] = {"codes": codes}
    small: dict[str, Any] = {
        "model": {"init_args": {"identifier": identifier, "ks": [5, K]}},
        "data": {"root": str(options.root), "max_history": HISTORY, "empty_history": False},
        "assets": {"root": str(options.root / "assets")},
    }
    if options.tiny:
        small["data"].update(SHOP)
        small["assets"]["text"] = {"class_path": "TfidfText", "init_args": {"dim": 32}}
        sizes = {"class_path": "PQCodes", "init_args": {"fit_items": "warm", "digits": 8, "size": 16}}
        if method == "rpg":
            identifier["init_args"] = {"codes": sizes}
    whole = merge(config, small)
    return {name: whole[name] for name in ("model", "data", "assets")}


def chosen_users(dataset: Dataset, options: argparse.Namespace) -> Dataset:
    """The data set of some users, drawn at random among those with a test item and a history; 0 is all users."""
    able = np.flatnonzero((dataset.test.lengths > 0) & (dataset.train.lengths > 1))
    draw = np.random.default_rng(options.seed).permutation(len(dataset.users))
    # Who can be tested comes first.
    draw = np.concatenate([draw[np.isin(draw, able)], draw[~np.isin(draw, able)]])
    users = np.sort(draw[: options.users or None])
    train, validation, test = (lists.take(users) for lists in (dataset.train, dataset.validation, dataset.test))
    return Dataset(dataset.name, dataset.catalog, Texts(dataset.users[user] for user in users), train, validation, test)


def ours(method: str, options: argparse.Namespace) -> None:
    """Train and rank; lists and seconds are written down as cornac's are."""
    L.seed_everything(options.seed, verbose=False)
    made = build(config_of(method, options))
    model, assets = made.model, made.model.assets
    assert isinstance(model, Recommender)
    dataset = chosen_users(made.data.dataset, options)
    bound = assets.bind(dataset)
    vectors = bound.text.numpy()
    bound.codes(model.identifier.codes if method == "tiger" else model.identifier.recipe)
    (codes,) = (name for name, *_ in bound.asked() if name.startswith("codes-"))
    # As was told when they were made, which may have been in another run.
    seconds = {"codes": json.loads((assets.store.root / codes / "manifest.json").read_text())["seconds"]}
    samples: Literal["prefixes", "windows"] = "prefixes" if method == "tiger" else "windows"
    data = SequenceData(InMemory(dataset), batch_size=batch_of(method), samples=samples, max_history=HISTORY,
                        empty_history=False)  # fmt: skip
    trainer = L.Trainer(
        max_epochs=options.epochs,
        gradient_clip_val=1.0,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        default_root_dir=options.folder,
    )
    start = time.perf_counter()
    trainer.fit(model, data)
    seconds["fit"] = time.perf_counter() - start
    samples_of_test = data.test_dataloader().dataset
    count = min(options.ranked, len(samples_of_test))  # type: ignore[arg-type]
    rows = np.sort(np.random.default_rng(options.seed).choice(len(samples_of_test), count, replace=False))  # type: ignore[arg-type]
    batches = [samples_of_test[Draw(part)] for part in np.array_split(rows, -(-count // 256))]
    model.eval()
    everything = torch.ones(1, len(dataset.catalog), dtype=torch.bool)
    start = time.perf_counter()
    with torch.inference_mode():
        model.bring_up_to_date()
        lists = [model.rank(batch.history, K, everything).items[0] for batch in batches]
    seconds["rank"] = time.perf_counter() - start
    seconds["parameters"] = sum(part.numel() for part in model.parameters() if part.requires_grad)
    folder = options.folder
    np.save(folder / f"genrec_{method}.npy", torch.cat(lists).numpy())
    (folder / f"genrec_{method}_seconds.json").write_text(json.dumps(seconds))
    users = torch.cat([batch.users for batch in batches]).numpy()
    histories = [[int(item) for item in row if item >= 0] for batch in batches for row in batch.history.numpy()]
    train = [list(map(int, items)) for items in dataset.train]
    (folder / "split.json").write_text(json.dumps({"train": train, "histories": histories, "k": K}))
    np.save(folder / "vectors.npy", np.ascontiguousarray(vectors, dtype=np.float32))
    np.savez(folder / "wanted.npz", frequency=dataset.frequency, lengths=dataset.test.take(users).lengths,
             values=dataset.test.take(users).values)  # fmt: skip


def batch_of(method: str) -> int:
    """Prefixes, or users that bring about as many."""
    return BATCH if method == "tiger" else 17


def cornac_settings(method: str, options: argparse.Namespace) -> dict[str, Any]:
    """The same sizes, as cornac calls them; what is not named here is its default."""
    common = {"max_len": HISTORY, "n_epochs": options.epochs, "learning_rate": 1e-3, "batch_size": batch_of(method),
              "lr_schedule": "cosine", "warmup_steps": 100, "d_model": WIDTH, "device": "cpu",
              "seed": options.seed}  # fmt: skip
    if method == "tiger":
        items = np.load(options.folder / "vectors.npy", mmap_mode="r").shape[0]
        return {**common, "d_ff": INNER, "num_heads": HEADS, "d_kv": WIDTH // HEADS, "num_enc_layers": LAYERS,
                "num_dec_layers": LAYERS, "dropout": 0.1, "n_beams": 20, "rqvae_batch_size": 1024,
                "rqvae_n_epochs": max(1, options.code_steps // -(-items // 1024))}  # fmt: skip
    digits = 8 if options.tiny else 32
    return {**common, "n_layer": LAYERS, "n_head": HEADS, "n_inner": INNER, "n_codebook": digits,
            "embd_dropout": 0.0, "attn_dropout": 0.0, "scoring": "exact"}  # fmt: skip


def line(folder: Path, name: str, library: str, method: str) -> str:
    """A row of the table."""
    items = torch.from_numpy(np.load(folder / f"{name}.npy"))
    seconds = json.loads((folder / f"{name}_seconds.json").read_text())
    wanted = np.load(folder / "wanted.npz")
    ends = np.concatenate([[0], np.cumsum(wanted["lengths"])])
    targets = Ragged.from_lists([wanted["values"][a:b] for a, b in pairwise(ends)]).unique()
    metrics = RankingMetrics(wanted["frequency"], (K,), sync=False)
    every = items.expand(len(metrics.allowed), -1, -1)
    metrics.update(Ranking(every, torch.zeros(every.shape)), torch.from_numpy(targets.padded(np.arange(len(items)))))
    found = metrics.compute()["all"]
    cells = [method.upper(), library, f"{found['recall@10']:.4f}", f"{found['ndcg@10']:.4f}",
             *(f"{seconds[part]:.1f}" for part in ("codes", "fit", "rank")), f"{seconds['parameters']:,}"]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cornac", type=Path, help="python of cornac's environment; without it ours runs alone")
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--users", type=int, default=4000, help="who is learned from; 0 is everybody")
    parser.add_argument("--ranked", type=int, default=1000, help="test users among them")
    parser.add_argument("--code-steps", type=int, default=1200, help="of TIGER's quantiser")
    parser.add_argument("--methods", nargs="+", default=["tiger", "rpg"], choices=["tiger", "rpg"])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--folder", type=Path, help="where lists and seconds go; a temporary one if not given")
    parser.add_argument("--tiny", action="store_true", help="a made-up shop, in seconds")
    parser.add_argument("--work", choices=["tiger", "rpg"], help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.work:
        ours(options.work, options)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        options.folder = folder
        if options.tiny:
            options.root, options.epochs, options.users, options.ranked, options.code_steps = folder, 1, 100, 40, 20
        threads = {**os.environ, "OMP_NUM_THREADS": "1"}
        given = [f"--{key.replace('_', '-')}={getattr(options, key)}"
                 for key in ("root", "epochs", "users", "ranked", "code_steps", "seed", "folder")]  # fmt: skip
        given += ["--tiny"] if options.tiny else []
        print("| method | library | R@10 | N@10 | codes s | fit s | rank s | trained |\n|" + " --- |" * 8, flush=True)
        for method in options.methods:
            command = [sys.executable, __file__, "--work", method, *given]
            subprocess.run(command, check=True, env=threads, stdout=sys.stderr)
            print(line(folder, f"genrec_{method}", "genrec", method), flush=True)
            if options.cornac:
                settings = cornac_settings(method, options)
                (folder / f"{method}.json").write_text(json.dumps(settings))
                side = Path(__file__).with_name("cornac_side.py")
                command = [str(options.cornac), str(side), str(folder), method]
                subprocess.run(command, check=True, env=threads, stdout=sys.stderr)
                print(line(folder, method, "cornac", method), flush=True)


if __name__ == "__main__":
    main()
