"""Where TensorRT engines are kept: a plan, and beside it JSON facts that say what it fits.

A plan fits one model file, one TensorRT, one GPU, one driver and one set of options; all of that is its key.
The facts are written last, so that a plan without facts, left by a killed process, does not count. Nothing
is handed to TensorRT before size and hash have been checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.plans.locks import Say, hold

FACTS_SCHEMA = 1


class CacheError(EngineError):
    """The cache cannot be written; the message is one line that says where and why."""


def cache_dir() -> Path:
    """Return the folder for built engines and converted models: $POSESTREAM_CACHE or the platform's cache folder."""
    if "POSESTREAM_CACHE" in os.environ:
        return Path(os.environ["POSESTREAM_CACHE"])
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "posestream"


@dataclass(frozen=True)
class PlanKey:
    """Everything a plan depends on.

    Attributes:
        model: Name of the model file, without ".onnx".
        sha256: Of the model file.
        flavour, version: Which TensorRT.
        gpu, capability, driver: Which GPU and CUDA driver version; "none", "" and "" for one built without a GPU.
        people: Profiles.
        workspace_mib: Build option.
    """

    model: str
    sha256: str
    flavour: str
    version: str
    gpu: str
    capability: str
    driver: str
    people: tuple[int, ...]
    workspace_mib: int

    @property
    def stem(self) -> str:
        """File name of the entry, without suffix."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{self.model}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def timing(self) -> str:
        """File name of the timing cache that builds like this one share."""
        machine = (self.flavour, self.version, self.gpu, self.capability, self.driver)
        return f"{self.flavour}-{hashlib.sha256(json.dumps(machine).encode()).hexdigest()[:16]}.timing"

    def differs(self, other: dict[str, Any]) -> str:
        """Say in words how the key of another entry differs; "" if it is the same."""
        mine = json.loads(json.dumps(asdict(self)))  # tuples as JSON has them
        words = {
            "sha256": "for another version of the model file",
            "gpu": f"for {other.get('gpu')}, not {self.gpu}",
            "flavour": f"with {other.get('flavour')}, not {self.flavour}",
            "version": f"with {self.flavour} {other.get('version')}, not {self.version}",
            "driver": f"under CUDA driver {other.get('driver')}, not {self.driver}",
            "people": f"for {other.get('people')} people, not {list(self.people)}",
        }
        changed = [name for name, value in mine.items() if other.get(name) != value]
        return next((words[n] for n in words if n in changed), f"with other {changed}" if changed else "")


@dataclass(frozen=True)
class Entry:
    """A stored engine: its files and its facts (key, plan size and hash, spec, build seconds, parity, speed)."""

    path: Path
    facts: dict[str, Any]


class EngineCache:
    """The folder of built engines."""

    def __init__(self, folder: Path | None = None) -> None:
        """Use a folder; by default "engines" in `cache_dir()`. It is made when something is stored."""
        self.folder = folder or cache_dir() / "engines"

    def load(self, key: PlanKey) -> tuple[bytes | None, str]:
        """Return the plan for a key, or None and the reason in words ("" if there never was one)."""
        path = self.folder / f"{key.stem}.plan"
        facts = _read_facts(path.with_suffix(".json"))
        if facts is None or facts["key"] != json.loads(json.dumps(asdict(key))):
            return None, self._why_missing(key)
        try:
            plan = path.read_bytes()
        except OSError as error:
            return None, f"its plan cannot be read ({error.strerror})"
        if len(plan) != facts["plan_bytes"]:
            return None, f"its plan is cut off ({len(plan)} of {facts['plan_bytes']} bytes)"
        if hashlib.sha256(plan).hexdigest() != facts["plan_sha256"]:
            return None, "its plan is damaged (wrong SHA-256)"
        return plan, ""

    def resolve(self, key: PlanKey) -> PlanKey:
        """Return the key of the newest engine that differs in the numbers of people only; else the key itself."""
        wanted = {**json.loads(json.dumps(asdict(key))), "people": None}
        same = [e.facts for e in self.entries() if {**e.facts["key"], "people": None} == wanted]
        if not same:
            return key
        newest = max(same, key=lambda facts: str(facts.get("built_utc")))
        return replace(key, people=tuple(newest["key"]["people"]))

    def _why_missing(self, key: PlanKey) -> str:
        others = [e for e in self.entries() if e.facts["key"]["model"] == key.model]
        if not others:
            return ""
        newest = max(others, key=lambda e: str(e.facts.get("built_utc")))
        return "there is one built " + key.differs(newest.facts["key"])

    def store(self, key: PlanKey, plan: bytes, facts: dict[str, Any]) -> Path:
        """Write an entry, all or nothing.

        Args:
            key: Of the plan.
            plan: The serialised engine.
            facts: More to write down; key, size and hash are added.

        Returns:
            The plan's path.

        Raises:
            CacheError: If it cannot be written; nothing of it is left behind.
        """
        path = self.folder / f"{key.stem}.plan"
        own = {"schema": FACTS_SCHEMA, "key": asdict(key), "plan_bytes": len(plan)}
        text = json.dumps({**facts, **own, "plan_sha256": hashlib.sha256(plan).hexdigest()}, indent=1)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(f".{key.stem}.*.tmp"):
                left.unlink()  # of a process that was killed: this one holds the lock
            write_atomically(path, plan)
            write_atomically(path.with_suffix(".json"), text.encode())
        except OSError as error:
            raise CacheError(
                f"cannot keep the engine in {self.folder}: {error.strerror}; it will be built again next time "
                "(POSESTREAM_CACHE names another folder)"
            ) from error
        return path

    def entries(self) -> list[Entry]:
        """Return every stored engine with readable facts, by name."""
        found = [(path, _read_facts(path)) for path in sorted(self.folder.glob("*.json"))]
        return [Entry(path.with_suffix(".plan"), facts) for path, facts in found if facts is not None]

    def clean(self) -> tuple[int, int]:
        """Delete every engine and what belongs to it; return how many files and bytes. Lock files stay.

        Raises:
            CacheError: If something cannot be deleted.
        """
        count = freed = 0
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            if path.suffix not in (".plan", ".json", ".jit", ".timing", ".tmp"):
                continue
            try:
                size = path.stat().st_size
                path.unlink()
            except OSError as error:
                raise CacheError(f"cannot delete {path}: {error.strerror}") from error
            count, freed = count + 1, freed + size
        return count, freed

    @contextmanager
    def lock(self, key: PlanKey, say: Say) -> Iterator[None]:
        """Hold the right to build an entry; wait while another process has it.

        The kernel gives it back when a process dies. Where no lock file can be made nothing can be stored
        either, and no lock is needed.
        """
        with hold(self.folder / f"{key.stem}.lock", f"another process is building {key.model}; waiting for it", say):
            yield

    @contextmanager
    def turn(self, say: Say) -> Iterator[None]:
        """Wait for other builders in the background: one after the other spares the machine they run beside."""
        with hold(self.folder / "background.lock", "another engine is being built; this one is next", say):
            yield


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens.

    Raises:
        OSError: If it cannot be written; no part of it is left.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _read_facts(path: Path) -> dict[str, Any] | None:
    """Return the facts in a file, or None if it is absent, damaged or of another schema."""
    try:
        facts = json.loads(path.read_bytes())
        usable = facts["schema"] == FACTS_SCHEMA and {"model", "sha256", "gpu", "version"} <= set(facts["key"])
        return facts if usable and isinstance(facts["plan_bytes"], int) and facts["plan_sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
