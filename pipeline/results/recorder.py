"""Record stage: People3D -> results file and overlay video. It sits on an EVERY link and misses nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.config import StageConfig
from pipeline.messages import EndOfStream, People3D, StageStatus
from pipeline.results.journal import Journal, read_journal
from pipeline.results.record import PART, collect, save_results


class Recorder:
    """Handler of the stage; see `make`."""

    def __init__(self, save: Path | None, video: Path | None, go_on: bool, info: dict[str, Any]) -> None:
        """Open the outputs.

        Args:
            save: Results file to write at the end; its journal is written meanwhile.
            video: Overlay video; its messages must carry previews.
            go_on: Another recorder was here before and died: its journal is continued, its video stays as it is.
            info: More entries for `Results.info`.

        Raises:
            OutputError: If an output cannot be written.
        """
        self._save, self._video_path, self._info = save, video, info
        if video is not None and go_on:
            self._video_path = _next_free(video)
        self._journal = Journal(save.with_name(save.name + PART), go_on) if save else None
        self._video: Any = None
        self._fps = 30.0

    def told(self, status: StageStatus) -> None:
        """Write down what the other stages run on, once each time they are ready."""
        self._fps = float(status.facts.get("source_fps") or self._fps)
        if self._journal is not None and status.frames_out == 0 and status.facts and status.state != "failed":
            self._journal.add(status)

    def handle(self, people: People3D) -> None:
        """Append a frame to the journal and the video."""
        if self._journal is not None:
            self._journal.add(replace(people, preview=None))
        if self._video_path is not None and people.preview is not None:
            self._draw(people)

    def _draw(self, people: People3D) -> None:
        from pipeline.overlay.draw import compose
        from pipeline.overlay.writer import VideoWriter

        assert self._video_path is not None
        assert people.preview is not None
        if self._video is None:
            self._video = VideoWriter(self._video_path, self._fps)
        stamp = people.stamp
        time_s = stamp.t_capture_ns / 1e9 if stamp.pts_s is None and self._info["live"] else stamp.pts_s
        self._video.write(compose(people.preview, people, latency=bool(self._info["live"])), time_s)

    def finish(self, end: EndOfStream) -> None:
        """Complete the video, and turn the journal into the results file; there is none of a stream without frames."""
        if self._video is not None:
            self._video.close()
        if self._journal is not None and self._save is not None:
            self._journal.add(end)
            self._journal.close()
            results = collect(read_journal(self._journal.path), info=self._info)
            if results.frames:
                save_results(self._save, results)
            self._journal.path.unlink()

    def facts(self) -> dict[str, Any]:
        """Say what is written."""
        paths = {"results": self._save, "video": self._video_path}
        return {"writes": {name: str(path) for name, path in paths.items() if path is not None}}


def make(config: StageConfig) -> Recorder:
    """Open the run's results file and video.

    Raises:
        OutputError: If one cannot be written.
    """
    run = config.run
    info = {"fingerprint": run.fingerprint, "live": run.live}
    return Recorder(run.output.save, run.output.save_video, config.attempt > 0, info)


def _next_free(path: Path) -> Path:
    number = 2
    while (other := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    return other
