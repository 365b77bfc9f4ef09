"""Where weights come from: written beside the checkpoint when training begins, put into the file when it is exported.

What the command line says at export need not be what it said at training, so it is not asked then.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAME = "provenance.json"


def write_provenance(folder: Path, facts: dict[str, Any], steps: int) -> None:
    """Write the facts of a run into its folder; a resumed run keeps its origin and adds what is no longer so.

    Args:
        folder: Of the run; made if missing.
        facts: A JSON object.
        steps: Done already; if any, the facts that differ go into a list "resumed".
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    if steps and not path.exists():
        facts = {**facts, "unknown": f"how the first {steps} steps were made"}
    elif steps:
        origin = read_provenance(folder)
        changed = {key: value for key, value in facts.items() if origin.get(key) != value}
        entry, resumed = {"at_step": steps, **changed}, origin.get("resumed", [])
        facts = {**origin, "resumed": [*resumed, entry]} if changed and entry not in resumed else origin
    part = path.with_suffix(".tmp")
    part.write_text(json.dumps(facts, indent=1))
    part.replace(path)


def read_provenance(checkpoint: Path) -> dict[str, Any]:
    """Return the facts of the run that a checkpoint, or the folder of one, belongs to.

    A checkpoint without the file (moved, or older than it) is said to be of unknown origin.
    """
    path = (checkpoint if checkpoint.is_dir() else checkpoint.parent) / NAME
    if not path.exists():
        return {"unknown": f"no {NAME} lay beside {checkpoint.name}"}
    return json.loads(path.read_text())
