"""The engine cache under bad luck: kills, twins, cut and foreign files, folders without room or rights."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engines.cache import CacheError, EngineCache, PlanKey, write_atomically
from engines.modelfile import read_model
from tests.engines.tiny_models import counting_lifter

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
    import re

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
        from engines.cache import EngineCache
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
        from engines.cache import EngineCache
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


class TestBuildCommand:
    """`posestream build` with the real TensorRT-RTX, no GPU, in processes of its own."""

    BUILD = "import sys; from engines.build import main; sys.exit(main())"

    @pytest.fixture(autouse=True)
    def _rtx(self):
        pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13, which is in the dev extra")

    @pytest.fixture
    def model(self, tmp_path):
        return counting_lifter(tmp_path / "lifter.onnx")

    def run(self, tmp_path, *words: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "POSESTREAM_CACHE": str(tmp_path / "cache")}
        command = [*prefix, sys.executable, "-c", self.BUILD, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)

    def test_build_list_again_damage_clean(self, tmp_path, model):
        first = self.run(tmp_path, str(model), "--people", "2")
        assert first.returncode == 0, first.stderr
        assert first.stdout.startswith("lifter: built in ")
        assert "not run: there is no NVIDIA driver here" in first.stdout or "ready after" in first.stdout
        assert first.stderr == "building lifter\n" or "same as ONNX Runtime" in first.stderr
        plan = next((tmp_path / "cache" / "engines").glob("*.plan"))
        plan.write_bytes(plan.read_bytes()[:-10])
        mended = self.run(tmp_path, str(model), "--people", "2", "--list")
        assert mended.returncode == 0
        assert "building lifter again: its plan is cut off" in mended.stderr
        assert "people 1,2" in mended.stdout
        again = self.run(tmp_path, str(model), "--people", "2")
        assert "ready" in again.stdout
        assert "built before" in again.stdout
        clean = self.run(tmp_path, "--clean", "--list")
        assert "deleted 2 files" in clean.stdout
        assert "no engines in" in clean.stdout

    def test_two_builders_at_once_build_once(self, tmp_path, model, monkeypatch):
        monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
        pair = [python(self.BUILD, str(model)) for _ in range(2)]
        results = [(p.communicate(timeout=100), p.returncode) for p in pair]
        assert [code for _, code in results] == [0, 0], results
        said = "".join(out for (out, _), _ in results)
        assert said.count("built in") == 1
        assert said.count("built before") == 1

    def test_who_finds_the_lock_taken_waits_and_takes_what_was_built(self, tmp_path, model, monkeypatch):
        from engines.cache import cache_dir
        from engines.obtain import plan_key
        from engines.plan import PlanOptions, find_tensorrt
        from tests.engines.gpu import REASON

        if not REASON:
            pytest.skip("the key of this test is that of a machine without a GPU")
        monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
        cache = EngineCache(cache_dir() / "engines")
        key = plan_key(read_model(model), find_tensorrt(), None, PlanOptions())
        with cache.lock(key, print):
            process = python(self.BUILD, str(model))
            assert process.stderr.readline() == "another process is building lifter; waiting for it\n"
            cache.store(key, PLAN, {})
        out, _ = process.communicate(timeout=60)
        assert out == "lifter: ready, 0.3 MB (built before)\n"

    def test_kill_9_during_a_build_leaves_nothing_in_the_way(self, tmp_path, model, monkeypatch):
        monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
        process = python(self.BUILD, str(model))
        assert process.stderr.readline() == "building lifter\n"
        process.kill()
        process.wait()
        assert not list((tmp_path / "cache" / "engines").glob("*.plan"))
        after = self.run(tmp_path, str(model))
        assert after.returncode == 0, after.stderr
        assert "built in" in after.stdout

    @pytest.mark.parametrize(
        ("mount", "words"),
        [("size=1m,ro", "Read-only file system"), ("size=300k", "No space left on device")],
        ids=["read-only", "full"],
    )
    def test_a_cache_that_cannot_be_written_costs_one_line(self, tmp_path, model, mount, words):
        where = tmp_path / "cache"
        where.mkdir()
        prefix = ("unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o {mount} none "{where}" && exec "$@"', "sh")
        if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode:
            pytest.skip("this machine lets nobody mount a folder")
        done = self.run(tmp_path, str(model), prefix=prefix)
        assert done.returncode == 0, done.stderr
        assert "built in" in done.stdout
        lines = [line for line in done.stderr.splitlines() if "cannot keep" in line]
        assert len(lines) == 1
        assert words in lines[0]
        assert "POSESTREAM_CACHE names another folder" in lines[0]

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (["no-such-model"], "error: no model file 'no-such-model'"),
            (
                ["MODEL", "--precision", "fp16"],
                "error: there is no lifter-fp16.onnx yet; make it with: python -m train",
            ),
            ([], "name at least one MODEL"),
            (["MODEL", "--people", "0"], "--people must be at least 1"),
        ],
    )
    def test_wrong_words_are_one_line(self, tmp_path, model, words, error):
        done = self.run(tmp_path, *[str(model) if w == "MODEL" else w for w in words])
        assert done.returncode in (1, 2)
        assert error in done.stderr
        assert "Traceback" not in done.stderr
