"""Where people stand in the 3D view: camera space to an upright world with a floor. No Qt.

The lifter's metres are camera metres (y down). Here the picture's up is up, and each person's floor is
estimated from their own lowest joints over the last second, so that feet stand on the grid and
a jump still leaves it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from pipeline.messages import People3D

Float = npt.NDArray[np.float32]

# camera axes (x right, y down, z forward) -> world (x right, y up, z towards the viewer)
TO_WORLD = np.array([1, -1, -1], np.float32)
ANKLE_HEIGHT_M = 0.075
FLOOR_WINDOW_S = 0.8
FLOOR_TAU_S = 0.2
DEPTH_TAU_S = 0.6
"""A person's distance is the least certain figure of all and is shown smoothed; where they are seen is not."""
FOLLOW_TAU_S = 0.7
FOLLOW_BEYOND_M = 0.2
"""Nearer to the middle than this nobody is followed: a view that stands still is easier to read and to draw."""
EYE_HEIGHT_M = 0.95
FORGET_S = 3.0
TRAIL_S = 1.2
SIDE_BY_SIDE_M = 1.25
TRAIL_JOINTS = tuple(H36M17.index(name) for name in ("left_wrist", "right_wrist", "left_ankle", "right_ankle"))


@dataclass(frozen=True, slots=True)
class Figure:
    """One person, ready to be drawn.

    Attributes:
        track: Track id.
        points_m: (17, 3) world metres, floor at y = 0.
        score: (17,) confidence 0..1.
        filled: Share of the lifter's history that is real, 0..1.
        trails: One (n, 3) polyline of recent positions for each of TRAIL_JOINTS, oldest first.
    """

    track: int
    points_m: Float
    score: Float
    filled: float
    trails: tuple[Float, ...] = ()


@dataclass
class _Memory:
    """What is remembered of one track: heights of the lowest joint, the floor they give, where it stood, its trail."""

    lows: deque[tuple[float, float]] = field(default_factory=deque)
    floor: float | None = None
    root_m: Float | None = None
    seen_s: float = -math.inf
    trail: deque[tuple[float, Float]] = field(default_factory=deque)

    def place(self, t_s: float, root_m: Float) -> None:
        """Take a new root: its direction as it is, its distance smoothed (in ratios, as its errors are)."""
        if self.root_m is None or min(root_m[2], self.root_m[2]) < 0.1:
            self.root_m = root_m.copy()
            return
        share = 1 - math.exp(-max(0.0, t_s - self.seen_s) / DEPTH_TAU_S)
        self.root_m = root_m * (self.root_m[2] / root_m[2]) ** np.float32(1 - share)

    def stand(self, t_s: float, low_m: float) -> float:
        """Add a height of the lowest joint and return the smoothed floor height."""
        dt_s = max(0.0, t_s - self.seen_s) if self.lows else 0.0
        self.lows.append((t_s, low_m))
        while self.lows[0][0] < t_s - FLOOR_WINDOW_S:
            self.lows.popleft()
        goal = float(np.percentile([low for _, low in self.lows], 15))
        if self.floor is None:
            self.floor = goal
        self.floor += (goal - self.floor) * (1 - math.exp(-dt_s / FLOOR_TAU_S))
        return self.floor


