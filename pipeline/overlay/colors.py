"""The colours of people, in the viewer and in overlay videos.

Left is blue and right is orange: the pair stays apart for every common colour blindness (Okabe & Ito,
"Color universal design", 2008). Left and right are the person's own.
"""

from __future__ import annotations

RGB = tuple[int, int, int]

LEFT: RGB = (64, 169, 255)
RIGHT: RGB = (255, 149, 51)
MIDDLE: RGB = (226, 230, 238)
SIDES: dict[str, RGB] = {"left": LEFT, "right": RIGHT, "middle": MIDDLE}
TEXT: RGB = (230, 234, 240)
DIM: RGB = (138, 149, 165)

MIN_OPACITY = 0.12


def opacity(score: float) -> float:
    """Map a joint's confidence (0..1) to how solid it is drawn: full from 0.5 on, a hint at 0."""
    return min(1.0, max(MIN_OPACITY, float(score) / 0.5))
