"""Every 3D metric of lifted tracks at once: in all, per joint, per limb, per action and per subject; and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import TensorShapeError
from engines.geometry import Float
from engines.measure import bones3d, metrics3d
from engines.skeletons import H36M17
from engines.tracks import Tracks

COLUMNS = {
    "mpjpe_mm": "MPJPE", "p_mpjpe_mm": "P-MPJPE", "n_mpjpe_mm": "N-MPJPE", "mpjve_mm_per_frame": "MPJVE",
    "mpjve_mm_per_s": "mm/s", "still_mm_per_s": "still",
    "acceleration_error_mm": "accel", "jitter_mm": "jitter", "truth_jitter_mm": "truth's",
    "pck_150mm": "PCK150", "auc": "AUC", "bone_length_error_mm": "bones", "bone_sd_mm": "bone SD",
    "limb_ratio_error": "limb l/r", "root_error_share": "root",
}  # fmt: skip
LEGEND = (
    "mm; MPJVE mm/frame and mm/s, still: of a person who never moves; accel, jitter mm/frame^2;\n"
    "bones: error of length, SD over a clip; root: median error, share of the depth"
)
STEADY_LIMB_SD_MM, CALM_JITTER_MM = 5.0, 1.0
"""A clip is steady if no limb's length has a larger SD, calm if its jitter is at most so much above the truth's."""
TRUTH = ("xyz_m", "root_m", "action", "subject")
"""Arrays of `Truth` by name."""
_SHARES = ("pck_150mm", "auc", "limb_ratio_error", "root_error_share")


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What the people of `Tracks` really did.

    Attributes:
        xyz_m: (N, 17, 3) metres, camera axes, pelvis at the origin; NaN where unknown.
        root_m: (N, 3) the pelvis in camera space, NaN where unknown; or None.
        action: (C,) what is done in each clip; or None.
        subject: (C,) who does it; or None.
    """

    xyz_m: Float
    root_m: Float | None = None
    action: npt.NDArray[np.str_] | None = None
    subject: npt.NDArray[np.str_] | None = None

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]], tracks: Tracks) -> Truth:
        """Take the truth out of arrays by name, after checking it against its tracks.

        Raises:
            TensorShapeError: If one has the wrong shape or dtype.
        """
        rows, clips = len(tracks), len(tracks.focal_px)
        wanted = {
            "xyz_m": ("fiu", (rows, 17, 3)), "root_m": ("fiu", (rows, 3)), "action": ("US", (clips,)),
            "subject": ("US", (clips,)),
        }  # fmt: skip
        for name, (kinds, shape) in wanted.items():
            if name in arrays and (arrays[name].shape != shape or arrays[name].dtype.kind not in kinds):
                what = "text" if kinds == "US" else "numbers"
                found = f"{arrays[name].shape} {arrays[name].dtype}"
                raise TensorShapeError(f"{name} must be {shape} {what}, found {found}")
        names = (_text(arrays[name]) if name in arrays else None for name in ("action", "subject"))
        xyz_m = arrays["xyz_m"].astype(np.float32)
        root_m = arrays["root_m"].astype(np.float32) if "root_m" in arrays else None
        return cls(xyz_m - xyz_m[:, :1], root_m, *names)


def _text(names: npt.NDArray[Any]) -> npt.NDArray[np.str_]:
    return np.char.decode(names, "utf-8", "replace") if names.dtype.kind == "S" else names


