"""What `posestream bench` says: the machine, the table, and the table's place in a README."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from engines.marked import replace_part
from pipeline.errors import OutputError

PART = "bench"


def machine() -> dict[str, Any]:
    """Return what the figures were measured on; the load says whether it had anything else to do."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = round(os.getloadavg()[0], 2)
    return {"cpu": model, "cores": cores, "load": load, "python": platform.python_version(), "busy": load > cores / 2}


def table(report: dict[str, Any]) -> str:
    """Return the report for people."""
    where, latency, lasting = report["machine"], report["latency_ms"], report["live"]
    busy = "  (busy: the figures are worse than the machine)" if where["busy"] else ""
    lines = [
        f"{where['cpu']}, {where['cores']} cores, load {where['load']}{busy}",
        f"clip {Path(report['clip']).name}",
        "",
    ]
    lines.append(f"{'replay':28}{'frames/s':>10}{'CPU ms/frame':>14}")
    lines.append(f"{'posestream, all processes':28}{report['fps']:10.1f}{report['cpu_ms_per_frame']:14.1f}")
    if peer := report.get("peer"):
        lines.append(f"{peer['name']:28}{peer['fps']:10.1f}{peer['cpu_ms_per_frame']:14.1f}")
    lines += ["", f"{'stage':10}{'p50 ms':>8}{'p95 ms':>8}{'p99 ms':>8}{'CPU s':>8}{'MiB':>7}"]
    for name, s in report["stages"].items():
        lines.append(f"{name:10}{s['p50']:8.2f}{s['p95']:8.2f}{s['p99']:8.2f}{s['cpu_s']:8.2f}{s['rss_mb']:7.0f}")
    lines += [
        "",
        f"live, {lasting['seconds']:.0f} s of 30 frames/s: {lasting['fps']:.1f} frames/s, {lasting['dropped']} dropped",
        f"capture to skeleton at a subscriber: p50 {latency['p50']:.1f} ms, p95 {latency['p95']:.1f}, "
        f"p99 {latency['p99']:.1f}, max {latency['max']:.1f}, drift {lasting['latency_drift_ms_per_min']:+.2f} ms/min",
        f"memory {lasting['memory_mb']['start']:.0f} -> {lasting['memory_mb']['end']:.0f} MiB, "
        f"drift {lasting['memory_drift_mb_per_min']:+.2f} MiB/min",
    ]
    return "\n".join(lines) + "\n"


def insert(path: Path, text: str) -> None:
    """Put a table between the marks of a Markdown file, in place of the one that is there.

    Raises:
        OutputError: If the file cannot be read or written, or has no marks.
    """
    try:
        replace_part(path, PART, f"```\n{text.rstrip()}\n```")
    except ValueError as error:
        raise OutputError(f"no place for the table: {error}", exit_code=2) from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", exit_code=2) from error
