"""The tables and plots of README.md, made from the results/*.json beside it; the layout of such a file lives here."""

from __future__ import annotations

import argparse
import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engines.marked import replace_part

HERE = Path(__file__).parent
PART = "tables"
BESIDE = "jitter"
LABEL_WIDTH = 44  # characters
Cell = float | int | str | None | list[float]


@dataclass(frozen=True)
class Ordering:
    """A claim of a paper, whether it holds in our figures, and why or why not."""

    claim: str
    holds: bool
    why: str = ""


@dataclass(frozen=True)
class Table:
    """One experiment's results.

    Attributes:
        title: Heading in the README.
        note: What was trained on what, the units, what to keep in mind when reading.
        command: How to make the figures again.
        columns: Keys of the rows in the order of the table, `name` (always first) not among them.
        rows: Dictionaries with `name` and, per column, one number, text, or a list of one number per seed.
        orderings: The claims checked.
    """

    title: str
    note: str
    command: str
    columns: list[str]
    rows: list[dict[str, Any]]
    orderings: list[Ordering] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check that every row has a name and no column that the table does not print.

        Raises:
            ValueError: If one does not.
        """
        for row in self.rows:
            if "name" not in row:
                raise ValueError(f"{self.title}: a row without name: {row}")
            unknown = set(row) - {"name", *self.columns}
            if unknown:
                raise ValueError(f"{self.title}: row {row['name']!r} has cells {sorted(unknown)} that no column names")


def read(path: Path) -> Table:
    """Read a results file.

    Raises:
        ValueError: If it is not one; the message names the file.
    """
    try:
        raw = json.loads(path.read_text())
        return Table(**{**raw, "orderings": [Ordering(**o) for o in raw.get("orderings", [])]})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a results file: {error}") from error


def write(path: Path, table: Table) -> None:
    """Write a results file, small and in one go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(asdict(table), indent=1) + "\n")
    partial.replace(path)


def mean(cell: Cell) -> float:
    """Return a cell's number, the mean over its seeds; NaN where it has none."""
    if isinstance(cell, list) and cell:
        return float(np.mean(cell))
    return float(cell) if isinstance(cell, int | float) else math.nan


def shown(cell: Cell) -> str:
    """Return a cell as text: three to four figures, seeds as mean ± standard deviation (n - 1)."""
    if cell is None or (isinstance(cell, list) and not cell):
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return str(cell)
    digits = _digits(abs(mean(cell)))
    if isinstance(cell, list) and len(cell) > 1:
        return f"{mean(cell):.{digits}f} ± {np.std(cell, ddof=1):.{digits}f}"
    return f"{mean(cell):.{digits}f}"


def _digits(size: float) -> int:
    return 1 if size >= 20 else 2 if size >= 1 else 3


def section(table: Table, name: str, pictures: Sequence[str] = ()) -> str:
    """Return a table's Markdown: heading, note, command, figures, claims, pictures."""
    lines = [f"## {table.title}", "", table.note.strip(), "", f"    {table.command}", ""]
    lines.append("| | " + " | ".join(table.columns) + " |")
    lines.append("|---|" + "---:|" * len(table.columns))
    for row in table.rows:
        lines.append(f"| {row['name']} | " + " | ".join(shown(row.get(c)) for c in table.columns) + " |")
    lines.append("")
    for o in table.orderings:
        lines.append(f"* {'holds' if o.holds else '**does not hold**'}: {o.claim}" + (f" ({o.why})" if o.why else ""))
    if table.orderings:
        lines.append("")
    for picture in pictures:
        lines += [f"![{name}]({picture})", ""]
    return "\n".join(lines)


def plot(table: Table, path: Path) -> bool:
    """Draw a table's first numeric column as horizontal bars with the seeds as dots; False if it has none.

    Beside it the first column of jitter, where there is one.
    """
    numeric = [c for c in table.columns if any(math.isfinite(mean(r.get(c))) for r in table.rows)]
    rows = [r for r in table.rows if numeric and math.isfinite(mean(r.get(numeric[0])))]
    if len(rows) < 2:
        return False
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    drawn = numeric[:1] + [c for c in numeric[1:] if c.startswith(BESIDE)][:1]
    names = [textwrap.fill(r["name"].replace("*", ""), LABEL_WIDTH) for r in rows]
    lines = len(names) * max(2, *(1 + name.count("\n") for name in names))
    size = (8 if len(drawn) == 1 else 11, 0.7 + 0.17 * lines)
    figure, panels = plt.subplots(1, len(drawn), figsize=size, layout="constrained", sharey=True, squeeze=False)
    for axes, column in zip(panels[0], drawn, strict=True):
        axes.barh(range(len(rows)), [mean(r.get(column)) for r in rows], color="#9db8d2", height=0.7)
        for at, row in enumerate(rows):
            seeds = row[column] if isinstance(row.get(column), list) else []
            axes.plot(seeds, [at] * len(seeds), "o", color="#1f3b57", markersize=3)
        axes.set_xlabel(column)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_yticks(range(len(rows)), names, fontsize=9)
    panels[0][0].invert_yaxis()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return True


def pictures_of(path: Path) -> list[Path]:
    """Return a results file's plot and the pictures that its experiment left beside it as STEM_*.png."""
    others = [p.stem for p in path.parent.glob(f"{path.stem}_*.json")]
    beside = [p for p in path.parent.glob(f"{path.stem}_*.png") if not any(p.stem.startswith(o) for o in others)]
    return [p for p in (path.with_suffix(".png"), *sorted(beside)) if p.exists()]


def rebuild(readme: Path, results: Path) -> int:
    """Replace the part of the README between the marks by the sections of all results; return their number.

    Raises:
        ValueError: If the README lacks the marks or a file is not a results file.
    """
    parts = []
    for path in sorted(results.glob("*.json")):
        table = read(path)
        plot(table, path.with_suffix(".png"))
        pictures = [p.relative_to(readme.parent).as_posix() for p in pictures_of(path) if p.name not in table.note]
        parts.append(section(table, path.stem, pictures))
    replace_part(readme, PART, "\n".join(parts))
    return len(parts)


def main(argv: list[str] | None = None) -> int:
    """Rebuild the README's tables."""
    p = argparse.ArgumentParser(prog="python -m train.experiments.tables", description=__doc__)
    p.add_argument("--readme", type=Path, default=HERE / "README.md")
    p.add_argument("--results", type=Path, default=HERE / "results", help="folder of *.json; plots go beside them")
    args = p.parse_args(argv)
    print(f"{args.readme}: {rebuild(args.readme, args.results)} tables")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
