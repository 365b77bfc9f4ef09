"""A results file as something to play: a clock with speed, steps and scrubbing, and the people of each frame. No Qt."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pipeline.messages import People3D, Stamp
from pipeline.results.record import Results
from viewer.film import Film
from viewer.recording import FIRST_FRAME
from viewer.session import Shot
from viewer.status import StateLine, describe_playback

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
PATIENCE_S = 0.4
"""How long the former frame stays while the picture of the next one is being decoded."""
UNKNOWN_WH = (1280, 720)
"""Assumed where a file does not tell the picture's size, because no frame was seen."""
SEEN = 0.05
"""Joints with a lower score do not count for a person's box."""


class Playback:
    """A results file, with or without its video. Implements viewer.session.Session."""

    def __init__(self, results: Results, title: str, film: Film | None = None) -> None:
        """Take over results.

        Args:
            results: What was recorded.
            title: Name of the file.
            film: The video it was made from; closed by `close`.
        """
        self.title = title
        self.frames = max(int(results.frames), int(results.frame.max(initial=-1)) + 1, 1)
        self.first = min(int(results.info.get(FIRST_FRAME, 0)), self.frames - 1)
        self.times_s = _frame_times(results, self.frames)
        self.start_s, self.end_s = float(self.times_s[self.first]), float(self.times_s[-1])
        self.playing = True
        self.speed = 1.0
        self._results, self._film = results, film
        order = np.argsort(results.frame, kind="stable")
        self._order, self._sorted = order, results.frame[order]
        self._at_s = self.start_s
        self._last_ns: int | None = None
        self._shown: tuple[int, bool] | None = None
        self._waiting_ns = 0

    @property
    def frame(self) -> int:
        """The frame that the clock points at."""
        return max(self.first, int(np.searchsorted(self.times_s, self._at_s + 1e-9, side="right")) - 1)

    def people(self, frame: int) -> People3D:
        """Return everybody of a frame as a message."""
        rows = self._order[slice(*np.searchsorted(self._sorted, [frame, frame + 1]))]
        data = self._results
        stamp = Stamp(source=self.title, seq=frame, t_capture_ns=0, pts_s=float(self.times_s[frame]))
        return People3D(
            stamp=stamp,
            image_wh=(int(data.size_wh[0]) or UNKNOWN_WH[0], int(data.size_wh[1]) or UNKNOWN_WH[1]),
            track=data.track[rows],
            box_xyxy_px=_boxes(data.xy_px[rows], data.score[rows]),
            xy_px=data.xy_px[rows],
            score=data.score[rows],
            xyz_m=data.xyz_m[rows],
            root_m=data.root_m[rows],
            filled=np.ones(len(rows), np.float32),
            xyz_smooth_m=None if data.xyz_smooth_m is None else data.xyz_smooth_m[rows],
            skeleton=str(data.skeleton),
        )

    def tick(self, now_ns: int) -> Shot | None:
        """Move the clock and return what to show, None if nothing changed."""
        self._run_clock(now_ns)
        frame = self.frame
        picture = self._film.picture(frame) if self._film is not None else None
        if self._shown == (frame, picture is not None):
            return None
        if picture is None and self._film is not None and not self._film.note:
            self._waiting_ns = self._waiting_ns or now_ns
            if now_ns - self._waiting_ns < PATIENCE_S * 1e9:
                return None
        self._waiting_ns = 0
        self._shown = (frame, picture is not None)
        return Shot(self.people(frame), float(self.times_s[frame]), picture)

    def approach(self, at_s: float | None) -> Iterator[Shot]:
        """Stop at a time (None: the middle) and yield the two seconds up to it, the last one with its picture."""
        self.playing = False
        self.seek(0.5)
        if at_s is not None:
            self._at_s = min(max(at_s, self.start_s), self.end_s)
        last = self.frame
        first = int(np.searchsorted(self.times_s, self._at_s - 2.0))
        for frame in range(min(first, last), last):
            yield Shot(self.people(frame), float(self.times_s[frame]))
        picture = self._film.picture(last, wait_s=60.0) if self._film is not None else None
        self._shown = (last, picture is not None)
        yield Shot(self.people(last), float(self.times_s[last]), picture)

    def _run_clock(self, now_ns: int) -> None:
        dt_s = 0.0 if self._last_ns is None else (now_ns - self._last_ns) / 1e9
        self._last_ns = now_ns
        if self.playing:
            self._at_s = min(self._at_s + dt_s * self.speed, self.end_s)
            self.playing = self._at_s < self.end_s

    def toggle_pause(self) -> bool:
        """Stop or go on; at the end, begin again. True if it stands still now."""
        if not self.playing and self._at_s >= self.end_s:
            self._at_s = self.start_s
        self.playing = not self.playing
        return not self.playing

    def seek(self, share: float) -> None:
        """Go to a share (0..1) of the length."""
        self._at_s = self.start_s + min(max(share, 0.0), 1.0) * (self.end_s - self.start_s)

    def step(self, frames: int) -> None:
        """Stop, and go some frames on (or back, if negative)."""
        self.playing = False
        self._at_s = float(self.times_s[min(max(self.frame + frames, self.first), self.frames - 1)])

    @property
    def share(self) -> float:
        """Where the clock stands, as a share of the length."""
        return (self._at_s - self.start_s) / max(1e-9, self.end_s - self.start_s)

    def spans(self) -> list[tuple[int, float, float]]:
        """Return who is in view when: (track, start, end), times as shares of the length."""
        length = max(1, self.frames - self.first)
        spans = []
        for track in np.unique(self._results.track).tolist():
            seen = np.unique(self._results.frame[self._results.track == track])
            cuts = np.flatnonzero(np.diff(seen) > 1) + 1
            for a, b in pairwise([0, *cuts.tolist(), len(seen)]):
                spans.append(
                    (track, float(seen[a] - self.first) / length, float(seen[b - 1] + 1 - self.first) / length)
                )
        return spans

    def line(self, now_ns: int) -> StateLine:
        """See viewer.session.Session."""
        frame = self.frame
        at_s, length_s = float(self.times_s[frame]) - self.start_s, self.end_s - self.start_s
        note = self._film.note if self._film is not None else ""
        return describe_playback(
            self.title, self.people(frame), (at_s, length_s), (frame, self.frames), self.playing, self.speed, note
        )

    def close(self) -> None:
        """Close the video."""
        if self._film is not None:
            self._film.close()


