"""Skeletons: joint names, the bone tree, left/right pairs, and mappings between joint sets.

H36M17 is posestream's native skeleton: every message, results file and shipped model uses it.
Left and right are the person's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A joint set as a tree.

    Attributes:
        name: Identifier used in messages and model metadata.
        joints: Joint names, in array order.
        parents: Index of each joint's parent; -1 for the root.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that the tree is one.

        Raises:
            ValueError: If names and parents disagree in number or a parent is out of range.
        """
        if len(self.joints) != len(self.parents):
            raise ValueError(f"{self.name}: {len(self.joints)} joints but {len(self.parents)} parents")
        if any(not -1 <= p < len(self.joints) for p in self.parents):
            raise ValueError(f"{self.name}: parent index out of range in {self.parents}")

    def __len__(self) -> int:
        """Return the number of joints."""
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Return the array index of a joint name.

        Raises:
            ValueError: If the skeleton has no such joint.
        """
        if joint not in self.joints:
            raise ValueError(f"skeleton {self.name} has no joint {joint!r}; it has {', '.join(self.joints)}")
        return self.joints.index(joint)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, child) index pairs, one per non-root joint, in joint order."""
        return tuple((p, j) for j, p in enumerate(self.parents) if p >= 0)

    @property
    def mirror(self) -> tuple[int, ...]:
        """Index of each joint's mirror image (itself on the midline): `mirrored = x[list(mirror)]`."""
        swap = {"left": "right", "right": "left"}

        def other(name: str) -> str:
            side, _, rest = name.partition("_")
            return f"{swap[side]}_{rest}" if side in swap else name

        return tuple(self.joints.index(other(name)) for name in self.joints)

    def side(self, joint: int) -> str:
        """Return "left", "right" or "middle" for a joint index."""
        side = self.joints[joint].partition("_")[0]
        return side if side in ("left", "right") else "middle"


H36M17 = Skeleton(
    "h36m17",
    (
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
        "spine", "thorax", "nose", "head_top",
        "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    ),
    (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
)  # fmt: skip
"""Human3.6M's 17 joints. `head_top` is H36M's: 18-20 cm above the thorax, below the crown."""

COCO17 = Skeleton(
    "coco17",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
        "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    (-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
)  # fmt: skip

LSP14 = Skeleton(
    "lsp14",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
        "neck", "head_top",
    ),
    (1, 2, 12, 12, 3, 4, 7, 8, 12, 12, 9, 10, -1, 12),
)  # fmt: skip

SKELETONS = {s.name: s for s in (H36M17, COCO17, LSP14)}

# H36M's head_top lies this far along the line from the base of the neck to the crown (LSP's head_top).
CROWN_TO_HEAD_TOP = 0.75


def to_h36m17(
    xy: npt.NDArray[np.float32], score: npt.NDArray[np.float32], source: Skeleton
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Express COCO17 or LSP14 joints as H36M17; joints that cannot be derived get score 0.

    Pelvis and spine are midpoints (hips; pelvis and thorax). COCO has no neck, so its thorax is the
    midpoint of the shoulders and its head_top is left out.

    Args:
        xy: (..., J, D) positions, any unit.
        score: (..., J) confidence, 0..1; a derived joint gets the lowest of its sources.
        source: COCO17 or LSP14.

    Returns:
        (..., 17, D) positions (0 where the score is 0) and (..., 17) scores.

    Raises:
        ValueError: If the source skeleton is not one of the two.
    """
    if source.name not in ("coco17", "lsp14"):
        raise ValueError(f"no mapping from skeleton {source.name} to h36m17")
    out_xy = np.zeros((*xy.shape[:-2], 17, xy.shape[-1]), np.float32)
    out_score = np.zeros((*score.shape[:-1], 17), np.float32)

    def put(joint: str, sources: dict[str, float]) -> None:
        at, rows = H36M17.index(joint), [source.index(name) for name in sources]
        weights = np.asarray(list(sources.values()), np.float32)
        out_score[..., at] = score[..., rows].min(-1)
        value = (np.nan_to_num(xy[..., rows, :]) * weights[:, None]).sum(-2)
        out_xy[..., at, :] = np.where(out_score[..., at, None] > 0, value, 0)

    for name in source.joints:
        if name in H36M17.joints and name != "head_top":
            put(name, {name: 1.0})
    neck = {"neck": 1.0} if source.name == "lsp14" else {"left_shoulder": 0.5, "right_shoulder": 0.5}
    hips = {"left_hip": 0.5, "right_hip": 0.5}
    put("pelvis", hips)
    put("thorax", neck)
    put("spine", {k: v / 2 for k, v in {**hips, **neck}.items()})
    if source.name == "lsp14":
        put("head_top", {"neck": 1 - CROWN_TO_HEAD_TOP, "head_top": CROWN_TO_HEAD_TOP})
    return out_xy, out_score
