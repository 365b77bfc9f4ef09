"""2D tracks lifted offline equal what the live wrapper makes of them, clip by clip; impossible ones are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engines.errors import TensorShapeError
from engines.lifter import Lifter
from engines.runtime import open_engine
from engines.tracks import Tracks, lift_tracks

LENGTHS = (40, 1, 17, 3, 25)
CLIPS = (3, 0, 4, 1, 2)


def arrays(seed: int = 0) -> dict[str, Any]:
    """Five clips, one frame of them lost now and then, one pause above any lifter's patience."""
    rng = np.random.default_rng(seed)
    rows = sum(LENGTHS)
    steps_s = [rng.choice([1 / 30, 1 / 25, 0.1, 0.7], n, p=[0.5, 0.35, 0.1, 0.05]) for n in LENGTHS]
    return {
        "xy_px": rng.normal(400, 90, (rows, 17, 2)),
        "score": rng.uniform(-0.3, 1, (rows, 17)).clip(0),
        "pts_s": np.concatenate([5 - i + np.cumsum(s) for i, s in enumerate(steps_s)]),
        "clip": np.repeat(CLIPS, LENGTHS),
        "size_wh": rng.integers(600, 2000, (5, 2)),
        "focal_px": rng.uniform(500, 2000, 5),
    }


@pytest.fixture(scope="module")
def lifter() -> Iterator[Lifter]:
    engine = open_engine("lifter-tcn", "ort", 1)
    yield Lifter(engine)
    engine.close()


def live(lifter: Lifter, tracks: Tracks) -> tuple[np.ndarray, np.ndarray]:
    """Lift the clips one after the other, frame by frame, as a live run does."""
    poses, roots = [], []
    for rows in tracks.spans():
        clip = int(tracks.clip[rows.start])
        size, focal = tuple(tracks.size_wh[clip].tolist()), float(tracks.focal_px[clip])
        for row in range(rows.start, rows.stop):
            one = slice(row, row + 1)
            pose, root, _ = lifter.lift(
                tracks.xy_px[one], tracks.score[one], tracks.pts_s[row], size, focal, ["she"],
                ["she"] if row == rows.start else (),
            )  # fmt: skip
            poses.append(pose)
            roots.append(root)
    return np.concatenate(poses), np.concatenate(roots)


@pytest.mark.parametrize("side_by_side", [1, 3, 16])
def test_clips_side_by_side_are_lifted_as_each_alone(lifter: Lifter, side_by_side: int) -> None:
    tracks = Tracks(**arrays())
    told: list[int] = []
    xyz_m, root_m = lift_tracks(lifter, tracks, told.append, side_by_side)
    want_xyz_m, want_root_m = live(lifter, tracks)
    np.testing.assert_allclose(xyz_m, want_xyz_m, atol=1e-6)
    np.testing.assert_allclose(root_m, want_root_m, rtol=1e-6, atol=2e-6)
    assert told[-1] == len(tracks) == sum(LENGTHS)


def test_a_clip_knows_nothing_of_the_others(lifter: Lifter) -> None:
    raw = arrays()
    whole, _ = lift_tracks(lifter, Tracks(**raw))
    part = {k: v[-LENGTHS[-1] :] if len(v) == sum(LENGTHS) else v for k, v in raw.items()}
    alone, _ = lift_tracks(lifter, Tracks(**part))
    np.testing.assert_allclose(whole[-LENGTHS[-1] :], alone, atol=1e-6)


def test_a_long_pause_is_a_fresh_start(lifter: Lifter) -> None:
    raw = arrays()
    raw["pts_s"] = np.arange(sum(LENGTHS)) / 30
    raw["pts_s"][20:40] += lifter.max_gap_s + 0.1
    raw["pts_s"][40:] += 100
    xyz_m, _ = lift_tracks(lifter, Tracks(**raw))
    late = {k: v[20:40] if len(v) == sum(LENGTHS) else v for k, v in raw.items()}
    alone, _ = lift_tracks(lifter, Tracks(**late))
    np.testing.assert_allclose(xyz_m[20:40], alone, atol=1e-6)


def test_missing_joints_are_not_read(lifter: Lifter) -> None:
    raw = arrays()
    raw["score"][:, 4] = 0
    plain, _ = lift_tracks(lifter, Tracks(**raw))
    raw["xy_px"][:, 4] = 1e9
    wild, _ = lift_tracks(lifter, Tracks(**raw))
    raw["xy_px"][:, 4] = np.nan
    raw["score"][:, 4] = 0.8  # a sure joint at no place is missing, too
    raw["score"][7, 4] = np.nan
    tracks = Tracks(**raw)
    unknown, _ = lift_tracks(lifter, tracks)
    np.testing.assert_array_equal(plain, wild)
    np.testing.assert_array_equal(plain, unknown)
    assert (tracks.score[:, 4] == 0).all()
    assert np.isfinite(unknown).all()


