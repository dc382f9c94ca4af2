"""``genrec serve``: recommenders behind HTTP."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genrec.config.options import Options
from genrec.errors import GenrecError
from genrec.io.quiet import quieten
from genrec.io.starting import quick_imports
from genrec.web.limits import Limits

if TYPE_CHECKING:
    from genrec.web.hosted import Hosted

PORT = 8000


def command(arguments: Sequence[str]) -> None:
    """Serve until the process is asked to end.

    Raises:
        GenrecError: for wrong arguments, a port or a token file that cannot be used, and as `genrec.load`.
    """
    chosen = _options().parse_args(arguments)
    token = _token(Path(chosen.token_file)) if chosen.token_file else None
    limits = Limits()
    # Before what takes long.
    listener = _listener(chosen.host, chosen.port)
    with quick_imports():
        from genrec.web.answers import Answers
        from genrec.web.running import serve
        from genrec.web.server import Server
        from genrec.web.worker import Recommenders

    quieten()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    answers: dict[str, Answers] = {}
    for folder in chosen.folders:
        hosted = _hosted(folder, chosen.device, chosen.index, chosen.data_root, chosen.trust, set(answers))
        answers[hosted.name] = Answers(hosted)
        print(f"{hosted.name}: {hosted.served.model.method}, {len(hosted.served.catalog):,} items, of {folder}")
    serve(Server(Recommenders(answers, limits), limits, token), listener)


def _options() -> Options:
    options = Options("serve", "Serve trained recommenders over HTTP; docs/serve.md has the routes.")
    options.add_argument(
        "folders", nargs="+", metavar="RUN_OR_FOLDER", help="a run, a folder of runs (the newest), or what was saved"
    )
    options.add_argument("--host", default="127.0.0.1", help="listen at this address (%(default)s: this machine alone)")
    options.add_argument("--port", type=int, default=PORT, help="0 takes a free one (%(default)s)")
    options.add_argument("--device", default="cpu", help="rank on another device, such as cuda (%(default)s)")
    options.add_argument("--index", choices=("exact", "ivf", "hnsw", "ivf_pq"), help="search an index")
    options.add_argument("--token-file", metavar="FILE", help="clients show the token that this file holds")
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
    if len(token) < 16 or not token.isprintable() or " " in token:
        raise GenrecError(f"`{path}` (--token-file): a token is one word of 16 letters or more")
    return token


def _listener(host: str, port: int) -> socket.socket:
    """A socket with an address, which nobody can reach yet.

    Raises:
        GenrecError: if the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GenrecError(f"cannot listen at {host}, port {port}: {reason} (--host, --port)") from error
    return listener


def _hosted(folder: str, device: str, index: str | None, data_root: str | None, trust: bool, taken: set[str]) -> Hosted:
    from genrec.io import manifest
    from genrec.runs.building import find_run
    from genrec.serving.served import load
    from genrec.web.hosted import Hosted

    served = load(folder, data_root, trust, device)
    path = Path(folder)
    path = path if manifest.is_saved(path) else find_run(path)
    if index:
        served.build_index(index)  # type: ignore[arg-type]
    name = path.resolve().name if manifest.is_saved(path) else path.resolve().parent.name
    numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, len(taken) + 2))
    return Hosted(next(each for each in numbered if each not in taken), served, path, index)
