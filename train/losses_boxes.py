"""What the person finder is punished for: wrong centres, wrong boxes."""

from __future__ import annotations

import torch
from torch import Tensor


def centre_loss(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Focal loss on the centre heatmap (Law and Deng, "CornerNet", ECCV 2018, equation 1; alpha 2, beta 4).

    Args:
        logits: (B, 1, h, w).
        target: (B, 1, h, w) Gaussians round the centres, exactly 1 at each centre's cell.
        counted: (B, 1, h, w) 0 where an unlabelled person may be: there nothing counts as a false alarm.

    Returns:
        Scalar, divided by the number of centres.
    """
    logits = logits.float()
    p = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    hit = target >= 1
    missed = -torch.log(p) * (1 - p) ** 2 * hit
    alarm = -torch.log(1 - p) * p**2 * (1 - target) ** 4 * ~hit * counted
    return (missed + alarm).sum() / hit.sum().clamp(min=1)


def box_loss(boxes: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - GIoU (Rezatofighi et al., CVPR 2019), weighted mean over the cells near centres.

    Args:
        boxes: (B, 4, h, w) x1, y1, x2, y2 in pixels, from `decode_boxes`.
        target: (B, 4, h, w) the box of the cell's person, same units.
        weight: (B, 1, h, w) 0 away from centres.
    """
    boxes, target = boxes.float(), target.float()
    low, high = torch.maximum(boxes[:, :2], target[:, :2]), torch.minimum(boxes[:, 2:], target[:, 2:])
    inner = (high - low).clamp(min=0).prod(1)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1) + (target[:, 2:] - target[:, :2]).prod(1)
    union = (area - inner).clamp(min=1e-3)
    hull = torch.maximum(boxes[:, 2:], target[:, 2:]) - torch.minimum(boxes[:, :2], target[:, :2])
    hull = hull.clamp(min=1e-3).prod(1)
    loss = 1 - inner / union + (hull - union) / hull
    return (loss * weight[:, 0]).sum() / weight.sum().clamp(min=1e-3)
