"""Measures everything on one card, within minutes, and writes one json and one page.

    python -m benchmarks.gpu [--tiny] [--only PART ...] [--minutes 7.5] [--data DIR] [--out DIR]

Parts are ``machine``, ``devices``, ``t5``, ``ranking``, ``qwen``, ``compiled``, measured in the order in which they are
given; each runs in a process of its own (but for tiny ones), so that one that fails takes no other with it, and writes
what it found at once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

PARTS = ("machine", "devices", "t5", "ranking", "qwen", "compiled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a minute on a CPU: to see that it works")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--minutes", type=float, default=7.5, help="no variant begins after them")
    parser.add_argument("--data", type=Path, help="a folder that holds the released toys/; without it, one is made up")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.part:
        _measure(args, args.part, args.until)
        return
    until = time.time() + 60 * args.minutes
    for part in args.only:
        _kept(args, part).unlink(missing_ok=True)
        if args.tiny:
            _measure(args, part, until)
            continue
        data = ["--data", str(args.data)] if args.data else []
        command = [sys.executable, "-m", "benchmarks.gpu", "--part", part, "--until", str(until), *data]
        subprocess.run([*command, "--out", str(args.out)], check=False)
    _write(args)


def _write(args: argparse.Namespace) -> None:
    """One json and one page of all parts; of those that were not asked for, what was found before."""
    from benchmarks.gpu import machine
    from benchmarks.gpu.page import page

    # A call that was killed has left parts, too.
    files = {part: _kept(args, part) for part in PARTS if _kept(args, part).is_file()}
    new = {part: json.loads(file.read_text()) for part, file in files.items()}
    written = args.out / f"{'tiny' if args.tiny else machine.name().lower().replace(' ', '-')}.json"
    found: dict[str, Any] = json.loads(written.read_text()) if written.is_file() else {"measured": {}, "left_out": {}}
    for part, contents in new.items():
        found["left_out"][part] = contents.pop("left_out", [])
        found[part] = contents
        found["measured"][part] = time.strftime("%Y-%m-%d")
    written.write_text(json.dumps(found, indent=2) + "\n")
    written.with_suffix(".md").write_text(page(found))
    for file in files.values():
        file.unlink()
    print(page(found))


def _kept(args: argparse.Namespace, part: str) -> Path:
    return Path(args.out) / f"part-{part}.json"


def _measure(args: argparse.Namespace, part: str, until: float) -> None:
    """One part, in this process."""
    from benchmarks.gpu import devices, machine, ranking, shop, training

    size = shop.TINY if args.tiny else shop.Size()
    file = _kept(args, part)
    found: dict[str, Any] = {}

    def keep(name: str, work: Callable[[], dict[str, Any]]) -> None:
        if time.time() > until:
            found.setdefault("left_out", []).append(name)
        else:
            start = time.time()
            try:
                found[name] = work()
            except Exception as error:
                traceback.print_exc()
                found[name] = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
            machine.forget_peak()
            print(f"[{part}] {name}: {time.time() - start:.1f} s {found[name].get('error', '')}", flush=True)
        file.write_text(json.dumps(found))

    if part == "machine":
        found.update(machine.measure(size))
        file.write_text(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if part == "devices":
            small = devices.source(size)
            for backbone in ("T5", "causal"):
                keep(f"flex and dense, {backbone}", partial(devices.attention, small, scratch, backbone))
            for backbone in devices.BACKBONES:
                for name in devices.IDENTIFIERS:
                    keep(f"{name}, {backbone}", partial(devices.compare, small, scratch, name, backbone))
            return
        source = shop.dataset(size, args.data)
        if part == "ranking":
            for precision in ("32-true", "bf16-mixed"):
                keep(
                    f"SETRec, {precision}",
                    partial(ranking.all_users, size, source, scratch, shop.setrec(), precision),
                )
            keep(
                "TIGER, 20 beams, bf16-mixed",
                lambda: ranking.all_users(size, source, scratch, shop.tiger(), "bf16-mixed"),
            )
            keep("SETRec, validation with ten betas", lambda: ranking.validation(size, source, scratch))
            keep("SETRec, many items", lambda: ranking.many_items(size, scratch))
            return
        if part == "compiled" and size.tiny:
            return
        for which, variant in training.COMPILED if part == "compiled" else [(part, v) for v in training.VARIANTS[part]]:
            name = f"{which}: {variant.name}" if part == "compiled" else variant.name
            keep(name, partial(training.steps, size, source, scratch, which, variant))


if __name__ == "__main__":
    main()
