"""Two processes that work together, started as ``torchrun --nproc-per-node 2`` starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys


def run_pair(*command: str, timeout: float = 400) -> list[int]:
    """Run ``python COMMAND`` in two processes of one group, and wait for both: what they ended with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **os.environ,
        **{"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TORCHELASTIC_RUN_ID": "none"},
        **{"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
    }
    pair = [
        subprocess.Popen([sys.executable, *command], env={**shared, "RANK": rank, "LOCAL_RANK": rank})
        for rank in ("0", "1")
    ]
    try:
        return [process.wait(timeout) for process in pair]
    finally:
        for process in pair:
            process.kill()
