"""How many requests a second `genrec serve` answers, how fast, and in how much memory.

python benchmarks/http_load.py RUN [--seconds 20] [--requests 20000] [--tiny]

Clients of one event loop ask on connections that stay open, each as soon as it has its answer, a user of the run at a
time. They take a core's time of their own. `together` is the server as it is, `one by one` the same with
`--max-batch 1`, started beside it and asked in turn. `--tiny` is a server of an untrained recommender for a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

CLIENTS = (1, 8, 64)


class Measured(NamedTuple):
    """What one round of load gave: requests per second, milliseconds, and answers that were no lists."""

    rate: float
    p50: float
    p99: float
    failed: int


class Running(NamedTuple):
    """A server that answers: its port, its process, and the seconds from its start to the first list."""

    port: int
    process: psutil.Process
    cold: float

    def memory(self) -> float:
        """MB that the process holds, by the operating system's count."""
        return self.process.memory_info().rss / 1e6


@contextmanager
def server(run: str, *options: str) -> Iterator[Running]:
    """`genrec serve` as a process of its own."""
    with tempfile.TemporaryFile("w+") as log:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "genrec", "serve", run, "--port", "0", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("listening at"):
                port = int(line.rsplit(":", 1)[1])
                break
        else:
            log.seek(0)
            raise SystemExit(f"the server did not begin: {log.read()[-1000:]}")
        asyncio.run(load(port, [request([])], 1, requests=1))
        try:
            yield Running(port, psutil.Process(process.pid), time.perf_counter() - begun)
        finally:
            process.terminate()
            process.wait(60)


def request(history: list[str]) -> bytes:
    """A request for ten items, whole."""
    body = json.dumps({"histories": [history], "k": 10, "unknown": "skip"}).encode()
    head = "POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
    return head.format(len(body)).encode() + body


async def load(
    port: int, asked: list[bytes], clients: int, seconds: float = float("inf"), requests: int = 2**62
) -> Measured:
    """Let clients ask for so many seconds, or so many times."""
    taken: list[float] = []
    failed = begun = 0
    start = time.perf_counter()

    async def client() -> None:
        nonlocal failed, begun
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while begun < requests and time.perf_counter() - start < seconds:
            mine = asked[begun % len(asked)]
            begun += 1
            sent = time.perf_counter()
            writer.write(mine)
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(size)
            taken.append(time.perf_counter() - sent)
            failed += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    rate = len(taken) / (time.perf_counter() - start)
    median, slow = 1000 * np.quantile(taken, (0.5, 0.99))
    return Measured(rate, median, slow, failed)


def users_of(run: str) -> list[bytes]:
    """Requests of users of the run; of its items, where it has no users."""
    from genrec import load as open_run

    served = open_run(run)
    keys, train = served.catalog.keys, served.dataset.train
    drawn = np.random.default_rng(0).permutation(len(train))[:5000]
    histories = [[keys[item] for item in train[user]] for user in drawn.tolist()]
    return [request(history) for history in histories or [[key] for key in list(keys)[:5000]]]


def tiny(folder: Path) -> str:
    """A run of made-up parameters."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.served import SETREC, make_run, recommender

    return str(make_run(folder, recommender(SETREC)))


def compare(run: str, seconds: float, requests: int) -> None:
    """Measure, and print Markdown."""
    asked = users_of(run)
    with server(run) as together, server(run, "--max-batch", "1") as alone:
        print(f"\nFirst list {together.cold:.1f} s after the start of the process.\n")
        print(
            "| clients | served | requests/s | p50 ms | p99 ms | failed |\n| ---: | --- | ---: | ---: | ---: | ---: |"
        )
        for running in (together, alone):
            asyncio.run(load(running.port, asked, 8, seconds / 4))
        for clients in CLIENTS:
            rates = []
            for name, running in (("together", together), ("one by one", alone)):
                found = asyncio.run(load(running.port, asked, clients, seconds))
                rates.append(found.rate)
                print(
                    f"| {clients} | {name} | {found.rate:,.0f} | {found.p50:.1f} | {found.p99:.1f} | {found.failed} |"
                )
            print(f"| {clients} | | {rates[0] / rates[1]:.1f} x | | | |", flush=True)
        print("\n| requests | MB |\n| ---: | ---: |")
        for part in range(5):
            if part:
                asyncio.run(load(together.port, asked, 64, requests=requests // 4))
            print(f"| {part * (requests // 4):,} | {together.memory():,.0f} |", flush=True)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", help="what `genrec serve` takes")
    parser.add_argument("--seconds", type=float, default=20, help="of every round (%(default)s)")
    parser.add_argument("--requests", type=int, default=20_000, help="while memory is looked at (%(default)s)")
    parser.add_argument("--tiny", action="store_true", help="a second, of an untrained recommender")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.tiny:
            compare(tiny(Path(folder)), 0.3, 400)
        elif chosen.run:
            compare(chosen.run, chosen.seconds, chosen.requests)
        else:
            parser.error("give a run, or --tiny")


if __name__ == "__main__":
    main()
