"""Pictures of results: where the skeletons land, in which colours, at which size."""

import numpy as np
import pytest

from engines.skeletons import H36M17
from pipeline.messages import People3D, Stamp
from pipeline.overlay.colors import LEFT, MIDDLE, RIGHT
from pipeline.overlay.draw import compose, contact_sheet, describe, draw_skeletons
from pipeline.overlay.draw3d import BACKGROUND, Eye, arrange, draw_scene

WH = (1280, 720)
# a standing person facing the camera, pelvis at the origin, y down
STANDING_M = {
    "pelvis": (0, 0), "right_hip": (-0.13, 0), "right_knee": (-0.14, 0.42), "right_ankle": (-0.15, 0.84),
    "left_hip": (0.13, 0), "left_knee": (0.14, 0.42), "left_ankle": (0.15, 0.84), "spine": (0, -0.25),
    "thorax": (0, -0.5), "nose": (0, -0.6), "head_top": (0, -0.7), "left_shoulder": (0.18, -0.48),
    "left_elbow": (0.35, -0.3), "left_wrist": (0.5, -0.1), "right_shoulder": (-0.18, -0.48),
    "right_elbow": (-0.35, -0.3), "right_wrist": (-0.5, -0.1),
}  # fmt: skip


def people(
    roots_m: list[tuple[float, float, float]], score: float = 0.9, known: bool = True, wh: tuple[int, int] = WH
) -> People3D:
    xyz_m = np.array([(*STANDING_M[name], 0) for name in H36M17.joints], np.float32)
    root_m = np.array(roots_m, np.float32).reshape(-1, 3)
    world = xyz_m + root_m[:, None]
    xy_px = world[..., :2] / world[..., 2:] * 0.9 * max(wh) + np.array(wh) / 2
    count = len(root_m)
    boxes = np.concatenate([xy_px.min(1), xy_px.max(1)], 1) if count else np.zeros((0, 4))
    return People3D(
        stamp=Stamp("clip", 12, 10**9, 0.4, {"lift": 10**9 + 23_000_000}), image_wh=wh,
        track=np.arange(count, dtype=np.int32), box_xyxy_px=boxes.astype(np.float32), xy_px=xy_px.astype(np.float32),
        score=np.full((count, 17), score, np.float32), xyz_m=np.repeat(xyz_m[None], count, 0),
        root_m=root_m if known else np.full_like(root_m, np.nan), filled=np.ones(count, np.float32),
    )  # fmt: skip


def count(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(image.astype(int) - colour).max(2) < 8).sum())