def score(xyz_m: Float, root_m: Float, truth: Truth, tracks: Tracks) -> dict[str, Any]:
    """Return all metrics as plain data.

    Args:
        xyz_m: (N, 17, 3) lifted poses.
        root_m: (N, 3) lifted places of the pelvis.
        truth: What it should be.
        tracks: Times and clips of the rows.

    Returns:
        "rows", "clips", the figures of COLUMNS, "per_joint_mm", "per_bone_sd_mm" (mean over clips of the standard
        deviation over a clip), "per_limb_worst_sd_mm" (its largest over clips), "unsteady_clips" and "restless_clips"
        (how many are not steady and not calm, see STEADY_LIMB_SD_MM; what nobody knows is calm), and where known
        "per_action", "per_subject": the figures of COLUMNS by name.
    """
    spans = tracks.spans()
    sds = _bone_sds_mm(xyz_m, spans)
    report = {"rows": len(tracks), "clips": len(spans), **_figures(xyz_m, root_m, truth, tracks, spans)}
    errors = metrics3d.joint_errors_mm(xyz_m, truth.xyz_m)
    report["per_joint_mm"] = _known(dict(zip(H36M17.joints, errors, strict=True)))
    report["per_bone_sd_mm"] = _known(dict(zip(bones3d.BONES, metrics3d.mean_over(sds, 0), strict=True)))
    limbs = sds[:, [bones3d.BONES.index(n) for n in bones3d.LIMBS]]
    worst = limbs.max(0) if len(limbs) else np.full(len(bones3d.LIMBS), np.nan)
    report["per_limb_worst_sd_mm"] = _known(dict(zip(bones3d.LIMBS, worst, strict=True)))
    report["unsteady_clips"] = int((limbs > STEADY_LIMB_SD_MM).any(1).sum())
    known = np.where(np.isfinite(truth.xyz_m), xyz_m, np.float32(np.nan))
    jitters = np.array([[metrics3d.jitter_mm(p[s]) for p in (known, truth.xyz_m)] for s in spans]).reshape(-1, 2)
    report["restless_clips"] = int((jitters[:, 0] > jitters[:, 1] + CALM_JITTER_MM).sum())
    for what, names in (("per_action", truth.action), ("per_subject", truth.subject)):
        if names is not None:
            report[what] = {
                str(name): _figures(
                    xyz_m, root_m, truth, tracks, [s for s in spans if names[tracks.clip[s.start]] == name]
                )
                for name in np.unique(names[tracks.clip])
            }
    return report


def _figures(xyz_m: Float, root_m: Float, truth: Truth, tracks: Tracks, spans: list[slice]) -> dict[str, float]:
    """Return the figures of COLUMNS over some clips."""
    pose, true, time_s = (_apart(a, spans) for a in (xyz_m, truth.xyz_m, tracks.pts_s))
    moving = pose[:, 1:], true[:, 1:]  # the pelvis is right by definition
    figures = {
        "mpjpe_mm": metrics3d.mpjpe_mm(pose, true),
        "p_mpjpe_mm": metrics3d.p_mpjpe_mm(pose, true),
        "n_mpjpe_mm": metrics3d.n_mpjpe_mm(pose, true),
        "mpjve_mm_per_frame": metrics3d.mpjve_mm_per_frame(pose, true),
        "mpjve_mm_per_s": metrics3d.mpjve_mm_per_s(pose, true, time_s),
        "still_mm_per_s": metrics3d.mpjve_mm_per_s(true * 0, true, time_s),
        "acceleration_error_mm": metrics3d.acceleration_error_mm(pose, true),
        "jitter_mm": metrics3d.jitter_mm(pose),
        "truth_jitter_mm": metrics3d.jitter_mm(true),
        "pck_150mm": metrics3d.pck(*moving),
        "auc": metrics3d.auc(*moving),
        "bone_length_error_mm": metrics3d.mean(bones3d.bone_length_errors_mm(pose, true)),
        "bone_sd_mm": metrics3d.mean(_bone_sds_mm(xyz_m, spans)),
        "limb_ratio_error": bones3d.limb_ratio_error(pose, true),
    }
    if truth.root_m is not None:
        roots = [np.concatenate([a[s] for s in spans] or [a[:0]]) for a in (root_m, truth.root_m)]
        figures["root_error_share"] = metrics3d.root_error_share(*roots)
        figures["root_error_mm"] = metrics3d.root_error_mm(*roots)
    return _known(figures)


def _known(figures: Mapping[str, float]) -> dict[str, float]:
    """Round for JSON, which has no NaN: what nobody knows is left out."""
    return {name: round(float(value), 4) for name, value in figures.items() if np.isfinite(value)}


def _bone_sds_mm(xyz_m: Float, spans: list[slice]) -> Float:
    return np.stack([bones3d.bone_length_sd_mm(xyz_m[s]) for s in spans]) if spans else np.zeros((0, 16), np.float32)


def _apart(rows: npt.NDArray[Any], spans: list[slice]) -> npt.NDArray[Any]:
    """Return the rows of clips with a row of NaN after each, which no difference in time reaches across."""
    gap = np.full((1, *rows.shape[1:]), np.nan, rows.dtype)
    return np.concatenate([part for span in spans for part in (rows[span], gap)] or [rows[:0]])


def lines(named: Mapping[str, Mapping[str, Any]], title: str = "") -> list[str]:
    """Return a table with a line for each set of figures."""
    wide = max([len(title), *(len(name) for name in named)])
    columns = [c for c in COLUMNS if any(c in figures for figures in named.values())]
    out = [f"{title:{wide}}" + "".join(f"{COLUMNS[c]:>9}" for c in columns)]
    for name, figures in named.items():
        cells = (f"{figures.get(c, np.nan):9.{3 if c in _SHARES else 1}f}" for c in columns)
        out.append(f"{name:{wide}}" + "".join(cells))
    return out