def _frame_times(results: Results, frames: int) -> npt.NDArray[np.float64]:
    """Return the (frames,) media time of every frame: as recorded, between and beyond by the frame rate."""
    step_s = 1.0 / results.fps if np.isfinite(results.fps) and results.fps > 0 else 1 / 30
    known = np.isfinite(results.pts_s)
    if not known.any():
        return np.arange(frames) * step_s
    at, first = np.unique(results.frame[known], return_index=True)
    pts_s = results.pts_s[known][first]
    index = np.arange(frames)
    times = np.interp(index, at, pts_s)
    times = np.where(index < at[0], pts_s[0] - (at[0] - index) * step_s, times)
    times = np.where(index > at[-1], pts_s[-1] + (index - at[-1]) * step_s, times)
    rising: npt.NDArray[np.float64] = np.maximum.accumulate(times)
    return rising


def _boxes(xy_px: npt.NDArray[np.float32], score: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the (P, 4) boxes round the joints that were seen."""
    seen = (score >= SEEN)[..., None] | (score.max(-1, initial=0) < SEEN)[:, None, None]
    low = np.where(seen, xy_px, np.inf).min(1)
    high = np.where(seen, xy_px, -np.inf).max(1)
    grow = (high - low) * 0.08
    return np.concatenate([low - grow, high + grow], 1).astype(np.float32)
