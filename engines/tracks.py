"""2D tracks lifted offline: every person's joints over time, clip after clip, streamed as a live run streams them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engines.errors import TensorShapeError
from engines.geometry import Float, pixels_to_rays
from engines.lifter import History, Lifter

SIDE_BY_SIDE = 16
"""Clips that take a step together: a row costs 0.4 ms among 16 and 1.4 ms alone (busy CPU, lifter-tcn)."""

FRAME_S = 1 / 30  # of a clip of one row, for a model that looks ahead

# array: (kinds of number, dtype kept, shape; N rows, C clips)
ARRAYS: dict[str, tuple[str, str, tuple[str | int, ...]]] = {
    "xy_px": ("iuf", "float32", ("N", 17, 2)),
    "score": ("iuf", "float32", ("N", 17)),
    "pts_s": ("iuf", "float64", ("N",)),
    "clip": ("iu", "int64", ("N",)),
    "size_wh": ("iuf", "int32", ("C", 2)),
    "focal_px": ("iuf", "float64", ("C",)),
}
_KIND_NAMES = {"iuf": "numbers", "iu": "whole numbers"}
OTHER_SCALE = 2.0  # a score beyond is on another scale, such as percent


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """2D joints of N rows in C clips: one person in each, filmed by one camera at rest or not.

    Any array of real numbers is taken; it is kept in the dtype given here. A joint whose score is 0, below or NaN, or
    whose position is not finite, is missing: its score becomes 0 and its position is not read. A score a little above 1
    becomes 1.

    Attributes:
        xy_px: (N, 17, 2) float32 pixels.
        score: (N, 17) float32 0..1.
        pts_s: (N,) float64 seconds, rising within a clip.
        clip: (N,) int64 0..C-1; the rows of a clip follow each other.
        size_wh: (C, 2) int32 picture size in pixels.
        focal_px: (C,) float64 focal length in pixels; the principal point is the middle of the picture.
    """

    xy_px: Float
    score: Float
    pts_s: npt.NDArray[np.float64]
    clip: npt.NDArray[np.int64]
    size_wh: npt.NDArray[np.int32]
    focal_px: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check the arrays and bring them into their dtypes.

        Raises:
            TensorShapeError: If one has the wrong shape or dtype, or says something impossible; the message names it.
        """
        sizes = {"N": _length(self.xy_px), "C": _length(self.size_wh)}
        for field in fields(self):
            kinds, dtype, shape = ARRAYS[field.name]
            checked = _checked(field.name, getattr(self, field.name), kinds, shape, sizes)
            if field.name == "size_wh":
                _require(np.isfinite(checked).all(1) & (checked >= 1).all(1), "size_wh", "at least 1 x 1", checked)
            object.__setattr__(self, field.name, checked.astype(dtype))
        _require(np.isfinite(self.focal_px) & (self.focal_px > 0), "focal_px", "finite and above 0", self.focal_px)
        self._check_rows()
        seen = np.isfinite(self.xy_px).all(-1) & (self.score > 0)
        object.__setattr__(self, "score", np.where(seen, np.minimum(self.score, 1), np.float32(0)))

    def _check_rows(self) -> None:
        inside = (self.clip >= 0) & (self.clip < len(self.focal_px))
        _require(inside, "clip", f"0..{len(self.focal_px) - 1}, a row of size_wh and focal_px", self.clip)
        begins = self.starts()
        names = self.clip[begins]
        again = np.ones(len(names), np.bool_)
        again[np.unique(names, return_index=True)[1]] = False
        if again.any():
            row = int(begins[again][0])
            raise TensorShapeError(f"clip must keep a clip's rows together, clip {self.clip[row]} returns in row {row}")
        _require(np.isfinite(self.pts_s), "pts_s", "finite", self.pts_s)
        rises = np.ones(len(self.pts_s), np.bool_)
        rises[1:] = (np.diff(self.pts_s) > 0) | (np.diff(self.clip) != 0)
        _require(rises, "pts_s", "rising within a clip", self.pts_s)
        known = np.isfinite(self.score)
        fits = ~known | (np.abs(self.score) <= OTHER_SCALE)
        _require(fits.all(1), "score", "0..1", np.take_along_axis(self.score, fits.argmin(1)[:, None], 1)[:, 0])

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.clip)

    def starts(self) -> npt.NDArray[np.int64]:
        """Return the first row of each clip that has rows, in the order of the rows."""
        return np.flatnonzero(np.diff(self.clip, prepend=-1)) if len(self.clip) else np.zeros(0, np.int64)

    def spans(self, max_gap_s: float = np.inf) -> list[slice]:
        """Return the rows of each clip that has rows, in the order of the rows; cut where nothing was seen for long."""
        pauses = np.flatnonzero(np.diff(self.pts_s) > max_gap_s) + 1
        edges = [*np.union1d(self.starts(), pauses).tolist(), len(self.clip)]
        return [slice(a, b) for a, b in itertools.pairwise(edges)]


