"""Decode stage: the source -> Frame. Recordings in a live run are paced by their own time stamps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pipeline.config import StageConfig
from pipeline.messages import Frame, Stamp
from pipeline.sources.video import Picture, VideoSource, open_source

NAP_S = 0.05
LATE_S = 0.25
"""A recording that falls behind its own clock by more skips pictures to catch up."""
STALLED_S = 2.0
"""So far behind, the process was stopped or the machine slept: the clock starts anew."""


class DecodeStage:
    """Source of the process table; see `make`."""

    def __init__(self, source: VideoSource, *, real_time: bool, first_seq: int = 0) -> None:
        """Take over a source.

        Args:
            source: Where pictures come from; closed by `close`.
            real_time: Give out recorded pictures at the speed of their time stamps.
            first_seq: Number of the first frame.
        """
        self._source, self._first_seq = source, first_seq
        self._real_time = real_time and not source.live
        self.last_seq = first_seq - 1  # of the latest picture read, given out or too late for that
        self._clock: tuple[float, float] | None = None  # monotonic time and media time of the same moment

    @property
    def note(self) -> str:
        """State of the source in one line, e.g. "no signal, reconnecting (attempt 3)"; empty if all is well."""
        return self._source.note

    def facts(self) -> dict[str, Any]:
        """Return what is known of the source."""
        return {"source": self._source.name, "source_fps": round(self._source.fps, 3), **self._source.facts()}

    def messages(self) -> Iterator[Frame | None]:
        """Yield frames until the source ends; None at least every 0.1 s while there is nothing to give.

        Raises:
            SourceError: If the source cannot deliver anything.
        """
        for picture in self._source.pictures(self._first_seq):
            if picture is None:
                yield None
                continue
            self.last_seq = picture.index
            if self._real_time:
                late_s = self._late_s(picture)
                while late_s < 0:
                    time.sleep(min(-late_s, NAP_S))
                    late_s = self._late_s(picture)
                    if late_s < 0:
                        yield None
                if late_s > LATE_S:
                    yield None
                    continue
            yield self._frame(picture)

    def _late_s(self, picture: Picture) -> float:
        """Return by how much a picture is overdue; negative if it is early."""
        now_s = time.monotonic()
        # unrelated stills have no time: one per frame interval
        media_s = picture.index / self._source.fps if picture.pts_s is None else picture.pts_s
        if self._clock is None or now_s - self._clock[0] - (media_s - self._clock[1]) > STALLED_S:
            self._clock = (now_s, media_s)
        return now_s - self._clock[0] - (media_s - self._clock[1])

    def _frame(self, picture: Picture) -> Frame:
        t_ns = time.monotonic_ns() if picture.t_capture_ns is None else picture.t_capture_ns
        stamp = Stamp(source=self._source.name, seq=picture.index, t_capture_ns=t_ns, pts_s=picture.pts_s)
        return Frame(stamp=stamp, image=picture.image, source_wh=picture.source_wh)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def make(config: StageConfig) -> DecodeStage:
    """Open the run's source.

    Raises:
        SourceError: If it does not exist or is not readable.
    """
    run = config.run
    source = open_source(run.source, every=not run.live)
    return DecodeStage(source, real_time=run.source.real_time, first_seq=config.first_seq)
