"""The table of engines that were built on a machine, for the README: `python -m engines.build_table [README.md]`."""

from __future__ import annotations

import sys
from pathlib import Path

from engines.cache import EngineCache, Entry

BEGIN, END = "<!-- build table: begin -->", "<!-- build table: end -->"


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


def insert(path: Path, text: str) -> None:
    """Put a text between the marks of a file.

    Raises:
        ValueError: If the marks are not there.
    """
    content = path.read_text()
    if content.count(BEGIN) != 1 or content.count(END) != 1:
        raise ValueError(f"{path} needs one line {BEGIN} and one line {END}")
    head, rest = content.split(BEGIN)
    path.write_text(f"{head}{BEGIN}\n{text}{END}{rest.split(END)[1]}")


def main(argv: list[str]) -> int:
    """Run the command; return the exit code."""
    text = table(EngineCache().entries())
    if argv:
        insert(Path(argv[0]), text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
