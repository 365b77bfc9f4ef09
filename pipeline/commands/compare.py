"""`posestream compare`: results of one clip by several models beside one another, from the side and from the front.

Every person is drawn about their own pelvis in the axes of the camera, so that what differs is the pose: a trunk that
leans, knees that bend the wrong way, feet that hover. The side view is where a lifter shows what it does not know.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np

from pipeline.client import recorded
from pipeline.commands.launch import spare_the_inputs
from pipeline.commands.options import check_writable
from pipeline.commands.terminal import progress_bar
from pipeline.config import PICTURE_SUFFIXES
from pipeline.errors import OutputError, UsageError
from pipeline.messages import People3D
from pipeline.overlay.colors import TEXT
from pipeline.overlay.draw import FONT, FONT_SCALE, contact_sheet, draw_skeletons
from pipeline.overlay.draw3d import BACKGROUND, SOLE_M, Eye, Scene, draw_scene
from pipeline.overlay.writer import VideoWriter
from pipeline.sources.file import FileSource
from pipeline.sources.video import Image

HEIGHT_PX, PANEL_PX = 480, 300
RADIUS_M = 0.9
VIEWS = (Eye(90, 4, "side"), Eye(0, 4, "front"))
EXAMPLES = """examples:
  posestream replay clip.mp4 --save old.npz --lifter old.onnx
  posestream replay clip.mp4 --save new.npz
  posestream compare old.npz new.npz --video clip.mp4 --save both.mp4 --sheet both.png"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code.

    Raises:
        PipelineError: If an input cannot be read or the output not be written.
    """
    args = _parser().parse_args(argv)
    if args.sheet is None and args.save is None:
        raise UsageError("nothing to write", "give --save OUT.mp4, --sheet OUT.png, or both")
    _check_outputs(args)
    runs = [list(recorded(path)) for path in args.results]
    names = [path.stem for path in args.results]
    frames = max(len(run) for run in runs)
    film = FileSource(str(args.video)) if args.video else None
    fps = film.fps if film else _fps(runs[0])
    picks = set(np.linspace(0, frames - 1, min(12, frames)).round().astype(int).tolist()) if args.sheet else set()
    kept: list[Image] = []
    writer = VideoWriter(args.save, fps) if args.save else None
    bar, task = progress_bar("comparing", frames)
    for number, (pictures, *people) in enumerate(zip_longest(_pictures(film, frames), *runs)):
        if number >= frames:
            break
        row = side_by_side(pictures, people, names)
        if writer is not None:
            writer.write(row)
        if number in picks:
            kept.append(row)
        bar.advance(task)
    bar.stop()
    if writer is not None:
        writer.close()
    if kept:
        _write_sheet(args.sheet, contact_sheet(kept))
    return 0


def _check_outputs(args: argparse.Namespace) -> None:
    if args.sheet is not None and args.sheet.suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(f"--sheet {args.sheet}: not a kind of picture", f"one of {' '.join(sorted(PICTURE_SUFFIXES))}")
    outputs = [path for path in (args.save, args.sheet) if path is not None]
    spare_the_inputs(outputs, [*args.results, args.video])
    for path in outputs:
        if path.exists() and not args.force:
            raise OutputError(f"{path} is there already", "--force replaces it", exit_code=2)
        check_writable(path)


def _write_sheet(path: Path, sheet: Image) -> None:
    try:
        written = cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise OutputError(f"cannot write {path}: {error.err}") from error
    if not written:
        raise OutputError(f"cannot write {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "posestream compare", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS.npz", help="of the same clip")
    parser.add_argument("--video", type=Path, help="the clip itself")
    parser.add_argument("--save", type=Path, metavar="OUT.mp4")
    parser.add_argument("--sheet", type=Path, metavar="OUT.png", help="twelve frames on one page")
    parser.add_argument("--force", action="store_true", help="replace what is there already")
    return parser


def _fps(people: list[People3D]) -> float:
    times = [p.stamp.pts_s for p in people if p.stamp.pts_s is not None]
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 30.0


def _pictures(film: FileSource | None, frames: int) -> Iterator[Image | None]:
    """Yield a picture for each frame: blank ones after the end of a film that is too short."""
    if film is None:
        yield from [None] * frames
        return
    shape, missing = (HEIGHT_PX, PANEL_PX, 3), frames
    for picture in film.pictures():
        shape, missing = picture.image.shape, missing - 1
        yield picture.image
    film.close()
    yield from [np.full(shape, BACKGROUND, np.uint8)] * missing


def side_by_side(picture: Image | None, people: Sequence[People3D | None], names: Sequence[str]) -> Image:
    """Draw one frame.

    Args:
        picture: (h, w, 3) uint8 RGB, None without a video.
        people: One entry for each results file; None where it has ended.
        names: What to call each.

    Returns:
        (480, W, 3) uint8 RGB: the picture with the joints, then for each file its side and its front.
    """
    panels = [] if picture is None else [_picture_panel(picture, people)]
    for name, found in zip(names, people, strict=True):
        for view in VIEWS:
            panel = np.full((HEIGHT_PX, PANEL_PX, 3), BACKGROUND, np.uint8)
            if found is not None and len(found.track):
                draw_scene(panel, about_pelvis(found), Eye(view.yaw_deg, view.pitch_deg, f"{name}: {view.title}"))
            panels.append(panel)
    return np.concatenate(panels, 1)


def about_pelvis(people: People3D) -> Scene:
    """Return the tallest person of the picture about the own pelvis, on a floor under the lowest joint."""
    height_px = people.box_xyxy_px[:, 3] - people.box_xyxy_px[:, 1]
    who = [int(np.argmax(height_px))]
    xyz_m = np.nan_to_num(people.xyz_m[who]).astype(np.float32)
    floor = np.array([0, xyz_m[..., 1].max() + SOLE_M, 0], np.float32)
    return Scene(xyz_m, people.score[who], floor, RADIUS_M)


def _picture_panel(picture: Image, people: Sequence[People3D | None]) -> Image:
    scale = HEIGHT_PX / picture.shape[0]
    panel = cv2.resize(picture, (round(picture.shape[1] * scale) // 2 * 2, HEIGHT_PX), interpolation=cv2.INTER_AREA)
    first = next((p for p in people if p is not None), None)
    if first is not None:
        to_panel = np.asarray(panel.shape[1::-1], np.float32) / np.asarray(first.image_wh, np.float32)
        draw_skeletons(panel, first.xy_px * to_panel, first.score)
        text = f"frame {first.stamp.seq}"
        cv2.putText(panel, text, (10, HEIGHT_PX - 12), FONT, FONT_SCALE, TEXT, 1, cv2.LINE_AA)
    return panel