class Scene:
    """Keeps the floor, place and trail of every track, and turns a message into figures."""

    def __init__(self) -> None:
        self.figures: tuple[Figure, ...] = ()
        self.placed = False
        """True if people stand where the lifter puts them, False if side by side."""
        self._memory: dict[int, _Memory] = {}
        self._last_s = -math.inf
        self._centre: Float | None = None
        self._radius_m = 1.0
        self._following = False

    def clear(self) -> None:
        """Forget everybody."""
        self.__init__()  # type: ignore[misc]

    def update(self, people: People3D, t_s: float) -> None:
        """Take the newest people.

        Args:
            people: The message.
            t_s: Its time in seconds, on any clock that goes with the source; a jump back forgets the past.
        """
        if t_s < self._last_s or t_s > self._last_s + FORGET_S:
            self.clear()
        dt_s = 0.0 if self._last_s == -math.inf else t_s - self._last_s
        self._last_s = t_s
        self._memory = {k: m for k, m in self._memory.items() if t_s - m.seen_s < FORGET_S}
        shape = people.xyz_m if people.xyz_smooth_m is None else people.xyz_smooth_m
        places = self._places(people, t_s)
        self.figures = tuple(
            self._figure(people, row, shape[row] * TO_WORLD + places[row], t_s) for row in range(len(people.track))
        )
        self._follow(dt_s)

    def _places(self, people: People3D, t_s: float) -> Float:
        """Return the (P, 3) world position of each pelvis: the root, its last known value, or a place in a row."""
        count = len(people.track)
        roots = np.full((count, 3), np.nan, np.float32)
        for row, track in enumerate(people.track.tolist()):
            memory = self._memory.setdefault(track, _Memory())
            if np.isfinite(people.root_m[row]).all():
                memory.place(t_s, people.root_m[row])
            if memory.root_m is not None:
                roots[row] = memory.root_m
        self.placed = count > 0 and bool(np.isfinite(roots).all())
        if self.placed:
            placed: Float = roots * TO_WORLD
            return placed
        row_of = np.argsort(np.argsort(people.xy_px[:, 0, 0], kind="stable"), kind="stable")
        places = np.zeros((count, 3), np.float32)
        places[:, 0] = (row_of - (count - 1) / 2) * SIDE_BY_SIDE_M
        return places

    def _figure(self, people: People3D, row: int, points_m: Float, t_s: float) -> Figure:
        """Stand one person on the floor and extend the trail."""
        memory = self._memory[int(people.track[row])]
        points_m[:, 1] -= memory.stand(t_s, float(points_m[:, 1].min())) - ANKLE_HEIGHT_M
        memory.seen_s = t_s
        memory.trail.append((t_s, points_m[TRAIL_JOINTS, :]))
        while memory.trail[0][0] < t_s - TRAIL_S:
            memory.trail.popleft()
        past = np.stack([positions for _, positions in memory.trail], 1)
        return Figure(int(people.track[row]), points_m, people.score[row], float(people.filled[row]), tuple(past))

    def _follow(self, dt_s: float) -> None:
        """Move the point of interest gently to the middle of the people."""
        if not self.figures:
            return
        middle = np.mean([figure.points_m[0] for figure in self.figures], 0)
        middle[1] = EYE_HEIGHT_M
        if self._centre is None:
            self._centre, self._radius_m = middle, self._reach_m(middle)
        gap = middle - self._centre
        away_m = float(np.hypot(gap[0], gap[2]))
        self._following = away_m > (FOLLOW_BEYOND_M / 5 if self._following else FOLLOW_BEYOND_M)
        if self._following:
            self._centre = self._centre + gap * np.float32(1 - math.exp(-dt_s / FOLLOW_TAU_S))
        reach_m = self._reach_m(self._centre)
        if not 0.7 * self._radius_m < reach_m < 1.05 * self._radius_m:
            self._radius_m = reach_m

    def _reach_m(self, centre_m: Float) -> float:
        """Return the radius round a point that holds everybody, arms included."""
        spread = np.concatenate([figure.points_m for figure in self.figures]) - centre_m
        return float(np.hypot(spread[:, 0], spread[:, 2]).max())

    @property
    def centre_m(self) -> Float:
        """(3,) point that the eye should look at."""
        return np.array([0, EYE_HEIGHT_M, 0], np.float32) if self._centre is None else self._centre.astype(np.float32)

    @property
    def radius_m(self) -> float:
        """Radius of the circle round the centre that should be in view; changes in steps, the camera glides."""
        return self._radius_m