def middle(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Mean x, y of the pixels of a colour."""
    rows, columns = np.nonzero(np.abs(image.astype(int) - colour).max(2) < 8)
    return np.array([columns.mean(), rows.mean()])


@pytest.mark.parametrize("frame_wh", [(1280, 720), (640, 360), (1920, 1080), (1080, 1920), (1, 1), (3000, 100)])
def test_the_size_is_even_and_the_same_for_any_number_of_people(frame_wh: tuple[int, int]) -> None:
    frame = np.full((frame_wh[1], frame_wh[0], 3), 90, np.uint8)
    pictures = [compose(frame, people(roots)) for roots in ([], [(0, 0, 3)], [(i - 5.0, 0, 9) for i in range(10)])]
    assert {p.shape for p in pictures} == {pictures[0].shape}
    assert pictures[0].shape[0] == 720
    assert pictures[0].shape[1] % 2 == 0
    assert pictures[0].dtype == np.uint8
    assert pictures[0].flags.c_contiguous


def test_joints_land_on_the_frame_whatever_its_scale() -> None:
    who = people([(0.8, 0.1, 4)])
    for scale in (1, 2):
        frame = np.full((720 // scale, 1280 // scale, 3), 90, np.uint8)
        shown = compose(frame, who)[:, :1280]
        for name, colour in (("left_wrist", LEFT), ("right_ankle", RIGHT), ("head_top", MIDDLE)):
            x, y = np.floor(who.xy_px[0, H36M17.index(name)]).astype(int)
            assert np.abs(shown[y, x].astype(int) - colour).max() < 10, name


def test_a_tall_frame_keeps_its_shape() -> None:
    who = people([(0, 0, 4)], wh=(300, 900))
    shown = compose(np.full((900, 300, 3), 90, np.uint8), who)[:, :400]
    assert tuple(shown[700, 10]) == (0, 0, 0)  # bars beside it
    x, y = who.xy_px[0, H36M17.index("left_wrist")] * 0.8 + [80, 0]
    assert np.abs(shown[int(y), int(x)].astype(int) - LEFT).max() < 10


def test_left_and_right_have_their_colours_in_space() -> None:
    """From the camera a person who faces it has the left side on the picture's right."""
    canvas = np.zeros((300, 300, 3), np.uint8)
    draw_scene(canvas, arrange(people([(0, 0, 4)])), Eye(0, 0, ""))
    assert middle(canvas, LEFT)[0] > 150 > middle(canvas, RIGHT)[0]
    draw_scene(canvas, arrange(people([(0, 0, 4)])), Eye(180, 0, ""))
    assert middle(canvas, LEFT)[0] < 150 < middle(canvas, RIGHT)[0]


def test_the_person_stands_upright_in_space() -> None:
    canvas = np.zeros((300, 300, 3), np.uint8)
    for yaw in (0, 38, 60):
        draw_scene(canvas, arrange(people([(0, 0, 4)])), Eye(yaw, 10, ""))
        rows, _ = np.nonzero(np.abs(canvas.astype(int) - MIDDLE).max(2) < 8)
        legs, _ = np.nonzero(np.abs(canvas.astype(int) - RIGHT).max(2) < 8)
        assert rows.min() < legs.min() < 150 < legs.max()  # the head is above everything, the feet below the middle
        assert legs.max() - rows.min() > 180  # and the person fills the view


def test_from_the_side_depth_runs_across() -> None:
    """The eye stands on the camera's right: what is farther from the camera is on the right."""
    who = people([(0, 0, 4)])
    moved = who.xyz_m.copy()
    moved[0, H36M17.index("left_wrist"), 2] += 0.6
    moved[0, H36M17.index("right_wrist"), 2] -= 0.6
    scene = arrange(
        People3D(**{f: getattr(who, f) for f in who.__dataclass_fields__ if f != "xyz_m"}, xyz_m=moved)  # type: ignore[arg-type]
    )
    canvas = np.zeros((300, 300, 3), np.uint8)
    draw_scene(canvas, scene, Eye(90, 0, ""))
    _, columns = np.nonzero(np.abs(canvas.astype(int) - LEFT).max(2) < 8)
    assert columns.max() > 190
    _rows, columns = np.nonzero(np.abs(canvas.astype(int) - RIGHT).max(2) < 8)
    assert columns.min() < 110


@pytest.mark.parametrize("known", [True, False])
def test_several_people_stand_where_they_are(known: bool) -> None:
    scene = arrange(people([(-1, 0, 4), (1.5, 0, 6)], known=known))
    apart_m = scene.xyz_m[1, 0] - scene.xyz_m[0, 0]
    assert apart_m == pytest.approx([2.5, 0, 2], abs=0.05 if known else 1.0)
    canvas = np.zeros((300, 300, 3), np.uint8)
    draw_scene(canvas, scene, Eye(0, 0, ""))
    assert count(canvas[:, :150], LEFT) > 30
    assert count(canvas[:, 150:], LEFT) > 30


def test_unsure_joints_are_faint_and_missing_ones_left_out() -> None:
    frame = np.full((720, 1280, 3), 90, np.uint8)
    sure, unsure, gone = frame.copy(), frame.copy(), frame.copy()
    who = people([(0, 0, 3)])
    draw_skeletons(sure, who.xy_px, who.score)
    draw_skeletons(unsure, who.xy_px, who.score * 0.2)
    missing = who.xy_px.copy()
    missing[0, [H36M17.index(n) for n in ("left_wrist", "left_ankle", "left_knee", "left_elbow")]] = np.nan
    draw_skeletons(gone, missing, who.score)
    assert count(sure, LEFT) > 800
    assert count(unsure, LEFT) == 0
    assert 3 < np.abs(unsure.astype(int) - 90).max() < np.abs(sure.astype(int) - 90).max() * 0.7
    assert count(gone, LEFT) < count(sure, LEFT) * 0.4
    assert np.isfinite(missing).sum() < missing.size


def test_joints_far_outside_do_no_harm() -> None:
    who = people([(0, 0, 3)])
    for far in (1e9, -1e9, np.inf):
        xy_px = who.xy_px.copy()
        xy_px[0, 3] = far
        for score in (0.9, 0.1):
            draw_skeletons(np.zeros((72, 128, 3), np.uint8), xy_px, np.full((1, 17), score, np.float32))


def test_smoothed_joints_are_preferred_in_space() -> None:
    who = people([(0, 0, 4)])
    fields = {f: getattr(who, f) for f in who.__dataclass_fields__}
    smooth = People3D(**{**fields, "xyz_smooth_m": who.xyz_m + np.float32(0.25)})
    assert arrange(smooth).xyz_m[0, 0] == pytest.approx([0.25, 0.25, 4.25])


def test_the_text_says_which_frame_and_how_old() -> None:
    assert describe(people([(0, 0, 3)])) == ["frame 12  0.40 s  1 person", "latency 23 ms"]
    assert describe(people([(0, 0, 3)]), latency=False) == ["frame 12  0.40 s  1 person"]
    assert describe(people([]))[0].endswith("nobody")
    assert describe(people([(0, 0, 3), (1, 0, 3)]))[0].endswith("2 people")


def test_nobody_leaves_the_frame_and_an_empty_ground() -> None:
    shown = compose(np.full((720, 1280, 3), 90, np.uint8), people([]))
    assert (shown[100:, :1280] == 90).all()
    assert count(shown[:, 1280:], BACKGROUND) > 0.8 * 560 * 720
    assert count(shown, LEFT) == 0


@pytest.mark.parametrize("number", [1, 2, 9, 12])
def test_a_contact_sheet_holds_every_picture(number: int) -> None:
    pictures = [np.full((720, 1840, 3), 20 + 15 * n, np.uint8) for n in range(number)]
    sheet = contact_sheet(pictures)
    assert sheet.shape[1] == 1920
    assert {20 + 15 * n for n in range(number)} <= set(np.unique(sheet[..., 1]).tolist())
    assert sheet.shape[0] < 1500
