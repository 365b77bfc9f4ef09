"""Pictures of results: the frame with its 2D skeletons, the skeletons in space beside it, and contact sheets.

For overlay videos and for machines without a display; the viewer draws for itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.messages import People3D
from pipeline.overlay.colors import RGB, TEXT, opacity
from pipeline.overlay.draw3d import BACKGROUND, BONES, SHADOW, SUBPIXEL, Eye, arrange, draw_limb, draw_scene, to_fixed
from pipeline.sources.video import Image

HEIGHT_PX = 720
SPACE_WIDTH_PX = 560
FRAME_WIDTH_PX = (400, 1280)
"""Narrowest and widest frame panel; what does not fit keeps its shape between black bars."""
SMALL_VIEW_PX = 260
LINE_PX = 32
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.65

ORBIT = Eye(38, 16, "3D")
FRONT = Eye(0, 4, "from the camera")
SIDE = Eye(90, 4, "from the side")


def compose(frame: Image, people: People3D, latency: bool = True) -> Image:
    """Draw one result: left the frame with 2D skeletons, right the same people in space.

    Args:
        frame: (h, w, 3) uint8 RGB, the frame that the joints belong to, at any scale.
        people: The result.
        latency: Write how old the result was when it was made; in a replay frames wait in line, and it says nothing.

    Returns:
        (720, W, 3) uint8 RGB; W is even and depends only on the frame's shape, so it stays the same in a run.
    """
    width = int(np.clip(HEIGHT_PX * frame.shape[1] / frame.shape[0], *FRAME_WIDTH_PX)) // 2 * 2
    canvas = np.empty((HEIGHT_PX, width + SPACE_WIDTH_PX, 3), np.uint8)
    _draw_frame(canvas[:, :width], frame, people, latency)
    scene = arrange(people)
    space = canvas[:, width:]
    split, half = HEIGHT_PX - SMALL_VIEW_PX, SPACE_WIDTH_PX // 2
    for view, eye in ((space[:split], ORBIT), (space[split:, :half], FRONT), (space[split:, half:], SIDE)):
        panel = np.empty(view.shape, np.uint8)  # cv2 draws on contiguous arrays only
        draw_scene(panel, scene, eye)
        view[:] = panel
    space[split, :] = space[split:, half] = space[:, 0] = SHADOW
    return canvas


def _draw_frame(view: Image, frame: Image, people: People3D, latency: bool) -> None:
    """Fit the frame into the panel and draw people and text over it."""
    height, width = view.shape[:2]
    scale = min(width / frame.shape[1], height / frame.shape[0])
    wh = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    left, top = (width - wh[0]) // 2, (height - wh[1]) // 2
    panel = np.zeros(view.shape, np.uint8)
    panel[top : top + wh[1], left : left + wh[0]] = cv2.resize(
        frame, wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    to_panel = np.asarray(wh, np.float32) / np.asarray(people.image_wh, np.float32)
    draw_skeletons(panel, people.xy_px * to_panel + np.array([left, top], np.float32), people.score)
    for track, box in zip(people.track, people.box_xyxy_px, strict=True):
        x, y = box[:2] * to_panel + [left, top]
        _write(panel, f"{track}", (float(x), float(y) - 6))
    for line, text in enumerate(describe(people, latency)):
        _write(panel, text, (12, LINE_PX * (line + 1)))
    view[:] = panel


def draw_skeletons(canvas: Image, xy_px: npt.NDArray[np.float32], score: npt.NDArray[np.float32]) -> None:
    """Draw 2D skeletons onto a picture, in place: colours by side, unsure joints fainter.

    Args:
        canvas: (H, W, 3) uint8 RGB, contiguous.
        xy_px: (P, 17, 2) float32 pixels of the canvas; joints that are not finite are left out.
        score: (P, 17) float32 0..1.
    """
    for xy, sure in zip(xy_px, score, strict=True):
        seen = np.isfinite(xy).all(1)
        if not seen.any():
            continue
        width = int(np.clip(np.ptp(xy[seen], axis=0).max() / 90, 2, 7))
        at, solid = to_fixed(np.where(seen[:, None], xy, 0)), [opacity(s) for s in sure.tolist()]
        for parent, child, colour in BONES:
            if seen[parent] and seen[child]:
                _blend_bone(canvas, at[parent], at[child], colour, width, min(solid[parent], solid[child]))


def _blend_bone(canvas: Image, start: list[int], end: list[int], colour: RGB, width: int, solid: float) -> None:
    """Draw one bone; an unsure one lets the picture shine through."""
    if solid >= 1:
        draw_limb(canvas, start, end, colour, width)
        return
    margin, limits = width + 4, (canvas.shape[1], canvas.shape[0])
    low = [max(0, (min(a, b) >> SUBPIXEL) - margin) for a, b in zip(start, end, strict=True)]
    high = [min(n, (max(a, b) >> SUBPIXEL) + margin) for a, b, n in zip(start, end, limits, strict=True)]
    if low[0] >= high[0] or low[1] >= high[1]:
        return
    part = canvas[low[1] : high[1], low[0] : high[0]]
    drawn = part.copy()
    near, far = ([x - (n << SUBPIXEL) for x, n in zip(point, low, strict=True)] for point in (start, end))
    draw_limb(drawn, near, far, colour, width)
    cv2.addWeighted(drawn, solid, part, 1 - solid, 0, dst=drawn)
    part[:] = drawn


def describe(people: People3D, latency: bool = True) -> list[str]:
    """Return the lines written over a frame: which frame, who, how old the result was when it was made."""
    stamp = people.stamp
    when = f"frame {stamp.seq}" + (f"  {stamp.pts_s:.2f} s" if stamp.pts_s is not None else "")
    count = len(people.track)
    lines = [f"{when}  {'nobody' if not count else '1 person' if count == 1 else f'{count} people'}"]
    if latency and "lift" in stamp.t_stage_ns:
        dropped = f"  dropped {people.dropped}" if people.dropped else ""
        lines.append(f"latency {stamp.age_ms(stamp.t_stage_ns['lift']):.0f} ms{dropped}")
    return lines


def _write(canvas: Image, text: str, at: tuple[float, float]) -> None:
    """Write a line of text, its lower left corner at `at`, on a darkened strip."""
    (width, height), _ = cv2.getTextSize(text, FONT, FONT_SCALE, 1)
    x, y = int(at[0]), max(int(at[1]), height + 6)
    strip = canvas[y - height - 6 : y + 7, max(x - 6, 0) : max(x + width + 6, 0)]
    strip[:] = strip // 3
    cv2.putText(canvas, text, (x, y), FONT, FONT_SCALE, TEXT, 1, cv2.LINE_AA)


def contact_sheet(pictures: Sequence[Image], width_px: int = 1920) -> Image:
    """Lay pictures out in rows, like a photographer's contact sheet.

    Args:
        pictures: (H, W, 3) uint8 RGB each, at least one; all take the shape of the first.
        width_px: Width of the sheet.

    Returns:
        (h, width_px, 3) uint8 RGB, about 16:9 if there are enough pictures.
    """
    height, width = pictures[0].shape[:2]
    columns = math.ceil(math.sqrt(len(pictures) * height / width * 16 / 9))
    gap = 8
    cell_w = (width_px - gap * (columns + 1)) // columns
    cell_h = max(1, round(cell_w * height / width))
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (cell_h + gap) + gap, width_px, 3), BACKGROUND, np.uint8)
    for n, picture in enumerate(pictures):
        x, y = gap + n % columns * (cell_w + gap), gap + n // columns * (cell_h + gap)
        sheet[y : y + cell_h, x : x + cell_w] = cv2.resize(picture, (cell_w, cell_h), interpolation=cv2.INTER_AREA)
    return sheet
