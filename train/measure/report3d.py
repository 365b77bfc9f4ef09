"""What is said and drawn of a measured lifter: the tables of `train.measure.evaluate3d`, and pictures of its errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engines.measure.bones3d import LIMBS
from engines.measure.score3d import CALM_JITTER_MM, LEGEND, STEADY_LIMB_SD_MM, Truth, lines
from engines.skeletons import H36M17
from engines.tracks import Tracks
from train.data.motion.mocap import Float

COLOURS = {"truth": "#2a9d8f", "detector-like": "#e07a3f", "detector": "#5b6ee1"}


def tables(report: Mapping[str, Any]) -> str:
    """Return a report of `evaluate` for people."""
    ahead = report["look_ahead_frames"]
    how = f"looks {ahead} frames ahead" if ahead else "causal"
    out = [
        f"{report['model']['name']} ({report['model']['backend']}), {how}, without flip; {report['clips']} clips of "
        f"people never seen, {report['seconds']:g} s each, streamed as a live run does",
        LEGEND,
        "",
        *lines({f"{r['fps']:3g} fps  {r['joints_2d']}": r for r in report["by_rate"]}, "2D joints"),
        "",
        *lines({f"{r['missing']:4.0%}  {r['joints_2d']}": r for r in report["by_missing"]}, "30 fps, joints missing"),
        "",
        *_dropped(report["by_dropped"]),
    ]
    shown = [r for r in report["by_rate"] if r["fps"] == 30 or r["joints_2d"] == "detector"]
    for row in shown:
        for what in ("per_action", "per_subject"):
            if what in row:
                out += ["", *lines(row[what], f"{what[4:]}, {row['joints_2d']}, {row['fps']:g} fps")]
    out += ["", *_joints(shown), "", *_limbs(shown), "", *_steps(report["step_ms"])]
    if "streaming_minus_batch" in report:
        out += [f"streaming minus batch: {report['streaming_minus_batch']:.1e} (metres; root: share of depth)"]
    return "\n".join(out) + "\n"


def _dropped(rows: list[Mapping[str, Any]]) -> list[str]:
    frames = (1, 5, 10)
    out = [
        f"{'30 fps, frames dropped':26}"
        + "".join(f"{f'first {f}':>10}{'no gap':>8}" for f in frames)
        + "   MPJPE after"
    ]
    for row in rows:
        cells = "".join(f"{row[f'first_{f}_mm']:10.1f}{row[f'first_{f}_without_gap_mm']:8.1f}" for f in frames)
        out.append(f"{row['dropped']:4d}  {row['joints_2d']:20}{cells}")
    return out


def _joints(rows: list[Mapping[str, Any]]) -> list[str]:
    out = [f"{'MPJPE by joint':18}" + "".join(f"{r['joints_2d']:>16}" for r in rows)]
    return out + [f"{j:18}" + "".join(f"{r['per_joint_mm'].get(j, np.nan):16.1f}" for r in rows) for j in H36M17.joints]


def _limbs(rows: list[Mapping[str, Any]]) -> list[str]:
    out = [f"{'SD over a clip, mm':18}" + "".join(f"{r['joints_2d']:>16}{'worst clip':>12}" for r in rows)]
    for limb in LIMBS:
        sds = ((r["per_bone_sd_mm"].get(limb, np.nan), r["per_limb_worst_sd_mm"].get(limb, np.nan)) for r in rows)
        out.append(f"{limb:18}" + "".join(f"{sd:16.1f}{worst:12.1f}" for sd, worst in sds))
    return out + [
        f"{r['joints_2d']}: a limb over {STEADY_LIMB_SD_MM:g} mm in {r['unsteady_clips']} of {r['clips']} clips, "
        f"jitter more than {CALM_JITTER_MM:g} mm/frame^2 above the truth's in {r['restless_clips']}"
        for r in rows
    ]


def _steps(rows: list[Mapping[str, Any]]) -> list[str]:
    return [f"step, {r['threads']} threads, {r['people']} people: {r['p50']:.2f} ms (p95 {r['p95']:.2f})" for r in rows]


def draw_errors(path: Path, name: str, shown: Mapping[str, tuple[Tracks, Truth, Float]]) -> None:
    """Write a picture: histogram of the errors, mean per joint, mean against the time since the start.

    Args:
        path: PNG file; its folder is made.
        name: Of the model.
        shown: By kind of 2D joints: tracks, truth and the lifted poses (N, 17, 3).
    """
    from matplotlib.figure import Figure

    figure = Figure((15, 4.6), dpi=110, layout="constrained")
    axes = figure.subplots(1, 3)
    width = 0.8 / len(shown)
    for at, (kind, (tracks, truth, xyz_m)) in enumerate(shown.items()):
        colour, errors = COLOURS[kind], np.linalg.norm(xyz_m - truth.xyz_m, axis=-1) * 1000  # (N, 17)
        moving = errors[:, 1:][np.isfinite(errors[:, 1:])]
        axes[0].hist(moving, np.arange(0, 405, 5), density=True, histtype="step", color=colour, label=kind)
        axes[0].axvline(np.median(moving), color=colour, linestyle=":")
        axes[1].barh(np.arange(17) + at * width, np.nanmean(errors, 0), width, color=colour, label=kind)
        axes[2].plot(*_over_time(tracks, errors), color=colour, label=kind)
    axes[0].set(title="joint errors, dotted: median", xlabel="mm", ylabel="density", xlim=(0, 400))
    axes[1].set(title="mean error by joint", xlabel="mm")
    axes[1].set_yticks(np.arange(17) + 0.4 - width / 2, [j.replace("_", " ") for j in H36M17.joints])
    axes[1].invert_yaxis()
    axes[2].set(title="mean error against time since the start", xlabel="s", ylabel="mm")
    axes[2].set_ylim(bottom=0)
    for axis in axes:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[2].legend(frameon=False)
    figure.suptitle(f"{name}: {', '.join(shown)} 2D joints")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _over_time(tracks: Tracks, errors: Float) -> tuple[Float, Float]:
    """Return seconds since the clip's start, in steps of 0.1 s, and the mean error there."""
    since = np.concatenate([tracks.pts_s[s] - tracks.pts_s[s.start] for s in tracks.spans()])
    bins = np.round(since * 10).astype(int)
    known = np.isfinite(errors).any(1)
    total = np.bincount(bins[known], np.nanmean(errors[known], 1))
    count = np.bincount(bins[known])
    return np.flatnonzero(count) / 10, (total[count > 0] / count[count > 0])
