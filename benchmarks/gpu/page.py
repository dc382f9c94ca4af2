"""From what was measured to one page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def page(found: Mapping[str, Any]) -> str:
    """Markdown of all parts that there are; a part that failed says why."""
    t5 = _training(found, "t5", "SETRec at t5-small's shape")
    parts = [_machine(found), t5, _qwen(found), _ranking(found), _devices(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _machine(found: Mapping[str, Any]) -> str:
    machine = found.get("machine", {})
    days: dict[str, list[str]] = {}
    for part, day in found["measured"].items():
        days.setdefault(day, []).append(part)
    said = "; ".join(f"{', '.join(parts)} on {day}" for day, parts in days.items())
    lines = [f"# One {machine.get('card', 'machine')}", "", f"Measured by `python -m benchmarks.gpu`: {said}."]
    if "tflops" in machine:
        rates = ", ".join(f"{name} {rate:.1f}" for name, rate in machine["tflops"].items())
        versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
        lines += [
            "",
            f"Matrix products (8192³, random numbers) reach, in TFLOP/s: {rates}; a copy moves "
            f"{machine['copy_gb_per_s']:,.0f} GB/s. {versions}, Python {machine['python']}.",
        ]
    left = [f"{part}, {name}" for part, names in found["left_out"].items() for name in names]
    if left:
        lines += ["", f"Left out because the time was over: {'; '.join(left)}."]
    return "\n".join(lines)


def _training(found: Mapping[str, Any], key: str, title: str) -> str:
    if not found.get(key):
        return ""
    compiled = found.get("compiled", {})
    variants: Mapping[str, Any] = found[key] | {
        name.removeprefix(f"{key}: "): entry for name, entry in compiled.items() if name.startswith(f"{key}: ")
    }
    counted: Mapping[str, Any] = next((entry for entry in variants.values() if "step_tflop" in entry), {})
    tflop = counted.get("step_tflop")
    lines = [
        f"## Training: {title}",
        "",
        "| | ms a step | the card computes | kernels | targets/s | peak GiB | of the product rate | warm-up s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, entry in variants.items():
        if "error" in entry:
            lines.append(f"| {name} | {entry['error']} | | | | | | |")
            continue
        rate = found.get("machine", {}).get("tflops", {}).get(entry["rate"])
        share = f"{tflop / entry['step_seconds'] / rate:.0%}" if tflop and rate else ""
        memory = "" if entry["peak_gib"] is None else f"{entry['peak_gib']:.2f}"
        card = f"{1e3 * entry['busy_seconds']:.1f} | {entry['kernels']:,.0f}" if "busy_seconds" in entry else " | "
        speed = f"{1e3 * entry['step_seconds']:.1f} | {card} | {entry['targets_per_s']:,.0f}"
        lines.append(f"| {name} | {speed} | {memory} | {share} | {entry['warm_up_seconds']:.0f} |")
    if counted:
        needed = f"A step has {counted['targets']:.0f} targets on average, and needs {tflop:.3g} TFLOP."
        lines += ["", f"{needed} {_waits(counted)}"]
    return "\n".join(lines)


def _qwen(found: Mapping[str, Any]) -> str:
    return _training(found, "qwen", "SETRec at Qwen2.5-1.5B's shape, LoRA, packed")


def _waits(entry: Mapping[str, Any]) -> str:
    places = ", ".join(f"`{place}` {count}" for place, count in entry["wait_places"].items())
    return f"The host waits {entry['waits']} times in one, {entry['cuda_waits']} times as CUDA itself counts" + (
        f": {places}." if places else "."
    )


def _ranking(found: Mapping[str, Any]) -> str:
    ranking = found.get("ranking")
    if not ranking:
        return ""
    lines = ["## Ranking", ""]
    for name, entry in ranking.items():
        if "error" in entry:
            lines.append(f"- {name}: {entry['error']}")
        elif "waits" in entry:
            lines.append(f"- {name}: {entry['seconds']:.2f} s. {_waits(entry)}")
        elif "items" in entry:
            memory = "" if entry["ranking_peak_gib"] is None else (
                f"; peak memory {entry['ranking_peak_gib']:.2f} GiB beyond the tables' {entry['tables_gib']:.2f}, "
                f"{entry['test_peak_gib']:.2f} in all during a test"
            )  # fmt: skip
            lines.append(
                f"- {name}: {entry['users']} users over {entry['items']:,} items in {entry['seconds']:.3f} s{memory}"
            )
        else:
            memory = "" if entry["peak_gib"] is None else f", peak {entry['peak_gib']:.2f} GiB"
            lines.append(
                f"- {name}: {entry['users']:,} users in {entry['seconds']:.2f} s ({entry['users_per_s']:,.0f} a second)"
                f"{memory}"
            )
    return "\n".join(lines)


def _devices(found: Mapping[str, Any]) -> str:
    devices = found.get("devices")
    if not devices:
        return ""
    lines = [
        "## The card and the CPU",
        "",
        "Small models, trained for some steps on the card in bf16, then ranked in float32 with the same weights on the",
        "card and on the CPU: the share of all targets that stand at the same rank in all candidate sets. Loss and",
        "gradients of one float32 step by dense and by flex attention: how far they are apart, relative to the dense",
        "gradients' norm.",
        "",
    ]
    for name, entry in devices.items():
        if "error" in entry:
            lines.append(f"- {name}: {entry['error']}")
        elif "same" in entry:
            lines.append(f"- {name}: {entry['same']:.2%} of {entry['targets']} targets")
        else:
            apart = f"loss {entry['loss_apart']:.1e} of {entry['loss']:.3f}, gradients {entry['gradients_apart']:.1e}"
            lines.append(f"- {name}: {apart}")
    return "\n".join(lines)
