"""The generated part of a text: what lies between `<!-- NAME: begin -->` and `<!-- NAME: end -->`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def replace_part(path: Path, name: str, part: str) -> None:
    """Replace the generated part of a file.

    Args:
        path: A text that holds both marks of the part, once.
        name: Of the part.
        part: Its new content.

    Raises:
        ValueError: If the marks are not there.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = path.read_text()
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{path} needs one line {begin} and after it one line {end}")
    head, tail = text.split(begin)[0], text.split(end)[1]
    path.write_text(f"{head}{begin}\n\n{part.strip()}\n\n{end}{tail}")


def table(head: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
