"""``genrec serve``: recommenders behind HTTP."""

from __future__ import annotations

import logging
import socket
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from genrec.config.options import Options
from genrec.errors import GenrecError
from genrec.io.quiet import quieten
from genrec.io.starting import quick_imports
from genrec.web.limits import HELP, Limits
from genrec.web.workers import share

PORT = 8000
SHORTEST = 16
"""Letters of a token."""


def command(arguments: Sequence[str]) -> None:
    """Serve until the process is asked to end.

    Raises:
        GenrecError: for wrong arguments, a port, a folder or a token file that cannot be used, and as `genrec.load`.
    """
    chosen = _options().parse_args(arguments)
    given = {field.name: getattr(chosen, f"max_{field.name}") for field in fields(Limits)}
    limits = Limits(**given)
    if chosen.workers < 1:
        raise GenrecError(f"--workers is the number of processes, at least 1, not {chosen.workers}")
    if (keep := chosen.keep_items) and Path(keep).exists() and not Path(keep).is_dir():
        raise GenrecError(f"`{keep}` (--keep-items) is no folder")
    token = _token(Path(chosen.token_file)) if chosen.token_file else None
    # Before what takes long; nobody can reach it yet.
    listener = _listener(chosen.host, chosen.port)
    if chosen.workers > 1:
        share(lambda: _serve(chosen, limits, token, listener), chosen.workers)
    _serve(chosen, limits, token, listener)


def _serve(chosen: Namespace, limits: Limits, token: str | None, listener: socket.socket) -> None:
    # Imported late: who asks for help, or has mistyped, need not wait for torch.
    import litserve  # noqa: F401 - first, as it is what may be missing

    with quick_imports():
        from genrec.web.metrics import Metrics
        from genrec.web.opening import Opening, Swaps
        from genrec.web.running import serve
        from genrec.web.server import Server
        from genrec.web.worker import Recommenders

    quieten()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("genrec.web").setLevel(logging.INFO)
    keep = Path(chosen.keep_items) if chosen.keep_items else None
    opening = Opening(chosen.device, chosen.index, chosen.data_root, chosen.trust, keep)
    answers = opening.all(chosen.folders)
    for name, each in answers.items():
        each.alone = chosen.workers == 1
        print(f"{name}: {each.hosted.served.model.method}, {len(each.hosted.shown.catalog):,} items", flush=True)
    server = Server(Recommenders(answers, limits, Metrics()), limits, token)
    folders = dict(zip(answers, map(Path, chosen.folders), strict=True))
    serve(server, Swaps(opening, folders, server.api.answers, server.metrics), chosen.watch, listener)


def _options() -> Options:
    options = Options("serve", "Serve trained recommenders over HTTP, with a page to look at what they do.")
    options.add_argument(
        "folders", nargs="+", metavar="RUN_OR_FOLDER", help="a run, a folder of runs (the newest), or what was saved"
    )
    options.add_argument("--host", default="127.0.0.1", help="listen at this address (%(default)s: this machine alone)")
    options.add_argument("--port", type=int, default=PORT, help="0 takes a free one (%(default)s)")
    options.add_argument("--device", default="cpu", help="rank on another device, such as cuda (%(default)s)")
    options.add_argument("--index", choices=("exact", "ivf", "hnsw", "ivf_pq"), help="search an index")
    options.add_argument("--workers", type=int, default=1, help="processes at the address (%(default)s)")
    options.add_argument("--token-file", metavar="FILE", help="clients show the token that this file holds")
    options.add_argument("--watch", action="store_true", help="take over a newer saved folder as soon as it is there")
    options.add_argument("--keep-items", metavar="DIR", help="save recommenders below, when items are added to them")
    for field in fields(Limits):
        told = f"{HELP[field.name]} (%(default)s)"
        options.add_argument(f"--max-{field.name}", type=type(field.default), default=field.default, help=told)
    options.add_data_root()
    options.add_trust()
    return options


def _token(path: Path) -> str:
    """The token of a file, without the white space around it.

    Raises:
        GenrecError: if there is none.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise GenrecError(f"cannot read `{path}` (--token-file): one token in plain letters") from error
    if len(token) < SHORTEST or not token.isprintable() or " " in token:
        raise GenrecError(f"`{path}` (--token-file): a token is one word of {SHORTEST} letters or more")
    return token


def _listener(host: str, port: int) -> socket.socket:
    """A socket with an address.

    Raises:
        GenrecError: if the address cannot be had.
    """
    if not 0 <= port < 2**16:  # it would be cut to 16 bits
        raise GenrecError(f"a port is a number from 0 to {2**16 - 1}, not {port} (--port)")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GenrecError(f"cannot listen at {host}, port {port}: {reason} (--host, --port)") from error
    return listener
