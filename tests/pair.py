"""Two processes that work together, as ``torchrun --nproc-per-node 2`` starts them."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from tempfile import NamedTemporaryFile

from . import forks


def run_pair(*command: str, timeout: float = 400) -> list[int]:
    """Run ``python COMMAND`` in two processes of one group, and wait for both: what they ended with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **{"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TORCHELASTIC_RUN_ID": "none"},
        **{"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
    }
    with ExitStack() as files:
        said = [files.enter_context(NamedTemporaryFile("r")) for _ in range(2)]
        pair = [
            forks.start(*command, environment={**shared, "RANK": rank, "LOCAL_RANK": rank}, output=file.name)
            for rank, file in zip("01", said, strict=True)
        ]
        try:
            return [forks.end(process, timeout) for process in pair]
        finally:
            for process, file in zip(pair, said, strict=True):
                process.kill()
                print(file.read())
