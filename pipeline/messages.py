"""What flows between processes, as frozen dataclasses; constructors check shape and dtype once.

P = people (0 is normal), J = 17 joints of the H36M17 skeleton. Pixel origin: top-left corner of the
top-left pixel. Camera axes: x right, y down, z forward. Images are RGB. pipeline/processes/wire.py turns messages
into bytes and back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import TensorShapeError

JOINTS = 17

Image = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]
# array field -> (dtype, shape; None = P); a shape of (0, 0, 3) means any picture of at least 1x1
ArrayTable = Mapping[str, tuple[str, tuple[int | None, ...]]]
_PICTURE = ("uint8", (0, 0, 3))
_PEOPLE: ArrayTable = {
    "track": ("int32", (None,)),
    "box_xyxy_px": ("float32", (None, 4)),
    "xy_px": ("float32", (None, JOINTS, 2)),
    "score": ("float32", (None, JOINTS)),
}
FRAME_ARRAYS: ArrayTable = {"image": _PICTURE}
PEOPLE_2D_ARRAYS: ArrayTable = {**_PEOPLE, "fresh": ("bool", (None,)), "preview": _PICTURE}
PEOPLE_3D_ARRAYS: ArrayTable = {
    **_PEOPLE,
    "xyz_m": ("float32", (None, JOINTS, 3)),
    "root_m": ("float32", (None, 3)),
    "filled": ("float32", (None,)),
    "xyz_smooth_m": ("float32", (None, JOINTS, 3)),
    "preview": _PICTURE,
}
_OPTIONAL = ("preview", "xyz_smooth_m")
STATES = ("starting", "running", "finished", "failed")


def _check_arrays(message: Any, table: ArrayTable) -> None:
    people = len(message.track) if "track" in table and isinstance(message.track, np.ndarray) else 0
    for name, (dtype, shape) in table.items():
        value = getattr(message, name)
        if value is None and name in _OPTIONAL:
            continue
        want = tuple(people if n is None else n for n in shape)
        if not isinstance(value, np.ndarray):
            raise TensorShapeError(f"{name} must be a numpy array, got {type(value).__name__}")
        if shape == _PICTURE[1]:
            fits = value.ndim == 3 and value.shape[2] == 3 and min(value.shape) > 0 and value.flags.c_contiguous
            said = "(H, W, 3) C-contiguous"
        else:
            fits, said = value.shape == want, str(want)
        if not fits or value.dtype != np.dtype(dtype):
            raise TensorShapeError(f"{name} must be {said} {dtype}, got {value.shape} {value.dtype}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where and when a frame came from. Ages are differences of monotonic times, never of wall clocks.

    Attributes:
        source: What was opened: a path, a URL, "camera 0".
        seq: Decoded-frame index, given by decode; gaps are drops.
        t_capture_ns: time.monotonic_ns() when the frame was in hand.
        pts_s: Media time in seconds; None without one (cameras, stills).
        t_stage_ns: Monotonic time at which each stage was done with it, by stage name; run_stage adds to it.
    """

    source: str
    seq: int
    t_capture_ns: int
    pts_s: float | None = None
    t_stage_ns: dict[str, int] = field(default_factory=dict)

    def age_ms(self, now_ns: int | None = None) -> float:
        """Return the age of the frame in milliseconds, at `now_ns` (monotonic) or now."""
        return ((time.monotonic_ns() if now_ns is None else now_ns) - self.t_capture_ns) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One decoded picture.

    Attributes:
        stamp: Its stamp.
        image: (H, W, 3) uint8 RGB, C-contiguous. Read-only once received.
        source_wh: Width and height of the source in pixels, before any downscaling at decode time.
    """

    stamp: Stamp
    image: Image
    source_wh: tuple[int, int]

    def __post_init__(self) -> None:
        """Check the picture (TensorShapeError)."""
        _check_arrays(self, FRAME_ARRAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class People2D:
    """The people of one frame in 2D.

    Attributes:
        stamp: The frame's stamp.
        image_wh: Size in pixels of the picture that all pixel coordinates refer to.
        track: (P,) int32, a person's number for as long as they are followed.
        box_xyxy_px: (P, 4) float32.
        xy_px: (P, 17, 2) float32.
        score: (P, 17) float32, 0..1.
        fresh: (P,) bool, rows whose history must be forgotten.
        dropped: Frames lost so far in the whole run; run_stage fills it in.
        preview: (h, w, 3) uint8 RGB, the very frame the joints belong to, maybe smaller; None when nobody looks.
    """

    stamp: Stamp
    image_wh: tuple[int, int]
    track: npt.NDArray[np.int32]
    box_xyxy_px: Float
    xy_px: Float
    score: Float
    fresh: npt.NDArray[np.bool_]
    dropped: int = 0
    preview: Image | None = None

    def __post_init__(self) -> None:
        """Check the arrays (TensorShapeError)."""
        _check_arrays(self, PEOPLE_2D_ARRAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class People3D:
    """The people of one frame in 3D.

    Attributes:
        stamp, image_wh, track, box_xyxy_px, xy_px, score, dropped, preview: As in People2D.
        xyz_m: (P, 17, 3) float32 metres, camera axes, pelvis at the origin.
        root_m: (P, 3) float32 metres, the pelvis in camera space; NaN where unknown.
        filled: (P,) float32 0..1, share of the lifter's window that holds real history.
        xyz_smooth_m: (P, 17, 3) float32, `xyz_m` smoothed; None when smoothing is off.
        skeleton: Name of the joint set.
    """

    stamp: Stamp
    image_wh: tuple[int, int]
    track: npt.NDArray[np.int32]
    box_xyxy_px: Float
    xy_px: Float
    score: Float
    xyz_m: Float
    root_m: Float
    filled: Float
    xyz_smooth_m: Float | None = None
    dropped: int = 0
    preview: Image | None = None
    skeleton: str = "h36m17"

    def __post_init__(self) -> None:
        """Check the arrays (TensorShapeError)."""
        _check_arrays(self, PEOPLE_3D_ARRAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """How a stage is doing: sent once a second and whenever its state changes.

    Attributes:
        stage: Name of the stage.
        state: "starting", "running", "finished" or "failed".
        frames_in, frames_out: Messages taken in and given out, whole run.
        dropped: Frames lost before this stage, whole run.
        p50_ms, p95_ms: Time in the stage, over its latest frames.
        note: One line for people, e.g. "reconnecting to rtsp://...".
        error, traceback: Of a failed stage.
        facts: Plain data (strings, numbers, lists, maps): models, hashes, backend, source size, fps, "run" totals.
    """

    stage: str
    state: str
    frames_in: int = 0
    frames_out: int = 0
    dropped: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    note: str = ""
    error: str = ""
    traceback: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfStream:
    """No frame will follow.

    Attributes:
        last_seq: Index of the last decoded frame; -1 if there was none.
        reason: "end", "stopped" or what cut the stream short.
    """

    last_seq: int
    reason: str


Message = Frame | People2D | People3D | StageStatus | EndOfStream
