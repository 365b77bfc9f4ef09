"""Losses and metrics of the 2D detector on cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engines.skeletons import H36M17
from train.losses2d import (
    LOSSES,
    coordinate_l1,
    detector_losses,
    heatmap_l2,
    heatmap_targets,
    motion_loss,
    position_loss,
    score_loss,
    spatial_cross_entropy,
)
from train.measure.metrics2d import calibration_error, errors, exchanged, pck
from train.models.reader import Joints


def test_targets_are_distributions_centred_on_the_joint():
    xy = torch.tensor([[[50.0, 80.0]]])
    target = heatmap_targets(xy, 64, 48, 1.5).view(64, 48)
    assert float(target.sum()) == pytest.approx(1, abs=1e-5)
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(48) + 0.5, indexing="ij")
    assert float((target * x).sum()) * 4 == pytest.approx(50, abs=0.1)
    assert float((target * y).sum()) * 4 == pytest.approx(80, abs=0.1)


def test_cross_entropy_is_zero_for_the_truth_and_blind_to_what_is_not_labelled():
    xy = torch.tensor([[[50.0, 80.0], [9.0, 9.0]]])
    logits = heatmap_targets(xy, 64, 48, 1.5).clamp(min=1e-30).log().view(1, 2, 64, 48)
    weight = torch.ones(1, 2)
    assert float(spatial_cross_entropy(logits, xy, weight)) == pytest.approx(0, abs=1e-4)
    moved = xy.clone()
    moved[0, 1] += 40
    assert float(spatial_cross_entropy(logits, moved, weight)) > 1
    weight[0, 1] = 0
    assert float(spatial_cross_entropy(logits, moved, weight)) == pytest.approx(0, abs=1e-4)


def test_wrong_labels_do_not_rule_the_position_loss():
    truth, weight, tolerance = torch.zeros(1, 17, 2), torch.ones(1, 17), torch.full((1,), 10.0)
    near, far = truth + 1, truth + 10_000
    assert float(position_loss(near, truth, weight, tolerance)) < 0.2
    assert float(position_loss(far, truth, weight, tolerance)) <= 2


def test_score_learns_whether_the_joint_is_right_and_does_not_move_it():
    xy = torch.zeros(1, 3, 2, requires_grad=True)
    truth = torch.tensor([[[1.0, 1.0], [50.0, 0.0], [0.0, 0.0]]])  # right, wrong, right but outside the crop
    inside, judged, tolerance = torch.tensor([[1.0, 1.0, 0.0]]), torch.ones(1, 3), torch.full((1,), 10.0)
    sure = torch.tensor([[5.0, -5.0, -5.0]], requires_grad=True)
    good = score_loss(sure, xy, truth, judged, inside, tolerance)
    assert float(good) < 0.01
    assert float(score_loss(-sure, xy, truth, judged, inside, tolerance)) > 4
    good.backward()
    assert xy.grad is None
    nothing = score_loss(-sure, xy, truth, torch.zeros(1, 3), inside, tolerance)
    assert float(nothing) == 0


def test_motion_loss_ignores_a_constant_offset_and_sees_shaking():
    truth = torch.arange(4.0)[None, :, None, None].expand(1, 4, 17, 2)
    weight, tolerance = torch.ones(1, 4, 17), torch.full((1, 4), 5.0)
    assert float(motion_loss(truth + 3, truth, weight, tolerance)) < 1e-3
    shaking = truth + torch.tensor([1.0, -1.0, 1.0, -1.0])[None, :, None, None]
    assert float(motion_loss(shaking, truth, weight, tolerance)) > 0.3


def test_l2_is_zero_for_the_truth_and_one_for_an_empty_map():
    xy, weight = torch.tensor([[[50.0, 80.0], [90.0, 90.0]]]), torch.tensor([[1.0, 0.0]])
    shares = heatmap_targets(xy, 64, 48, 2.0)
    maps = (shares / shares.amax(-1, keepdim=True)).view(1, 2, 64, 48)
    assert float(heatmap_l2(maps, xy, weight)) == pytest.approx(0, abs=1e-6)
    assert float(heatmap_l2(torch.zeros_like(maps), xy, weight)) == pytest.approx(1, abs=0.08)


def test_coordinates_are_compared_in_both_axes():
    truth, weight = torch.zeros(1, 2, 2), torch.tensor([[1.0, 0.0]])
    found = torch.tensor([[[3.0, -4.0], [99.0, 99.0]]])
    assert float(coordinate_l1(found, truth, weight, torch.tensor([7.0]))) == pytest.approx(1)


@pytest.mark.parametrize("kind", LOSSES)
def test_every_kind_of_loss_teaches_positions_and_scores(kind):
    logits = torch.randn(4, 17, 16, 12, requires_grad=True)
    xy, score = logits.mean((2, 3))[..., None] * torch.tensor([9.0, 9.0]), logits.amax((2, 3))
    batch = {"xy": torch.rand(2, 2, 17, 2) * 40, "tolerance": torch.full((2, 2), 6.0)}
    batch |= {key: torch.ones(2, 2, 17) for key in ("weight", "judged", "inside")}
    parts = detector_losses(Joints(None if kind == "regression" else logits, xy, score), batch, kind)
    assert {"score", "motion"} < set(parts)
    for name, value in parts.items():
        gradient = torch.autograd.grad(value, logits, retain_graph=True)[0]
        assert gradient.abs().max() > 0, name


def person(scale=1.0):
    """One standing person, (17, 2) pixels; torso (left shoulder to right hip) 100 * scale."""
    xy = np.zeros((17, 2), np.float32)
    for name, at in {
        "left_shoulder": (60, 0), "right_shoulder": (0, 0), "left_elbow": (70, 40), "right_elbow": (-10, 40),
        "left_wrist": (75, 75), "right_wrist": (-15, 75), "left_hip": (50, 80), "right_hip": (0, 80),
        "left_knee": (52, 130), "right_knee": (-2, 130), "left_ankle": (54, 180), "right_ankle": (-4, 180),
    }.items():  # fmt: skip
        xy[H36M17.index(name)] = at
    return xy * scale


def test_pck_counts_by_torso_and_by_box():
    truth, labelled = person()[None], np.ones((1, 17), bool)
    xy = truth.copy()
    xy[0, 3] += (0, 19)
    assert pck(xy, truth, labelled, 0.2, "torso") == 1
    xy[0, 3] += (0, 2)
    assert pck(xy, truth, labelled, 0.2, "torso") == pytest.approx(16 / 17)
    assert pck(xy, truth, labelled, 0.2, "box") == 1  # the box is 180 high: 36 pixels
    assert pck(xy, truth, labelled, 0.2, "torso", ("left_knee",)) == 1
    labelled[0, 3] = False
    assert pck(xy, truth, labelled, 0.2, "torso") == 1


def test_people_without_a_torso_are_left_out():
    truth, labelled = person()[None], np.ones((1, 17), bool)
    labelled[0, H36M17.index("right_hip")] = False
    assert np.isnan(errors(truth, truth, labelled, "torso")).all()
    assert np.isnan(pck(truth, truth, labelled, 0.2, "torso"))
    with pytest.raises(ValueError, match="torso, box"):
        errors(truth, truth, labelled, "head")


def test_exchanged_sides_are_counted():
    truth = np.stack([person(), person(2.0)])
    xy = truth.copy()
    xy[1] = xy[1][list(H36M17.mirror)]
    assert exchanged(xy, truth, np.ones((2, 17), bool)) == 0.5
    assert np.isnan(exchanged(xy, truth, np.zeros((2, 17), bool)))


def test_calibration_error_is_the_gap_between_score_and_truth():
    right = np.array([True, True, True, False])
    assert calibration_error(np.full(4, 0.75, np.float32), right) == pytest.approx(0)
    assert calibration_error(np.full(4, 0.25, np.float32), right) == pytest.approx(0.5)