def test_scores_a_little_beside_the_scale_are_put_on_it() -> None:
    raw = arrays()
    raw["score"][3, 4], raw["score"][5, 6], raw["score"][7, 8] = 1.2, -0.2, 0.4
    tracks = Tracks(**raw)
    np.testing.assert_allclose([tracks.score[3, 4], tracks.score[5, 6], tracks.score[7, 8]], [1, 0, 0.4])
    raw["score"][3, 4] = 2.5
    with pytest.raises(TensorShapeError, match=r"score must be 0..1, found 2\.5 in row 3"):
        Tracks(**raw)


def test_no_rows_are_no_rows(lifter: Lifter) -> None:
    raw = {k: v[:0] for k, v in arrays().items()}
    xyz_m, root_m = lift_tracks(lifter, Tracks(**raw))
    assert (xyz_m.shape, root_m.shape) == ((0, 17, 3), (0, 3))


WRONG: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "shape": ("xy_px", lambda a: a[:, :16]),
    "rows": ("score", lambda a: a[:5]),
    "dtype": ("clip", lambda a: a * 1.0),
    "text": ("pts_s", lambda a: a.astype(str)),
    "focal": ("focal_px", lambda a: np.where(np.arange(5) == 2, np.inf, a)),
    "zero": ("focal_px", lambda a: a * 0),
    "size": ("size_wh", lambda a: a * [0, 1]),
    "late": ("pts_s", lambda a: a[::-1].copy()),
    "equal": ("pts_s", lambda a: np.repeat(a[::2], 2)[: len(a)]),
    "nan": ("pts_s", lambda a: a * np.nan),
    "range": ("clip", lambda a: a + 1),
    "negative": ("clip", lambda a: a - 1),
    "percent": ("score", lambda a: a * 90),
    "apart": ("clip", lambda a: np.concatenate([a[1:], a[:1]])),
}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("shape", r"xy_px must be \(N, 17, 2\) numbers, found \(86, 16, 2\) float64"),
        ("rows", r"score must be \(N, 17\) = \(86, 17\) numbers, found \(5, 17\) float64"),
        ("dtype", r"clip must be \(N,\) = \(86,\) whole numbers, found \(86,\) float64"),
        ("text", r"pts_s must be \(N,\) = \(86,\) numbers, found \(86,\) <U"),
        ("focal", "focal_px must be finite and above 0, found inf in row 2"),
        ("zero", "focal_px must be finite and above 0, found 0.0 in row 0"),
        ("size", r"size_wh must be at least 1 x 1, found \[ *0 .* in row 0"),
        ("late", "pts_s must be rising within a clip, found .* in row 1"),
        ("equal", "pts_s must be rising within a clip, found .* in row 1"),
        ("nan", "pts_s must be finite, found nan in row 0"),
        ("range", "clip must be 0..4, a row of size_wh and focal_px, found 5"),
        ("negative", "clip must be 0..4, a row of size_wh and focal_px, found -1"),
        ("percent", "score must be 0..1, found"),
        ("apart", "clip must keep a clip's rows together, clip 3 returns in row 85"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, says: str) -> None:
    raw = arrays()
    array, change = WRONG[name]
    raw[array] = change(raw[array])
    with pytest.raises(TensorShapeError, match=says):
        Tracks(**raw)


class Late:
    """A stand-in for an engine whose answers lag: it says which x it saw two frames ago, and dt."""

    spec = SimpleNamespace(
        kind="lifter",
        settings={"receptive_field": 9, "max_gap_s": 0.5, "frame_rate_hz": [15, 60], "look_ahead_frames": 2},
    )

    def __init__(self) -> None:
        self.seen: dict[int, list[float]] = {}

    def run(self, inputs: dict[str, np.ndarray], keys: list[int], reset: set[int]) -> dict[str, np.ndarray]:
        for key, x in zip(keys, inputs["xy"][:, 0, 0], strict=True):
            self.seen[key] = [*([] if key in reset else self.seen[key]), float(x)]
        said = np.array([self.seen[k][max(0, len(self.seen[k]) - 3)] for k in keys], np.float32)
        return {"xyz_m": np.tile(said[:, None, None], (1, 17, 3)), "root_m": np.tile(said[:, None], (1, 3))}


def test_answers_that_lag_are_put_to_their_rows() -> None:
    raw = arrays()
    raw["xy_px"][:, 0, 0] = np.arange(sum(LENGTHS))
    raw["size_wh"], raw["focal_px"] = np.ones((5, 2)), np.ones(5)
    xyz_m, root_m = lift_tracks(Lifter(Late()), Tracks(**raw), side_by_side=2)  # type: ignore[arg-type]
    np.testing.assert_allclose(xyz_m[:, 0, 0], np.arange(sum(LENGTHS)) - 0.5)
    np.testing.assert_allclose(root_m[:, 2], np.arange(sum(LENGTHS)) - 0.5)
