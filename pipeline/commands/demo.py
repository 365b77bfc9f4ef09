"""The demo: a clip in the package, rendered from a CC0 body, so that the true 3D joints are known.

`run_demo` plays it like any live source, then compares the results with the truth. Where there is no
viewer it leaves a contact sheet: a picture to look at.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engines.measure.metrics3d import mpjpe_mm, p_mpjpe_mm
from pipeline.commands.launch import launch
from pipeline.commands.options import output_of
from pipeline.commands.terminal import Terminal
from pipeline.config import RunConfig, SourceConfig
from pipeline.errors import OutputError
from pipeline.results.record import Results, load_results

CLIP = Path(__file__).parents[1] / "demo.mp4"
TRUTH = Path(__file__).parents[1] / "demo_truth.npz"
SHEET = Path("posestream-demo.png")  # where no output is asked for; else beside it
SHEET_PICTURES = 6


@dataclass(frozen=True, slots=True)
class DemoReport:
    """How well a run did on the demo clip.

    Attributes:
        frames: Frames with a result for the person.
        of_frames: Frames that the run processed at most: those of the clip.
        mpjpe_mm: Mean joint error, pelvis aligned, camera axes.
        p_mpjpe_mm: The same after the best similarity transform of each frame.
        joint_px: Median 2D joint error in pixels of the clip.
    """

    frames: int
    of_frames: int
    mpjpe_mm: float
    p_mpjpe_mm: float
    joint_px: float

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"against the demo's known truth: 3D error (MPJPE) {self.mpjpe_mm:.0f} mm, after alignment (P-MPJPE) "
            f"{self.p_mpjpe_mm:.0f} mm, 2D joints {self.joint_px:.1f} px (median), "
            f"person in {self.frames} of {self.of_frames} frames"
        )


def source() -> SourceConfig:
    """Return the demo clip as a source that plays in real time."""
    return SourceConfig("file", str(CLIP), real_time=True)


def run_demo(run: RunConfig, terminal: Terminal, json_to: str | None = None) -> int:
    """Run over the demo clip, then report the error and, without a viewer, write a contact sheet.

    Args:
        run: A live run of `source()`.
        terminal: Takes what is said.
        json_to: As for `launch`.

    Returns:
        The run's exit code.

    Raises:
        OutputError: If the sheet cannot be written.
    """
    wanted = run.output
    with tempfile.TemporaryDirectory(prefix="posestream-demo-") as scratch:
        save = wanted.save or Path(scratch) / "demo.npz"
        video = wanted.save_video or (None if wanted.view else Path(scratch) / "demo.mp4")
        run = replace(run, output=output_of(wanted.view, save, video, wanted.publish))
        summary = launch(run, terminal, json_to)
        if summary.exit_code == 0 and summary.frames["processed"]:
            terminal.say(str(compare(load_results(save))))
            if video is not None:
                beside = wanted.save_video or wanted.save
                sheet = beside.with_suffix(".png") if beside else SHEET
                write_sheet(video, sheet)
                terminal.say(f"picture: {sheet}")
    return summary.exit_code


def compare(results: Results, truth_path: Path = TRUTH) -> DemoReport:
    """Compare results over the demo clip with its truth.

    Where a frame holds several rows, the one whose 2D joints lie nearest to the truth counts.

    Args:
        results: Rows of a run over CLIP, live (with drops) or replayed.
        truth_path: The clip's truth: frame (N,), xy_px (N, 17, 2), xyz_m (N, 17, 3) in camera axes.
    """
    with np.load(truth_path) as truth:
        frame, xy_px, xyz_m = truth["frame"], truth["xy_px"], truth["xyz_m"]
    row_of = {int(f): i for i, f in enumerate(frame)}
    best: dict[int, tuple[float, int]] = {}
    for row, f in enumerate(results.frame.tolist()):
        if f in row_of:
            error = float(np.linalg.norm(results.xy_px[row] - xy_px[row_of[f]], axis=-1).mean())
            best[f] = min(best.get(f, (np.inf, -1)), (error, row))
    if not best:
        return DemoReport(0, len(frame), np.nan, np.nan, np.nan)
    rows = [row for _, row in best.values()]
    at = [row_of[f] for f in best]
    return DemoReport(
        frames=len(best),
        of_frames=len(frame),
        mpjpe_mm=mpjpe_mm(results.xyz_m[rows], xyz_m[at]),
        p_mpjpe_mm=p_mpjpe_mm(results.xyz_m[rows], xyz_m[at]),
        joint_px=float(np.median(np.linalg.norm(results.xy_px[rows] - xy_px[at], axis=-1))),
    )


def write_sheet(video: Path, path: Path) -> None:
    """Write pictures of an overlay video, evenly spaced, as one PNG.

    Raises:
        OutputError: If it cannot be written.
    """
    import cv2

    from pipeline.overlay.draw import contact_sheet
    from pipeline.sources.video import open_source

    film = open_source(SourceConfig("file", str(video)), every=True)
    pictures = [picture.image for picture in film.pictures() if picture is not None]
    film.close()
    picked = [pictures[i] for i in np.linspace(0, len(pictures) - 1, SHEET_PICTURES).astype(int)]
    _, data = cv2.imencode(".png", contact_sheet(picked)[:, :, ::-1])
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", exit_code=2) from error
