from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.processes import rundir

ROOT = Path(__file__).parents[3]
IMPORTS = "import sys; from pipeline.processes.rundir import RunDir"
HOLD = f"{IMPORTS}; d = RunDir(); print(d.path, flush=True); sys.stdin.readline()"


@pytest.fixture
def parent(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("p")
    monkeypatch.setattr(rundir, "_LONGEST_PATH", 500)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    return path


def test_the_directory_is_private_and_goes_with_its_owner(parent: Path) -> None:
    directory = rundir.RunDir()
    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert directory.path.is_relative_to(parent)
    assert directory.endpoint("frames") == f"ipc://{directory.path}/frames.ipc"
    directory.close()
    assert not directory.path.exists()


def test_the_next_start_removes_what_a_killed_owner_left_and_nothing_else(parent: Path) -> None:
    owners = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    # In this process the limit on path lengths is lifted, in theirs it is not: they may be elsewhere.
    paths = [Path(owner.stdout.readline().strip()) for owner in owners]  # type: ignore[union-attr]
    owners[0].kill()
    owners[0].wait()
    rundir.remove_stale(paths[0].parent)
    assert not paths[0].exists()
    assert paths[1].exists(), "its owner lives"
    owners[1].communicate("\n")
    rundir.remove_stale(paths[1].parent)
    assert not paths[1].exists()


def test_too_long_or_unwritable_places_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("x" * 120)))
    directory = rundir.RunDir()
    assert len(directory.endpoint("decode")) < 107
    directory.close()


def test_only_the_latest_logs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "posestream").mkdir()
    for number in range(40):
        (tmp_path / "posestream" / f"2020-{number:02d}.log").touch()
    rundir.new_log().touch()
    logs = sorted(path.name for path in (tmp_path / "posestream").iterdir())
    assert len(logs) == 20
    assert logs[0] == "2020-21.log"
