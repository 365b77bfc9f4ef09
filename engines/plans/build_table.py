"""The table of engines that were built on a machine: `python -m engines.plans.build_table [README.md]`."""

from __future__ import annotations

import sys
from pathlib import Path

from engines.marked import replace_part
from engines.plans.cache import EngineCache, Entry

PART = "build table"


def table(entries: list[Entry]) -> str:
    """Return one line per engine: what it is, how long it took to build, how large it is."""
    lines = ["| model | precision | profiles | seconds | of them CPU | plan MB |", "|---|---|---|---|---|---|"]
    for entry in entries:
        key, facts = entry.facts["key"], entry.facts
        people = ", ".join(map(str, key["people"])) or "-"
        precision = facts.get("spec", {}).get("precision", "?")
        cpu = f"{facts['build_cpu_s']:.1f}" if "build_cpu_s" in facts else "?"
        size = facts["plan_bytes"] / 1e6
        lines.append(
            f"| {key['model']} | {precision} | {people} | {facts.get('build_s', 0):.1f} | {cpu} | {size:.1f} |"
        )
    return "\n".join(lines) + "\n" + _builders(entries)


def _builders(entries: list[Entry]) -> str:
    by = sorted({(e.facts["key"]["flavour"], e.facts["key"]["version"], e.facts["key"]["gpu"]) for e in entries})
    return "".join(f"\nBuilt with {f} {v}, GPU: {gpu}.\n" for f, v, gpu in by)


def main(argv: list[str]) -> int:
    """Run the command; return the exit code."""
    text = table(EngineCache().entries())
    if argv:
        replace_part(Path(argv[0]), PART, text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
