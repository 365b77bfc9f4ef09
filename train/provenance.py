"""Where weights come from: written beside the checkpoint when training begins, put into the file when it is exported.

What the command line says at export need not be what it said at training, so it is not asked then.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAME = "provenance.json"


def write_provenance(folder: Path, facts: dict[str, Any]) -> None:
    """Write the facts of a run, a JSON object, into its folder; a resumed run writes them again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_text(json.dumps(facts, indent=1))


def read_provenance(checkpoint: Path) -> dict[str, Any]:
    """Return the facts of the run that a checkpoint, or the folder of one, belongs to.

    A checkpoint without the file (moved, or older than it) is said to be of unknown origin.
    """
    path = (checkpoint if checkpoint.is_dir() else checkpoint.parent) / NAME
    if not path.exists():
        return {"unknown": f"no {NAME} lay beside {checkpoint.name}"}
    return json.loads(path.read_text())
