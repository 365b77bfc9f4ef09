"""Look at motion data before training on it: a contact sheet of what the readers make of any file.

    python -m train.tasks.look_motion ../shared/data/mocap --out sheet.png
    python -m train.tasks.look_motion data_3d_h36m.npz my_bvh_folder walk.amc --out sheet.png

One row per clip, at its middle: what up to four cameras see round the person, then the 3D joints from the person's
left, on the floor. Left limbs are blue, right ones orange; joints below score 0.3 are black. Pure motion is filmed by
the room's cameras.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from train.data.motion.motion_files import captures, read_capture
from train.data.motion.mpi_inf_3dhp import read_mpi_inf_3dhp
from train.data.motion.rigs import room_rig
from train.data.motion.room import RoomClip, View, centred, detected, room_clips, seen
from train.data.motion.videopose_npz import read_videopose
from train.data.render.rotations import unit
from train.data.render.sheet import draw_truth
from train.errors import DataError

Image = npt.NDArray[np.uint8]

TILE_PX, VIEWS = 240, 4
SURE = 0.3
SIDE_M = 2.4  # height of the side view


def main(argv: list[str] | None = None) -> int:
    """Write the sheet; 1 with one line on stderr if a file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m train.tasks.look_motion", description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="motion data of any known form")
    parser.add_argument("--out", type=Path, default=Path("sheet.png"), help="PNG file (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=4, help="clips of each file (default: %(default)s)")
    parser.add_argument("--split", choices=("train", "val"), default="train")
    parser.add_argument(
        "--unit", type=float, default=None, help="metres per unit of BVH and AMC files (default: guess)"
    )
    parser.add_argument("--up", choices=("auto", "x", "y", "z"), default="auto", help="axis that points up in them")
    parser.add_argument("--detections", action="store_true", help="imitated detections in place of the 2D joints")
    args = parser.parse_args(argv)
    try:
        clips = [c for f in args.files for c in islice(clips_of(f, args), args.clips)]
    except (ValueError, FileNotFoundError, DataError) as error:
        print(f"look_motion: {error}", file=sys.stderr)
        return 1
    if args.detections:
        clips = detected(clips, seed=0)
    cv2.imwrite(str(args.out), np.ascontiguousarray(sheet(clips)[..., ::-1]))
    for clip in clips:
        print(f"{clip.name}: {len(clip.world_m)} frames, {clip.fps:.4g}/s, subject {clip.subject}, {clip.action}")
    print(f"-> {args.out}")
    return 0


def clips_of(path: Path, args: argparse.Namespace) -> Iterator[RoomClip]:
    """Read a file of any known form as clips with views.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If it is none of the forms, or damaged.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if (path / "motion.npz").is_file() or path.name == "motion.npz":
        clips = room_clips(path if path.is_dir() else path.parent, args.split, room_rig())
        rows = np.linspace(0, len(clips) - 1, min(args.clips, len(clips))).astype(int)
        yield from (clips[row] for row in rows)
    elif path.suffix == ".npz":
        yield from (_filmed(clip) for clip in read_videopose(path, split=args.split))
    elif any(path.glob("S*/Seq*/annot.mat")) or any(path.glob("**/TS*/annot_data.mat")):
        yield from read_mpi_inf_3dhp(path, args.split)
    else:
        for file in captures(path, args.split):
            clip = read_capture(file, args.unit, args.up)
            yield _filmed(RoomClip(clip.name, clip.subject, clip.action, clip.fps, clip.xyz_m, ()))


def sheet(clips: list[RoomClip]) -> Image:
    """Return one row of tiles per clip, RGB."""
    rows = []
    for clip in clips:
        frame = len(clip.world_m) // 2
        tiles = [view_tile(view, frame) for view in clip.views[:VIEWS]]
        tiles += [np.zeros((TILE_PX, TILE_PX, 3), np.uint8)] * (VIEWS - len(tiles))
        row = np.concatenate([*tiles, side_tile(clip.world_m[frame])], 1)
        label = f"{clip.name}  {clip.action[:40]}  {clip.fps:.0f}/s"
        cv2.putText(row, label, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        rows.append(row)
    return np.concatenate(rows)


def view_tile(view: View, frame: int) -> Image:
    """Return what a camera sees round the person; outside its picture it is darker."""
    xy_px, sure = view.xy_px[frame].copy(), view.score[frame] >= SURE
    for parent, joint in H36M17.bones:
        if not view.score[frame, joint]:
            xy_px[joint] = xy_px[parent]  # what has no place is not drawn
    shown = xy_px[sure] if sure.any() else xy_px
    low, high = shown.min(0), shown.max(0)
    scale = TILE_PX * 0.75 / max(float((high - low).max()), 1.0)
    corner = (low + high) / 2 - TILE_PX / 2 / scale
    tile = np.full((TILE_PX, TILE_PX, 3), 20, np.uint8)
    inside = np.clip((np.array([(0, 0), view.camera.size_wh]) - corner) * scale, -9, TILE_PX + 9).astype(int)
    cv2.rectangle(tile, inside[0].tolist(), inside[1].tolist(), (60, 60, 60), -1)
    draw_truth(tile, (xy_px - corner) * scale, sure)
    return tile


def side_tile(world_m: npt.NDArray[np.floating]) -> Image:
    """Return 3D joints (17, 3) from the person's left, facing left, with the floor."""
    at = {joint: world_m[H36M17.index(joint)] for joint in ("right_hip", "left_hip", "pelvis")}
    forward = unit(np.cross([0, 0, 1], at["right_hip"] - at["left_hip"]))
    scale = TILE_PX / SIDE_M
    floor = TILE_PX - 20
    side = np.stack([TILE_PX / 2 - (world_m - at["pelvis"]) @ forward * scale, floor - world_m[:, 2] * scale], -1)
    tile = np.full((TILE_PX, TILE_PX, 3), 90, np.uint8)
    cv2.line(tile, (0, floor), (TILE_PX, floor), (200, 200, 200), 1)
    draw_truth(tile, side, np.ones(17, np.bool_))
    return tile


def _filmed(clip: RoomClip) -> RoomClip:
    """Return a clip without views as the room's cameras see it."""
    if clip.views:
        return clip
    world_m = centred(clip.world_m)
    views = tuple(seen(camera, world_m) for camera in room_rig())
    return RoomClip(clip.name, clip.subject, clip.action, clip.fps, world_m, views)


if __name__ == "__main__":
    sys.exit(main())
