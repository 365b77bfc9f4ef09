"""`posestream build` with the real TensorRT-RTX, no GPU, in processes of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import resource
import shutil
import subprocess
import sys

import pytest

from engines.modelfile import read_model
from engines.plans.cache import EngineCache, PlanKey, cache_dir
from engines.plans.obtain import plan_key
from engines.plans.plan import PlanOptions, find_tensorrt
from tests.engines.gpu import REASON
from tests.engines.test_build_cache import PLAN, ROOT, python
from tests.engines.tiny_models import counting_lifter

pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13, which is in the dev extra")

BUILD = "import sys; from engines.plans.build import main; sys.exit(main())"


@pytest.fixture
def model(tmp_path):
    return counting_lifter(tmp_path / "lifter.onnx")


def run(tmp_path, *words: str, prefix: tuple[str, ...] = (), **options) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "POSESTREAM_CACHE": str(tmp_path / "cache")}
    command = [*prefix, sys.executable, "-c", BUILD, *words]
    pipes = {"capture_output": True, "text": True, "timeout": 100, "check": False}
    return subprocess.run(command, env=environment, **pipes, **options)


def test_build_list_again_damage_clean(tmp_path, model):
    first = run(tmp_path, str(model), "--people", "2")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("lifter: built in ")
    assert "not run: there is no NVIDIA driver here" in first.stdout or "ready after" in first.stdout
    assert first.stderr == "building lifter\n" or "same as ONNX Runtime" in first.stderr
    plan = next((tmp_path / "cache" / "engines").glob("*.plan"))
    plan.write_bytes(plan.read_bytes()[:-10])
    mended = run(tmp_path, str(model), "--people", "2", "--list")
    assert mended.returncode == 0
    assert "building lifter again: its plan is cut off" in mended.stderr
    assert "people 1,2" in mended.stdout
    again = run(tmp_path, str(model), "--people", "2")
    assert "ready" in again.stdout
    assert "built before" in again.stdout
    clean = run(tmp_path, "--clean", "--list")
    assert "deleted 2 files" in clean.stdout
    assert "no engines in" in clean.stdout


def test_two_builders_at_once_build_once(tmp_path, model, monkeypatch):
    monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
    pair = [python(BUILD, str(model)) for _ in range(2)]
    results = [(p.communicate(timeout=100), p.returncode) for p in pair]
    assert [code for _, code in results] == [0, 0], results
    said = "".join(out for (out, _), _ in results)
    assert said.count("built in") == 1
    assert said.count("built before") == 1


def test_who_finds_the_lock_taken_waits_and_takes_what_was_built(tmp_path, model, monkeypatch):
    if not REASON:
        pytest.skip("the key of this test is that of a machine without a GPU")
    monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
    cache = EngineCache(cache_dir() / "engines")
    key = plan_key(read_model(model), find_tensorrt(), None, PlanOptions())
    with cache.lock(key, print):
        process = python(BUILD, str(model))
        assert process.stderr.readline() == "another process is building lifter; waiting for it\n"
        cache.store(key, PLAN, {})
    out, _ = process.communicate(timeout=60)
    assert out == "lifter: ready, 0.3 MB (built before)\n"


def test_kill_9_during_a_build_leaves_nothing_in_the_way(tmp_path, model, monkeypatch):
    monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
    process = python(BUILD, str(model))
    assert process.stderr.readline() == "building lifter\n"
    process.kill()
    process.wait()
    assert not list((tmp_path / "cache" / "engines").glob("*.plan"))
    after = run(tmp_path, str(model))
    assert after.returncode == 0, after.stderr
    assert "built in" in after.stdout


def test_a_plan_of_another_version_is_built_again(tmp_path, model):
    """As after an upgrade of TensorRT: the old engine lies there, whole and with true facts."""
    assert run(tmp_path, str(model), "--people", "1").returncode == 0
    folder = tmp_path / "cache" / "engines"
    facts = next(folder.glob("*.json"))
    entry = json.loads(facts.read_text())
    key = PlanKey(**{**entry["key"], "people": tuple(entry["key"]["people"]), "version": "0.9.9"})
    plan = facts.with_suffix(".plan")
    (folder / f"{key.stem}.json").write_text(json.dumps({**entry, "key": dataclasses.asdict(key)}))
    plan.rename(folder / f"{key.stem}.plan")
    facts.unlink()
    after = run(tmp_path, str(model), "--people", "1")
    lines = after.stderr.splitlines()
    assert re.fullmatch(r"building lifter again: there is one built with tensorrt\S* 0\.9\.9, not [\d.]+", lines[0])
    assert "built before" in run(tmp_path, str(model), "--people", "1").stdout


def test_a_full_disk_in_the_middle_of_a_file(tmp_path, model):
    """Everywhere, also where nothing can be mounted: the kernel refuses to let the file grow."""
    limit = 100_000

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = run(tmp_path, str(model), "--people", "1", preexec_fn=no_room)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "cannot keep" in line]
    assert len(lines) == 1
    assert "File too large; it will be built again next time" in lines[0]
    folder = tmp_path / "cache" / "engines"
    assert [p.suffix for p in folder.iterdir()] == [".lock"], "a part of the plan is left"
    after = run(tmp_path, str(model), "--people", "1")
    assert "building lifter\n" in after.stderr
    assert "built in" in after.stdout


def test_a_folder_that_cannot_be_made(tmp_path, model):
    (tmp_path / "cache").write_text("in the way")
    done = run(tmp_path, str(model), "--people", "1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot keep the engine") == 1
    (tmp_path / "cache").unlink()
    assert "built in" in run(tmp_path, str(model), "--people", "1").stdout


@pytest.mark.parametrize(
    ("mount", "words"),
    [("size=1m,ro", "Read-only file system"), ("size=100k", "No space left on device")],
    ids=["read-only", "full"],
)
def test_a_cache_that_cannot_be_written_costs_one_line(tmp_path, model, mount, words):
    where = tmp_path / "cache"
    where.mkdir()
    prefix = ("unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o {mount} none "{where}" && exec "$@"', "sh")
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a folder")
    done = run(tmp_path, str(model), "--people", "1", prefix=prefix)
    assert done.returncode == 0, done.stderr
    assert "built in" in done.stdout
    lines = [line for line in done.stderr.splitlines() if "cannot keep" in line]
    assert len(lines) == 1
    assert words in lines[0]
    assert "POSESTREAM_CACHE names another folder" in lines[0]
    assert "built in" in run(tmp_path, str(model), "--people", "1").stdout  # the folder as it is without the mount


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
def test_wrong_words_are_one_line(tmp_path, model, words, error):
    done = run(tmp_path, *[str(model) if w == "MODEL" else w for w in words])
    assert done.returncode in (1, 2)
    assert error in done.stderr
    assert "Traceback" not in done.stderr
