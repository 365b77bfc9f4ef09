"""The video writer."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import OutputError
from pipeline.overlay.writer import VideoWriter
from tests.pipeline.clips import number, picture, read


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_written_video_reads_back_with_its_times(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    times_s = [100.0, 100.04, 100.5, 100.5, 101.0]  # one repeated: it must not be lost
    with VideoWriter(path, 25) as writer:
        for n, time_s in enumerate(times_s):
            writer.write(picture(n, (65, 49)), time_s)
    _, pictures = read(path)
    assert [number(p.image) for p in pictures] == list(range(5))
    assert [p.pts_s for p in pictures] == pytest.approx([0, 0.04, 0.5, 0.51, 1.0], abs=2e-3)
    assert pictures[0].image.shape == (48, 64, 3)


def test_written_video_without_times_is_even(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "o.mp4", 10) as writer:
        for n in range(4):
            writer.write(picture(n))
    _, pictures = read(tmp_path / "o.mp4")
    assert [p.pts_s for p in pictures] == pytest.approx([0, 0.1, 0.2, 0.3], abs=1e-3)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_video_of_a_killed_writer_is_readable(tmp_path: Path, suffix: str) -> None:
    code = """
        import os, signal, sys
        from pathlib import Path
        from pipeline.overlay.writer import VideoWriter
        from tests.pipeline.clips import picture
        writer = VideoWriter(Path(sys.argv[1]), 30)
        for n in range(150):
            writer.write(picture(n, (320, 240)), n / 30)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / f"out.{suffix}"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], cwd=root, check=False)
    assert done.returncode == -9
    _, pictures = read(path)
    assert len(pictures) > 90  # all but the last second and what the encoder held back


def test_unwritable_places_and_unknown_kinds_are_errors(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*No such file or directory"):
        VideoWriter(tmp_path / "nope" / "o.mp4", 30)
    with pytest.raises(OutputError, match="is no kind of video"):
        VideoWriter(tmp_path / "o.txt", 30)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "o.mkv").symlink_to("/dev/full")
    noise = np.random.default_rng(0)
    writer = VideoWriter(tmp_path / "o.mkv", 30)
    pictures = [noise.integers(0, 255, (120, 160, 3), np.uint8) for _ in range(200)]
    with pytest.raises(OutputError, match="No space left on device"):
        [writer.write(p) for p in pictures]
    writer.close()  # a second complaint would hide the first
