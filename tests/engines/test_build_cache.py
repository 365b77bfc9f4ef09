"""The engine cache under bad luck: kills, twins, cut and foreign files, folders without room or rights."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engines.plans.cache import CacheError, EngineCache, PlanKey, write_atomically

ROOT = Path(__file__).parents[2]
KEY = PlanKey("lifter", "ab" * 32, "tensorrt", "10.16.1", "NVIDIA H200", "9.0", "13.0", (1, 2, 4, 8), 1024)
PLAN = bytes(range(256)) * 1000


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def python(code: str, *arguments: str, **options) -> subprocess.Popen[str]:
    """Start Python with the checkout on its path."""
    environment = {**os.environ, **options.pop("env", {}), "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *arguments], env=environment, **pipes)


def test_what_was_stored_is_loaded(cache):
    path = cache.store(KEY, PLAN, {"build_s": 3.5})
    assert cache.load(KEY) == (PLAN, "")
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["key"]["gpu"] == "NVIDIA H200"
    assert facts["build_s"] == 3.5
    assert sorted(p.suffix for p in cache.folder.iterdir()) == [".json", ".plan"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "10.17.0"}, "built with tensorrt 10.16.1, not 10.17.0"),
        ({"flavour": "tensorrt_rtx", "version": "1.7"}, "built with tensorrt, not tensorrt_rtx"),
        ({"gpu": "NVIDIA L4", "capability": "8.9"}, "built for NVIDIA H200, not NVIDIA L4"),
        ({"driver": "13.1"}, "built under CUDA driver 13.0, not 13.1"),
        ({"sha256": "cd" * 32}, "built for another version of the model file"),
        ({"people": (1, 2)}, r"built for \[1, 2, 4, 8\] people, not \[1, 2\]"),
        ({"workspace_mib": 64}, r"built with other \['workspace_mib'\]"),
    ],
)
def test_a_plan_for_something_else_is_not_loaded_and_the_reason_is_said(cache, change, words):
    cache.store(KEY, PLAN, {})
    plan, reason = cache.load(replace(KEY, **change))
    assert plan is None
    assert re.search(words, reason)
    assert cache.load(KEY)[0] == PLAN


def test_facts_that_were_moved_to_another_key_do_not_count(cache):
    path = cache.store(KEY, PLAN, {})
    other = replace(KEY, gpu="NVIDIA L4")
    for suffix in (".plan", ".json"):
        shutil.copy(path.with_suffix(suffix), cache.folder / f"{other.stem}{suffix}")
    assert cache.load(other)[0] is None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p.write_bytes(PLAN[:1000]), "cut off (1000 of 256000 bytes)"),
        (lambda p: p.write_bytes(b"\1" + PLAN[1:]), "damaged (wrong SHA-256)"),
        (lambda p: p.write_bytes(b""), "cut off (0 of 256000 bytes)"),
        (lambda p: p.unlink(), "cannot be read"),
    ],
)
def test_a_damaged_plan_is_noticed_and_replaced(cache, damage, words):
    damage(cache.store(KEY, PLAN, {}))
    plan, reason = cache.load(KEY)
    assert plan is None
    assert words in reason
    cache.store(KEY, PLAN, {})
    assert cache.load(KEY)[0] == PLAN


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 9}', '{"schema": 1, "key": 5}', "\xff"])
def test_unreadable_facts_mean_no_entry(cache, text):
    cache.store(KEY, PLAN, {}).with_suffix(".json").write_text(text, encoding="latin-1")
    assert cache.load(KEY)[0] is None
    assert cache.entries() == []


def test_an_engine_for_other_numbers_of_people_is_found(cache):
    cache.store(replace(KEY, people=(1, 2)), PLAN, {"built_utc": "2026-01-01"})
    cache.store(replace(KEY, people=(1, 2, 4, 8, 16)), PLAN, {"built_utc": "2026-01-02"})
    assert cache.resolve(KEY).people == (1, 2, 4, 8, 16)
    assert cache.resolve(replace(KEY, gpu="NVIDIA L4")).people == KEY.people


@pytest.mark.parametrize("writes", [1, 2], ids=["in the plan", "in the facts"])
def test_kill_9_in_the_middle_of_writing_leaves_no_half_plan(cache, writes):
    """The process dies between writing the bytes and giving them their name."""
    code = """
        import os, sys
        from pathlib import Path
        from engines.plans.cache import EngineCache
        from tests.engines.test_build_cache import KEY, PLAN
        left, sync = [int(sys.argv[2])], os.fsync
        def die(fd):
            left[0] -= 1
            os.kill(os.getpid(), 9) if left[0] == 0 else sync(fd)
        os.fsync = die
        EngineCache(Path(sys.argv[1])).store(KEY, PLAN, {})
    """
    process = python(code, str(cache.folder), str(writes))
    assert process.wait(30) == -signal.SIGKILL, process.stderr.read()
    assert list(cache.folder.glob(".*.tmp")), "it was meant to die in the middle"
    assert cache.load(KEY)[0] is None
    cache.store(KEY, PLAN, {})
    assert cache.load(KEY)[0] == PLAN
    assert not list(cache.folder.glob(".*.tmp")), "what the dead process left is still there"


def test_a_killed_builder_gives_its_lock_back(cache):
    code = """
        import sys, time
        from pathlib import Path
        from engines.plans.cache import EngineCache
        from tests.engines.test_build_cache import KEY
        with EngineCache(Path(sys.argv[1])).lock(KEY, print):
            print("locked", flush=True)
            time.sleep(60)
    """
    process = python(code, str(cache.folder))
    assert process.stdout.readline() == "locked\n"
    process.kill()
    process.wait()
    said: list[str] = []
    started = time.monotonic()
    with cache.lock(KEY, said.append):
        assert time.monotonic() - started < 5
    assert said in ([], ["another process is building lifter; waiting for it"])


def test_cleaning_leaves_nothing_but_locks(cache):
    cache.store(KEY, PLAN, {})
    (cache.folder / f"{KEY.stem}.jit").write_bytes(b"kernels")
    with cache.lock(KEY, print):
        count, freed = cache.clean()
    assert count == 3
    assert freed > len(PLAN)
    assert [p.suffix for p in cache.folder.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = EngineCache(tmp_path / "file" / "engines")
    with pytest.raises(CacheError, match=r"cannot keep the engine in .*: (Not a directory|File exists); it will be"):
        cache.store(KEY, PLAN, {})
    with cache.lock(KEY, print):
        assert cache.load(KEY) == (None, "")


def test_atomic_writing_keeps_the_old_file_if_the_new_one_fails(tmp_path, monkeypatch):
    path = tmp_path / "plan"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
