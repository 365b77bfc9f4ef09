"""The curves of a training run: CSV files always, TensorBoard's events where asked for and installed."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TRAIN, VAL = "log.csv", "val.csv"


class RunLog:
    """Appends rows of figures to log.csv and val.csv in a run's folder."""

    def __init__(self, folder: Path, tensorboard: bool = False) -> None:
        """Open it.

        Args:
            folder: Of the run; made if missing.
            tensorboard: Also write events into `folder`/tensorboard. Without the package a line says so, no more.
        """
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.note, self._events = "", None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter

                self._events: Any = SummaryWriter(str(folder / "tensorboard"))
            except ImportError:
                self.note = "no TensorBoard log, only CSV: pip install tensorboard"

    def add(self, name: str, row: Mapping[str, float]) -> None:
        """Append a row with a "step" to one of the files; a column that is new is added to the rows before it."""
        path = self._folder / name
        columns, before = _read(path)
        text = {k: f"{v:.6g}" for k, v in row.items()}
        if set(text) - set(columns):
            columns += [k for k in text if k not in columns]
            part = path.with_suffix(".tmp")
            with part.open("w", newline="") as file:
                writer = csv.DictWriter(file, columns, extrasaction="ignore")  # a line torn and joined has more
                writer.writeheader()
                writer.writerows(before)
            part.replace(path)
        torn = path.read_bytes()[-1:] != b"\n"  # by a kill in the middle of a line
        with path.open("a", newline="") as file:
            file.write("\n" * torn)
            csv.DictWriter(file, columns).writerow(text)
        if self._events is not None:
            for key in row.keys() - {"step"}:
                self._events.add_scalar(f"{path.stem}/{key}", row[key], int(row["step"]))
            self._events.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._events is not None:
            self._events.close()


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not path.exists():
        return [], []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or ()), list(reader)


def read_curves(path: Path) -> dict[str, list[float]]:
    """Return the columns of a log as numbers; what is missing or torn is NaN.

    Steps that were done twice, since a run was interrupted after its last checkpoint, count as they were done last.
    """
    columns, rows = _read(path)
    latest: dict[float, dict[str, str]] = {}
    for row in rows:
        latest[_number(row.get("step"))] = row
    steps = sorted(s for s in latest if s == s)
    return {name: [_number(latest[s].get(name)) for s in steps] for name in columns}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