def lift_tracks(
    lifter: Lifter, tracks: Tracks, tell: Callable[[int], None] = lambda rows: None, side_by_side: int = SIDE_BY_SIDE
) -> tuple[Float, Float]:
    """Lift every clip from a fresh state, frame by frame, with the gaps, resets and time steps of a live run.

    Several clips take their steps together, as several people of one picture do; each is alone with its memory and
    its clock. Against one clip at a time the results differ by rounding (2e-7 m). Of a model that looks ahead, the
    lagging answers are put to the rows that they are for.

    Args:
        lifter: The model; what it remembers is forgotten.
        tracks: What was seen.
        tell: Called now and then with the number of rows that are done.
        side_by_side: Clips that take a step together.

    Returns:
        xyz_m (N, 17, 3) and root_m (N, 3), as `Lifter.lift` gives them.
    """
    rays = _rays(tracks)
    ahead = lifter.look_ahead_frames
    xyz_m, root_m = np.empty((len(tracks), 17, 3), np.float32), np.empty((len(tracks), 3), np.float32)
    clocks: dict[int, History] = {}
    done = 0
    for steps in _steps(tracks.spans(lifter.max_gap_s if ahead else np.inf), side_by_side, ahead):
        dt_s, fresh = np.zeros(len(steps), np.float32), set()
        for at, step in enumerate(steps):
            if step.number == 0:
                clocks[step.seat] = History(lifter.max_gap_s)
            _, (dt_s[at],), begins = clocks[step.seat].step([step.seat], _time_s(lifter, tracks, step))
            fresh |= begins
        rows = np.array([step.row for step in steps])
        over = np.array([step.after_end > 0 for step in steps])[:, None]
        inputs = {"xy": rays[rows], "score": np.where(over, np.float32(0), tracks.score[rows]), "dt_s": dt_s}
        out = lifter.engine.run(inputs, [step.seat for step in steps], fresh)
        answers = np.array([step.number >= ahead for step in steps])
        answered = np.array([step.answers for step in steps])[answers]
        xyz_m[answered], root_m[answered] = out["xyz_m"][answers], out["root_m"][answers]
        done += len(answered)
        tell(done)
    return xyz_m, root_m


def _rays(tracks: Tracks) -> Float:
    rays = np.empty_like(tracks.xy_px)
    for rows in tracks.spans():
        clip = tracks.clip[rows.start]
        width, height = tracks.size_wh[clip].tolist()
        rays[rows] = pixels_to_rays(tracks.xy_px[rows], (width, height), float(tracks.focal_px[clip]))
    return rays


class _Step(NamedTuple):
    """What one seat does in one step: the step's number in its clip, the row it reads, the row it answers for."""

    seat: int
    number: int
    row: int
    answers: int
    after_end: int  # steps since the clip's end, in which nothing is seen


def _steps(spans: list[slice], seats: int, ahead: int) -> Iterator[list[_Step]]:
    """Yield what is done together: long clips first, a free seat takes the next.

    After its end a clip takes steps that see nothing until the lagging answers are there.
    """
    waiting = sorted(spans, key=lambda s: s.start - s.stop)[::-1]
    taken: dict[int, tuple[slice, int]] = {}
    while waiting or taken:
        for seat in range(seats):
            if seat not in taken and waiting:
                taken[seat] = (waiting.pop(), 0)
        yield [_step(seat, span, number, ahead) for seat, (span, number) in taken.items()]
        taken = {
            seat: (span, number + 1)
            for seat, (span, number) in taken.items()
            if span.start + number + 1 < span.stop + ahead
        }


def _time_s(lifter: Lifter, tracks: Tracks, step: _Step) -> float:
    """Return when a step is; those after a clip's end are as far apart as its last two rows, if that is not too far."""
    frame_s = FRAME_S
    if step.after_end and step.number > step.after_end:
        frame_s = float(tracks.pts_s[step.row] - tracks.pts_s[step.row - 1])
    return float(tracks.pts_s[step.row]) + step.after_end * lifter.step_after_end_s(frame_s)


def _step(seat: int, span: slice, number: int, ahead: int) -> _Step:
    newest, last = span.start + number, span.stop - 1
    return _Step(seat, number, min(newest, last), newest - ahead, max(0, newest - last))


def described(name: str, sizes: str = "") -> str:
    """Return shape and kind of one of the arrays of `Tracks` in words, the sizes added to the shape."""
    kinds, _, shape = ARRAYS[name]
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''}){sizes} {_KIND_NAMES[kinds]}"


def _length(array: Any) -> int:
    return len(array) if isinstance(array, np.ndarray) and array.ndim else 0


def _checked(
    name: str, array: Any, kinds: str, shape: tuple[str | int, ...], sizes: dict[str, int]
) -> npt.NDArray[Any]:
    array = np.asarray(array)
    want = tuple(sizes[s] if isinstance(s, str) else s for s in shape)
    if array.shape != want or array.dtype.kind not in kinds:
        known = "" if name in ("xy_px", "size_wh") else f" = {want}"  # those two say what N and C are
        raise TensorShapeError(f"{name} must be {described(name, known)}, found {array.shape} {array.dtype}")
    return array


def _require(good: npt.NDArray[np.bool_], name: str, what: str, values: npt.NDArray[Any]) -> None:
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise TensorShapeError(f"{name} must be {what}, found {values[row]} in row {row}")
