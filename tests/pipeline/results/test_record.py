from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.client import recorded
from pipeline.errors import OutputError, SourceError
from pipeline.messages import EndOfStream, People3D, StageStatus, Stamp
from pipeline.results.journal import Journal, read_journal
from pipeline.results.record import collect, load_results, save_results
from tests.pipeline.fake_stages import people_2d, people_3d


def people(seq: int, rows: int = 1, smooth: bool = False, pts_s: float | None = None) -> People3D:
    made = people_3d(people_2d(Stamp("x", seq, seq * 10**7, pts_s), rows))
    return replace(made, xyz_smooth_m=made.xyz_m + 1) if smooth else made


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_results_hold_one_row_per_frame_and_person() -> None:
    status = StageStatus(stage="decode", state="running", facts={"source": "x", "source_fps": 25.0})
    model = StageStatus(stage="lift", state="running", facts={"models": {"lifter": {"name": "l"}}, "run": {"pid": 1}})
    stream = [status, model, people(0, 0, pts_s=0.0), people(1, 2, pts_s=0.04), people(4, 1, pts_s=0.16)]
    results = collect([*stream, EndOfStream(last_seq=6, reason="end")], info={"more": 1})
    assert results.frame.tolist() == [1, 1, 4]
    assert results.track.tolist() == [0, 1, 0]
    assert results.pts_s.tolist() == [0.04, 0.04, 0.16]
    assert results.xyz_m.shape == (3, 17, 3)
    assert (results.frames, results.fps, results.size_wh.tolist()) == (7, 25.0, [64, 48])
    assert results.xyz_smooth_m is None
    assert results.info["models"] == {"lifter": {"name": "l"}}
    assert results.info["more"] == 1
    assert results.info["complete"]


def test_a_stream_without_people_or_frames_gives_empty_arrays() -> None:
    nobody = collect([people(0, 0), EndOfStream(last_seq=0, reason="end")])
    assert (nobody.frames, nobody.xy_px.shape, nobody.size_wh.tolist()) == (1, (0, 17, 2), [64, 48])
    nothing = collect([])
    assert (nothing.frames, nothing.xyz_m.shape, nothing.info["complete"]) == (0, (0, 17, 3), False)


def test_the_frame_rate_is_measured_if_nobody_tells_it() -> None:
    assert collect([people(seq, pts_s=seq / 24) for seq in range(10)]).fps == pytest.approx(24)
    assert collect([people(seq) for seq in range(10)]).fps == pytest.approx(100)  # 10 ms between captures
    assert np.isnan(collect([people(0)]).pts_s).all()


@pytest.mark.parametrize("smooth", [False, True])
def test_a_results_file_comes_back_as_it_was(tmp_path: Path, smooth: bool) -> None:
    results = collect([people(seq, 2, smooth) for seq in range(5)], info={"fingerprint": "f"})
    save_results(tmp_path / "o.npz", results)
    again = load_results(tmp_path / "o.npz")
    for name in ("frame", "pts_s", "track", "xy_px", "score", "xyz_m", "root_m", "size_wh", "xyz_smooth_m"):
        a, b = getattr(results, name), getattr(again, name)
        assert (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    assert (again.fps, again.skeleton, again.frames, again.info) == (
        results.fps, "h36m17", 5, results.info,
    )  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["o.npz"]


def test_a_full_disk_leaves_the_older_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "o.npz"
    save_results(path, collect([people(0)]))
    with disk_of(10_000), pytest.raises(OutputError, match=r"cannot write .*too large"):
        save_results(path, collect([people(seq) for seq in range(100)]))
    assert load_results(path).frames == 1
    assert [p.name for p in tmp_path.iterdir()] == ["o.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY\x01\x00", b"PSJ1"])
def test_foreign_files_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "o.npz"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="not a results file"):
        load_results(path)
    np.savez(path, frame=np.zeros(3))
    with pytest.raises(SourceError, match="not a results file"):
        load_results(path)
    with pytest.raises(SourceError, match="does not exist"):
        load_results(tmp_path / "none.npz")


def test_a_missing_file_names_its_journal(tmp_path: Path) -> None:
    Journal(tmp_path / "o.npz.part").close()
    with pytest.raises(SourceError) as caught:
        load_results(tmp_path / "o.npz")
    assert "o.npz.part" in caught.value.hint


def test_a_journal_is_readable_wherever_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "o.npz.part"
    journal = Journal(path)
    ends = []
    for seq in range(3):
        journal.add(people(seq))
        ends.append(path.stat().st_size)
    whole = path.read_bytes()
    cuts = {4, len(whole), *range(4, len(whole), 97), *(end + off for end in ends[:2] for off in range(-3, 6))}
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        assert load_results(path).frames == sum(end <= cut for end in ends)


def test_a_journal_is_continued_after_its_torn_end(tmp_path: Path) -> None:
    path = tmp_path / "o.npz.part"
    first = Journal(path)
    for seq in range(3):
        first.add(people(seq))
    path.write_bytes(path.read_bytes()[:-5])
    second = Journal(path, go_on=True)
    assert second.messages == 2
    second.add(people(7))
    assert [m.stamp.seq for m in read_journal(path) if isinstance(m, People3D)] == [0, 1, 7]


@pytest.mark.parametrize("content", [None, b"", b"PS", b"PSJ1", b"PSJ1\x10"])
def test_a_journal_goes_on_where_nothing_usable_is(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "o.npz.part"
    if content is not None:
        path.write_bytes(content)
    journal = Journal(path, go_on=True)
    journal.add(people(3))
    assert load_results(path).frames == 4


def test_a_full_disk_keeps_the_messages_before(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "o.npz.part")
    kept = r"too large; the \d+ messages before it are kept there"

    def fill() -> None:
        for seq in range(100):
            journal.add(people(seq))

    with disk_of(10_000), pytest.raises(OutputError, match=kept):
        fill()
    assert load_results(tmp_path / "o.npz.part").frames == journal.messages > 3


def test_kill_9_of_the_writer_loses_nothing_that_was_added(tmp_path: Path) -> None:
    path = tmp_path / "o.npz.part"
    script = (
        "import sys; from pathlib import Path; from tests.pipeline.results.test_record import people; "
        "from pipeline.results.journal import Journal; j = Journal(Path(sys.argv[1])); "
        "[j.add(people(s)) for s in range(20)]; print('ready', flush=True); import time; time.sleep(60)"
    )
    root = str(Path(__file__).parents[3])
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=root, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    assert load_results(path).frames == 20


def test_a_recording_is_iterated_frame_by_frame(tmp_path: Path) -> None:
    stream = [people(seq, seq % 3, pts_s=seq / 10) for seq in range(6)]
    save_results(tmp_path / "o.npz", collect([*stream, EndOfStream(last_seq=7, reason="end")]))
    frames = list(recorded(tmp_path / "o.npz"))
    assert [len(p.track) for p in frames] == [0, 1, 2, 0, 1, 2, 0, 0]
    assert [p.stamp.seq for p in frames] == list(range(8))
    assert frames[4].stamp.pts_s == 0.4
    assert np.array_equal(frames[5].xyz_m, stream[5].xyz_m)
    assert frames[5].box_xyxy_px.tolist() == [[5, 5, 5, 5]] * 2


def test_recording_keeps_up_with_a_camera(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "o.npz.part")
    message, began_s = people(0, 4), time.perf_counter()
    for _ in range(300):
        journal.add(message)
    assert (time.perf_counter() - began_s) / 300 < 0.005
