"""Text embeddings of a large catalogue: made in one go, and killed in the middle and gone on with.

    python benchmarks/embed_scale.py [--texts 200000] [--processes 1] [--folder DIR] [--tiny]

The encoder is a BERT of one layer from a config, the texts are made up. The job that is killed (SIGKILL, all its
processes, when half of the shards are there) is started again; what it makes must be the same as that of the unbroken
one, to the last bit. Seconds are wall clock, memory is the largest resident set of a process, by the system's count.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

WORDS = 5_000
WIDTH = 64
PROCESSES = get_context("forkserver")
# All begin with what takes seconds to import, and with nothing done.
PROCESSES.set_forkserver_preload(["genrec.assets", "sentence_transformers", "transformers.models.bert.modeling_bert"])


def make_encoder(folder: Path) -> str:
    """A sentence encoder of random weights."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    names = ["[PAD]", "[UNK]", *(f"word{number}" for number in range(WORDS))]
    tokenizer = Tokenizer(WordLevel({name: row for row, name in enumerate(names)}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    part = folder / "part"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(part)
    config = BertConfig(
        vocab_size=len(names), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=WIDTH
    )
    BertModel(config).save_pretrained(part)
    SentenceTransformer(modules=[Transformer(str(part)), Pooling(WIDTH)], device="cpu").save(str(folder / "encoder"))
    return str(folder / "encoder")


def embed(encoder: str, texts: int, root: Path, told: Path) -> None:
    """Ask for the embeddings, as a process of a training does, and write a line for every shard that is begun.

    Args:
        encoder: the folder of one.
        texts: how many there are.
        root: where everything is made.
        told: the file that gets seconds and memory.
    """
    import polars as pl

    from genrec.assets import AssetStore, SentenceText
    from genrec.data import Catalog, Dataset, Ragged, Texts

    class Logged(SentenceText):
        def embed(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
            with (root / "begun").open("a") as file:
                file.write("shard\n")
            return super().embed(dataset, rows)

    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(WORDS)])
    titles = [" ".join(words[rng.integers(WORDS, size=length)]) for length in rng.integers(3, 30, texts)]
    items = pl.DataFrame({"item": [str(row) for row in range(texts)], "title": titles})
    one = Ragged.from_lists([[0]])
    dataset = Dataset("texts", Catalog(items), Texts(["somebody"]), one, one, one)
    start = time.perf_counter()
    AssetStore(root / "assets").get(Logged(encoder), dataset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    told.write_text(json.dumps({"seconds": time.perf_counter() - start, "GiB": peak}))


def start(encoder: str, texts: int, root: Path, processes: int) -> list[BaseProcess]:
    root.mkdir(exist_ok=True)
    job: list[BaseProcess] = [
        PROCESSES.Process(target=embed, args=(encoder, texts, root, root / f"told{number}"))
        for number in range(processes)
    ]
    for process in job:
        process.start()
    return job


def wait(job: list[BaseProcess], root: Path) -> tuple[float, float]:
    """Seconds and GiB of the process with most of each."""
    for process in job:
        process.join()
        assert process.exitcode == 0
    found = [json.loads((root / f"told{number}").read_text()) for number in range(len(job))]
    return max(each["seconds"] for each in found), max(each["GiB"] for each in found)


def run(folder: Path, texts: int, processes: int) -> list[tuple[str, str]]:
    """Both jobs, and what there is to say of them."""
    from genrec.assets.shards import SHARD

    encoder, shards = make_encoder(folder), -(-texts // SHARD)
    whole, broken = folder / "whole", folder / "broken"
    seconds, peak = wait(start(encoder, texts, whole, processes), whole)
    job = start(encoder, texts, broken, processes)
    while len(list(broken.glob("assets/.*.shards/[0-9]*.npy"))) < shards / 2:
        assert all(process.is_alive() for process in job), "it ended before it was killed"
        time.sleep(0.002)
    for process in job:
        process.kill()
    for process in job:
        process.join()
    there = len(list(broken.glob("assets/.*.shards/[0-9]*.npy")))
    rest, _ = wait(start(encoder, texts, broken, processes), broken)
    again = len((broken / "begun").read_text().split()) - shards
    tables = [np.load(next(each.glob("assets/text-*/embeddings.npy")), mmap_mode="r") for each in (whole, broken)]
    same = tables[0].shape == (texts, WIDTH) and np.array_equal(*tables)
    return [
        ("texts", f"{texts:,}"),
        ("processes", str(processes)),
        ("shards", f"{shards:,}"),
        ("unbroken: seconds", f"{seconds:.1f}"),
        ("unbroken: GiB of a process", f"{peak:.2f}"),
        ("shards there when it was killed", f"{there:,}"),
        ("seconds to go on", f"{rest:.1f}"),
        ("shards made twice", str(again)),
        ("the same to the last bit", "yes" if same else "NO"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=200_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="8,000 texts")
    parser.add_argument("--folder", type=Path, help="where everything is made (and deleted)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        rows = run(Path(folder), 8_000 if args.tiny else args.texts, args.processes)
    print("| what | measured |\n| --- | ---: |")
    for what, value in rows:
        print(f"| {what} | {value} |")


if __name__ == "__main__":
    main()
